"""The web application: what anybody may do, what only Airflow's users may, and what nobody may."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from html.parser import HTMLParser
from itertools import count
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from tests.support.bad_input import ADDRESSES, HTML, JSON, NAMES, TEMPLATES
from tests.support.described import as_described
from tests.support.front import (  # noqa: F401
    NOW,
    ROLLOUT,
    SECRET,
    MemoryServices,
    a_preview_that_is_out,
    happened,
    services,
)

from pps.activities.people.tokens import invitation_token
from pps.activities.ports.people import Mail
from pps.domain.base.errors import ServiceError
from pps.domain.people.feedback import answers
from pps.domain.record.facts import FactKind
from pps.web.app import PUBLIC, check_closed, create_app
from pps.web.closed import masked

FEEDBACK, FORM = f"/api/v1/rollouts/{ROLLOUT}/feedback", f"/feedback/{ROLLOUT}"
GOOD = {"vo": "atlas", "opinion": "works", "text": "fine"}


def airflow_user(request: Request) -> Any:
    if request.headers.get("authorization") != "Bearer good":
        raise HTTPException(401, "Not authenticated")
    role = SimpleNamespace(name=request.headers.get("x-test-role", "Viewer"))
    return SimpleNamespace(get_name=lambda: "ada", get_id=lambda: 1, roles=[role] if role.name else [])


def ticking(start: datetime = NOW) -> Callable[[], datetime]:
    ticks = count()
    return lambda: start + timedelta(microseconds=next(ticks))


@pytest.fixture
def app(services: MemoryServices) -> FastAPI:
    a_preview_that_is_out(services.facts)
    return create_app(lambda: services, airflow_user, ticking())


@pytest.fixture
def anybody(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="https://pps.example.org")


@pytest.fixture
def many(services: MemoryServices, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A client that is never too fast."""
    monkeypatch.setattr("pps.web.feedback.ANSWERS_AT_ONCE", 10**6)
    a_preview_that_is_out(services.facts)
    return TestClient(create_app(lambda: services, airflow_user, ticking()), base_url="https://pps.example.org")


@pytest.fixture
def user(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="https://pps.example.org", headers={"Authorization": "Bearer good"})


def given(services: MemoryServices) -> tuple[Any, ...]:
    return answers(services.facts.rollout(ROLLOUT))


# --- who may do what


def test_every_route_is_closed_or_in_the_table_of_public_ones(app: FastAPI) -> None:
    walked = 0
    for route in app.routes:
        assert isinstance(route, APIRoute), route
        for method in route.methods:
            walked += 1
            client = TestClient(app)
            path = route.path.replace("{name}", ROLLOUT)
            answer = client.request(method, path)
            if (method, route.path) in PUBLIC:
                assert answer.status_code not in (401, 403), path
                assert PUBLIC[method, route.path].strip()
            else:
                assert answer.status_code == 401, path
    assert walked > len(PUBLIC)


@pytest.mark.parametrize("authorization", ["", "Bearer bad", "Bearer eyJhbGciOiJub25lIn0.e30.", "Basic Z29vZA=="])
def test_a_wrong_token_opens_nothing(app: FastAPI, authorization: str) -> None:
    client = TestClient(app, headers={"Authorization": authorization})
    for path in (
        "/api/v1/rollouts",
        f"/api/v1/rollouts/{ROLLOUT}/facts",
        f"/api/v1/rollouts/{ROLLOUT}/outbox",
        "/api/v1/feedback",
    ):
        assert client.get(path).status_code == 401


def test_a_route_that_somebody_adds_without_a_lock_is_noticed(app: FastAPI) -> None:
    app.get("/api/v1/secrets")(lambda: "secret")
    with pytest.raises(RuntimeError, match="/api/v1/secrets"):
        check_closed(app, airflow_user)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_api_does_not_describe_itself_to_strangers(anybody: TestClient, path: str) -> None:
    assert anybody.get(path).status_code == 404


def test_services_are_asked_for_at_each_request_and_not_before(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    made: list[int] = []
    client = TestClient(create_app(lambda: made.append(1) or services, airflow_user, ticking()))
    assert made == []
    for _ in range(3):
        client.get(f"/api/v1/rollouts/{ROLLOUT}")
    assert len(made) >= 3


# --- views


def test_the_public_view_holds_states_tag_and_jdl_but_no_person(anybody: TestClient, services: MemoryServices) -> None:
    services.facts.record(
        happened(FactKind.FEEDBACK_GIVEN, "cms", "x", opinion="works", text="mail bob@x.org", author="Bob")
    )
    answer = anybody.get(f"/api/v1/rollouts/{ROLLOUT}")
    view = answer.json()
    assert {s["site"]: s["state"] for s in view["sites"]} == {"PIC": "available", "CNAF": "available", "SARA": "failed"}
    assert view["tag"] == "VO-ops-PPS-GLITE-WN-3.1.23"
    assert view["jdl"].startswith('Requirements = Member("VO-ops-PPS-GLITE-WN-3.1.23"')
    assert view["feedback"]["until"] == (NOW + timedelta(days=14)).isoformat()
    for private in ("@", "Bob", "quota"):
        assert private not in answer.text


@pytest.mark.parametrize(
    "name", ["nothing-1-1", "..%2f..%2fetc", "a%20b", "%00", "x" * 500, "%E2%80%AEx", "{{7*7}}", "a%0a"]
)
def test_an_unknown_or_impossible_rollout_is_404(anybody: TestClient, name: str) -> None:
    assert anybody.get(f"/api/v1/rollouts/{name}").status_code == 404
    assert anybody.get(f"/feedback/{name}").status_code == 404
    assert anybody.post(f"/api/v1/rollouts/{name}/feedback", json=GOOD).status_code == 404


def test_an_impossible_name_never_reaches_the_store(
    many: TestClient, services: MemoryServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    really = services.facts.rollout
    monkeypatch.setattr(services.facts, "rollout", lambda name: asked.append(name) or really(name))
    for name in NAMES:
        path = f"/api/v1/rollouts/{quote(name, safe='')}"
        assert many.get(path).status_code in (401, 404, 405)
        many.post(f"{path}/feedback", json=GOOD)
    assert asked == []


@pytest.mark.parametrize("file", ["..%2Fbulletin.html", "x.html%00", "bc-client-4711-1.json", "%2e%2e", "a%2Fb.txt"])
def test_release_notes_are_asked_for_by_the_name_of_a_rollout_only(
    anybody: TestClient, services: MemoryServices, file: str
) -> None:
    notes = services.publication_folder.root / "release-notes"
    notes.mkdir()
    (notes / "bc-client-4711-1.txt").write_text("notes")
    (services.publication_folder.root / "bulletin.html").write_text("<p>bulletin</p>")
    assert anybody.get("/release-notes/bc-client-4711-1.txt").text == "notes"
    assert anybody.get("/release-notes/bc-client-4711-2.txt").status_code == 404
    assert anybody.get(f"/release-notes/{file}").status_code == 404


@pytest.mark.parametrize("file", ["..%2Fbulletin.html", "x.html%00", "bc-client-4711-1.json", "%2e%2e", "secret.html"])
def test_pages_of_the_bulletin_lead_to_each_other_and_to_nothing_else(
    anybody: TestClient, services: MemoryServices, file: str
) -> None:
    (services.publication_folder.root / "secret.html").write_text("secret")
    first = anybody.get("/bulletin")
    one = anybody.get(str(first.url.join(f"bulletin/{ROLLOUT}.html")))
    assert f'href="bulletin/{ROLLOUT}.html"' in first.text
    assert 'href="../bulletin.html"' in one.text
    assert (one.status_code, anybody.get("/bulletin/sites.html").status_code) == (200, 200)
    assert anybody.get(f"/bulletin/{file}").status_code == 404


def test_before_the_first_rollout_every_page_says_so(services: MemoryServices) -> None:
    client = TestClient(create_app(lambda: services, airflow_user, ticking()))
    for path in ("/", "/home", "/map", "/map?view=gridmap", "/map?view=table", "/bulletin", "/bulletin/sites.html"):
        page = client.get(path)
        assert page.status_code == 200, path
        assert "text/html" in page.headers["content-type"]
        assert "No preview is out" in page.text, path
    assert client.get("/api/v1/bulletin").json()["rollouts"] == []


def test_users_see_register_facts_and_outbox_with_masked_addresses(user: TestClient, services: MemoryServices) -> None:
    mail = Mail(f"{ROLLOUT}/x", "ada.lovelace@example.org", "For you", "text")
    services.facts.mails.append((mail, None, "550 <ada.lovelace@example.org> unknown"))
    services.facts.record(
        happened(FactKind.FEEDBACK_GIVEN, "cms", "x", opinion="works", text="ask bob@x.org", author="Bob")
    )
    assert user.get("/api/v1/rollouts").json()["rollouts"][0]["stage"] == "preview"
    facts = user.get(f"/api/v1/rollouts/{ROLLOUT}/facts").json()
    assert facts["total"] == len(services.facts.facts)
    outbox = user.get(f"/api/v1/rollouts/{ROLLOUT}/outbox").json()
    assert outbox["mails"][0] == {
        "to": "a***@example.org",
        "subject": "For you",
        "sent_at": None,
        "error": "550 <a***@example.org> unknown",
    }
    feedback = user.get("/api/v1/feedback", params={"rollout": ROLLOUT}).json()
    assert feedback["silent"] == ["atlas", "cms"]
    for private in ("ada@example.org", "lovelace", "bob@x.org", "Bob"):
        assert private not in json.dumps([facts, outbox, feedback])


@pytest.mark.parametrize(
    "query", ["after=-1", "limit=0", "limit=1000000000", "limit=1e9", "after=x", "limit=99999999999999999999"]
)
def test_pages_beyond_reason_are_422(user: TestClient, query: str) -> None:
    assert user.get(f"/api/v1/rollouts/{ROLLOUT}/facts?{query}").status_code == 422
    assert user.get(f"/api/v1/rollouts?{query}").status_code == 422


def test_pages_can_be_walked(user: TestClient) -> None:
    every = user.get(f"/api/v1/rollouts/{ROLLOUT}/facts").json()["facts"]
    walked = [
        user.get(f"/api/v1/rollouts/{ROLLOUT}/facts?after={n}&limit=1").json()["facts"][0] for n in range(len(every))
    ]
    assert walked == every


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<ada@x.org>", "<a***@x.org>"),
        ("a@b.c, d@e.f", "a***@b.c, d***@e.f"),
        ("no address", "no address"),
        ("@x.org", "***@x.org"),
    ],
)
def test_addresses_are_masked_wherever_they_stand(text: str, expected: str) -> None:
    assert masked({"k": [text]}) == {"k": [expected]}


# --- giving feedback


def test_new_feedback_is_201_and_the_same_again_200(anybody: TestClient, services: MemoryServices) -> None:
    first = as_described(anybody, anybody.post(FEEDBACK, json=GOOD, headers={"Idempotency-Key": "k1"}))
    second = as_described(anybody, anybody.post(FEEDBACK, json=GOOD, headers={"Idempotency-Key": "k1"}))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["identity"] == second.json()["identity"]
    assert len(given(services)) == 1


def test_the_same_key_with_a_corrected_text_loses_neither(anybody: TestClient, services: MemoryServices) -> None:
    for text in ("it wroks", "it works"):
        assert anybody.post(FEEDBACK, json={**GOOD, "text": text}, headers={"Idempotency-Key": "k1"}).status_code == 201
    assert [a.text for a in given(services)] == ["it wroks", "it works"]


def test_only_the_invitation_makes_it_count(anybody: TestClient) -> None:
    token = invitation_token(SECRET, ROLLOUT, "atlas")
    assert anybody.post(FEEDBACK, json={**GOOD, "token": token}).json()["invited"] is True
    assert anybody.post(FEEDBACK, json=GOOD).json()["invited"] is False
    wrong = anybody.post(FEEDBACK, json={**GOOD, "vo": "cms", "token": token})
    assert wrong.status_code == 422
    assert "not this VO's invitation" in wrong.json()["detail"]


def test_feedback_at_the_agreed_instant_counts_and_after_it_is_late(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    due = NOW + timedelta(days=14)
    for at, late in ((due, False), (due + timedelta(seconds=1), True)):
        client = TestClient(create_app(lambda: services, airflow_user, lambda at=at: at))
        assert client.post(FEEDBACK, json={**GOOD, "text": str(at)}).json()["late"] is late


def test_a_rollout_that_has_ended_takes_no_more(anybody: TestClient, services: MemoryServices) -> None:
    services.facts.record(happened(FactKind.ROLLOUT_CLOSED))
    answer = anybody.post(FEEDBACK, json=GOOD)
    assert answer.status_code == 409
    assert "has ended" in answer.json()["detail"]
    assert anybody.get(FORM).status_code == 200
    assert "<form" not in anybody.get(FORM).text


def test_forty_at_once_are_one_record_and_one_201(many: TestClient, services: MemoryServices) -> None:
    with ThreadPoolExecutor(20) as threads:
        posts = [
            threads.submit(many.post, FEEDBACK, json=GOOD, headers={"Idempotency-Key": "click"}) for _ in range(40)
        ]
        got = [p.result() for p in posts]
    assert sorted(a.status_code for a in got) == [200] * 39 + [201]
    assert len({a.json()["identity"] for a in got}) == 1
    assert len(given(services)) == 1


@pytest.mark.parametrize("body", JSON, ids=[repr(b[:50]) for b in JSON])
def test_what_is_no_proper_answer_is_422_and_stores_nothing(
    many: TestClient, services: MemoryServices, body: bytes
) -> None:
    answer = many.post(FEEDBACK, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert given(services) == ()


@pytest.mark.parametrize("name", NAMES, ids=lambda n: repr(n[:30]))
def test_what_is_no_name_cannot_be_a_vo(many: TestClient, services: MemoryServices, name: str) -> None:
    assert many.post(FEEDBACK, json={**GOOD, "vo": name}).status_code == 422
    assert many.post(FORM, data={**GOOD, "vo": name}).status_code == 422
    assert given(services) == ()


@pytest.mark.parametrize("author", [a for a in ADDRESSES if not a.isprintable()])
def test_an_author_is_one_line(many: TestClient, author: str) -> None:
    assert many.post(FEEDBACK, json={**GOOD, "author": author}).status_code == 422


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "multipart/form-data"],
)
def test_the_api_takes_json_only(anybody: TestClient, kind: str) -> None:
    answer = anybody.post(FEEDBACK, content=json.dumps(GOOD), headers={"Content-Type": kind})
    assert answer.status_code == 415


def test_a_body_beyond_64_kib_is_413_whether_it_says_so_or_not(anybody: TestClient, services: MemoryServices) -> None:
    body = json.dumps({**GOOD, "text": "x" * 10_000_000}).encode()
    headers = {"Content-Type": "application/json"}
    assert anybody.post(FEEDBACK, content=body, headers=headers).status_code == 413
    read = []

    def chunks() -> Any:
        for start in range(0, len(body), 4096):
            read.append(start)
            yield body[start : start + 4096]

    assert anybody.post(FEEDBACK, content=chunks(), headers=headers).status_code == 413
    assert given(services) == ()


@pytest.mark.parametrize(
    "origin", ["https://evil.example.org", "null", "https://pps.example.org.evil", "https://evil@pps.example.org", "//"]
)
def test_another_sites_page_cannot_post(anybody: TestClient, services: MemoryServices, origin: str) -> None:
    for answer in (
        anybody.post(FEEDBACK, json=GOOD, headers={"Origin": origin}),
        anybody.post(FORM, data=GOOD, headers={"Origin": origin}),
    ):
        assert answer.status_code == 403
    assert given(services) == ()


def test_our_own_page_can_post(anybody: TestClient) -> None:
    assert anybody.post(FEEDBACK, json=GOOD, headers={"Origin": "https://pps.example.org"}).status_code == 201


def test_who_asks_too_often_waits_and_is_told_how_long(anybody: TestClient) -> None:
    codes = [anybody.post(FEEDBACK, json={**GOOD, "text": str(n)}).status_code for n in range(12)]
    assert codes == [201] * 10 + [429] * 2
    assert int(anybody.post(FEEDBACK, json=GOOD).headers["Retry-After"]) > 0


@pytest.mark.parametrize("key", ["a b", "x" * 129, "é", "k\u00a0"])
def test_a_strange_key_is_422(anybody: TestClient, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    assert anybody.post(FEEDBACK, json=GOOD, headers=headers).status_code == 422


def test_a_store_that_is_away_is_503_without_its_secrets(
    anybody: TestClient, services: MemoryServices, monkeypatch: Any
) -> None:
    def away(name: str) -> None:
        raise ServiceError("store at postgresql://pps:secret@db", "is away.")

    monkeypatch.setattr(services.facts, "rollout", away)
    answer = anybody.post(FEEDBACK, json=GOOD)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "60"
    assert "secret" not in answer.text


# --- the form


class Page(HTMLParser):
    """What a browser would make of a page: its elements and its fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.fields: dict[str, str] = {}
        self._area: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        name = found.get("name")
        if tag == "input" and name and (found.get("type") != "radio" or "checked" in found):
            self.fields[name] = found.get("value") or ""
        self._area = name if tag == "textarea" else None

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] = self.fields.get(self._area, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._area = None


def test_the_link_of_an_invitation_fills_in_the_form_and_it_counts(
    anybody: TestClient, services: MemoryServices
) -> None:
    token = invitation_token(SECRET, ROLLOUT, "cms")
    page = Page(anybody.get(FORM, params={"vo": "cms", "token": token}).text)
    assert page.fields["vo"] == "cms"
    assert page.fields["token"] == token
    typed = {**page.fields, "opinion": "problem", "text": "line 1\r\nline 2"}
    thanks = anybody.post(FORM, data=typed, headers={"Origin": "https://pps.example.org"})
    assert thanks.status_code == 201
    assert "It counts as the answer of cms" in " ".join(thanks.text.split())
    anybody.post(FORM, data=typed)  # a double click
    assert [(a.vo, a.text, a.invited) for a in given(services)] == [("cms", "line 1\nline 2", True)]


def test_the_form_names_date_tag_and_jdl(anybody: TestClient) -> None:
    text = anybody.get(FORM).text
    for part in (
        "15 March 2026, 12:00 UTC",
        "VO-ops-PPS-GLITE-WN-3.1.23",
        "other.GlueHostApplicationSoftwareRunTimeEnvironment",
    ):
        assert part in text


def test_two_people_who_both_only_say_works_are_two(anybody: TestClient, services: MemoryServices) -> None:
    for _ in range(2):
        anybody.post(FORM, data={**Page(anybody.get(FORM).text).fields, "vo": "atlas", "opinion": "works"})
    assert len(given(services)) == 2


def test_what_was_typed_comes_back_with_the_reason(anybody: TestClient) -> None:
    answer = anybody.post(FORM, data={"vo": "a b", "opinion": "problem", "text": "a long story"})
    assert answer.status_code == 422
    page = Page(answer.text)
    assert page.fields["text"].strip() == "a long story"
    assert page.fields["opinion"] == "problem"
    assert "is not the name of a VO" in answer.text


def test_a_store_that_is_away_does_not_lose_the_text(
    anybody: TestClient, services: MemoryServices, monkeypatch: Any
) -> None:
    def away(*facts: object, **_: object) -> None:
        raise ServiceError("store", "is away.")

    monkeypatch.setattr(services.facts, "record", away)
    answer = anybody.post(FORM, data={**GOOD, "text": "a long story"})
    assert answer.status_code == 503
    assert "a long story" in answer.text


@pytest.mark.parametrize("text", HTML + TEMPLATES, ids=repr)
def test_texts_are_shown_as_text(many: TestClient, services: MemoryServices, text: str) -> None:
    plain = Page(many.get(FORM).text)
    sent = {"vo": text[:64], "opinion": text, "text": text, "author": text, "token": text}
    # what cannot be an invitation is said at once, and not sent along
    for answer, token in ((many.post(FORM, data=sent), text), (many.get(FORM, params={"vo": text, "token": text}), "")):
        page = Page(answer.text)
        assert sorted({tag for tag, _ in page.tags}) == sorted(
            {tag for tag, _ in plain.tags} | {tag for tag, _ in page.tags} & {"p"}
        )
        assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert page.fields["token"] == token
        assert page.fields["vo"] == text[:64]
    assert given(services) == ()
    kept = many.post(FEEDBACK, json={**GOOD, "text": text})
    assert kept.status_code == 201
    assert given(services)[0].text == text


@pytest.mark.parametrize("path", [FORM, "/api/v1/rollouts", f"/api/v1/rollouts/{ROLLOUT}", "/nowhere", "/bulletin"])
def test_every_answer_carries_the_security_headers(anybody: TestClient, path: str) -> None:
    headers = anybody.get(path).headers
    source = "'self'" if path in (FORM, "/bulletin") else "'none'"
    assert f"default-src {source}" in headers["content-security-policy"]
    assert "frame-ancestors" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] in ("no-referrer", "same-origin")
    assert "unsafe" not in headers["content-security-policy"]


def test_the_form_loads_our_stylesheet_and_script_and_nothing_else(anybody: TestClient) -> None:
    page = anybody.get(FORM)
    loaded = [a.get("href") or a.get("src") for tag, a in Page(page.text).tags if tag in ("script", "link", "img")]
    assert [file.partition("?")[0] for file in loaded] == ["../static/pps.css", "../static/pps.svg", "../static/pps.js"]
    for file in loaded:
        assert anybody.get(str(page.url.join(file))).status_code == 200
    assert anybody.get("/static/..%2Fbulletin.html").status_code == 404
