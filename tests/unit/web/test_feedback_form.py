"""The form for feedback: what is said in parts, changed, withdrawn; and who may do that."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from tests.support.front import (  # noqa: F401
    NOW,
    PATCH,
    ROLLOUT,
    SECRET,
    MemoryServices,
    MemoryTracker,
    a_preview_that_is_out,
    happened,
    services,
)
from tests.unit.web.test_api import FEEDBACK, FORM, Page, airflow_user

from pps.activities.people.tokens import invitation_token
from pps.domain.base.errors import ServiceError
from pps.domain.packages.patch import Bug, Case, Severity
from pps.domain.people.feedback import Outcome, VoAnswer, answers, summary
from pps.domain.record.facts import FactKind
from pps.web.app import create_app

DUE = NOW + timedelta(days=14)
WITHDRAWAL = f"{FEEDBACK}/withdrawal"
TWO_BUGS = replace(
    PATCH,
    bugs=(*PATCH.bugs, Bug(102, "Slow listing", Severity.MINOR, "ada@example.org")),
    test_cases=(Case("renew-proxy", "A proxy is renewed while a job runs", "Submit a job of 13 h."),),
)


class World:
    """A browser without JavaScript, and a clock."""

    def __init__(self, s: MemoryServices) -> None:
        a_preview_that_is_out(s.facts)
        s.__dict__["tracker"] = MemoryTracker(TWO_BUGS)
        self.services = s
        self.facts, self.notes, self.at = s.facts, dict[tuple[str, str], str](), NOW + timedelta(hours=1)
        app = create_app(lambda: s, airflow_user, self.now, self.keep_note)
        self.http = TestClient(app, base_url="https://pps.example.org")

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    def keep_note(self, dag: str, run: str, changed: Callable[[str | None], str]) -> bool:
        self.notes[dag, run] = changed(self.notes.get((dag, run)))
        return True

    def open(self, vo: str = "atlas", token: str | None = None) -> Page:
        token = invitation(vo) if token is None else token
        answer = self.http.get(FORM, params={"vo": vo, "token": token})
        assert answer.status_code == 200
        return shown(answer.text)

    def send(self, page: Page, to: str = FORM, **typed: str) -> Any:
        answer = self.http.post(to, data=page.fields | {k.replace("_", "-"): v for k, v in typed.items()})
        answer.page = shown(answer.text)
        return answer

    @property
    def given(self) -> tuple[VoAnswer, ...]:
        return answers(self.facts.rollout(ROLLOUT))

    @property
    def said(self) -> Any:
        return summary(self.facts.rollout(ROLLOUT))


def shown(text: str) -> Page:
    page = Page(text)
    page.words = " ".join(re.sub(r"<[^>]*>", " ", text).split())  # type: ignore[attr-defined]
    return page


def invitation(vo: str = "atlas", rollout: str = ROLLOUT) -> str:
    return invitation_token(SECRET, rollout, vo, DUE)


@pytest.fixture
def world(services: MemoryServices, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("pps.web.feedback.ANSWERS_AT_ONCE", 10**6)
    yield World(services)


# --- in parts


def test_the_form_asks_about_each_bug_and_test_case_and_says_beside_the_whole_what_was_said(world: World) -> None:
    page = world.open()
    assert {"bug-101": "", "bug-102": "", "case-renew-proxy": ""}.items() <= page.fields.items()
    for words in ("Bug 101: No IPv6", "Test case renew-proxy: A proxy is renewed", "Submit a job of 13 h."):
        assert words in page.words  # type: ignore[attr-defined]
    thanks = world.send(page, opinion="works", bug_101="not fixed", bug_102="fixed", case_renew_proxy="does not work")
    assert thanks.status_code == 201
    whole = "works as a whole; bug 101 not fixed; test case renew-proxy does not work; bug 102 fixed"
    assert whole in thanks.page.words
    world.send(world.open("cms"), opinion="problem", text="It hangs.", bug_101="fixed")
    for place in ("/bulletin", "/patches/4711"):
        text = shown(world.http.get(place).text).words  # type: ignore[attr-defined]
        assert f"atlas : {whole}" in text, "a VO's verdict on a part is never summed up in the whole"
        assert "Bug 101: not fixed: 1 VO (atlas); fixed: 1 VO (cms)" in text
        assert "Bug 102: fixed: 1 VO (atlas); not tried: 1 VO (cms)" in text
        assert "Test case renew-proxy: does not work: 1 VO (atlas); not tried: 1 VO (cms)" in text
    for view in (
        world.http.get("/bulletin.json").json()["rollouts"][0]["feedback"],
        world.http.get(f"/api/v1/rollouts/{ROLLOUT}").json()["feedback"],
        world.http.get("/api/v1/patches/4711").json()["rollouts"][0]["feedback"],
    ):
        assert [a["bugs"] for a in view["said"]] == [{"101": "not fixed", "102": "fixed"}, {"101": "fixed"}]
        assert [(b["bug"], b["fixed"], b["not_fixed"], b["not_tried"]) for b in view["bugs"]] == [
            (101, ["cms"], ["atlas"], []),
            (102, ["atlas"], [], ["cms"]),
        ]
        assert view["test_cases"][0]["does_not_work"] == ["atlas"]


def test_a_bug_that_the_patch_does_not_name_is_refused_with_those_that_it_names_and_the_text_is_kept(
    world: World,
) -> None:
    refused = world.send(world.open(), opinion="works", text="a long story", bug_999="fixed", bug_101="fixed")
    assert refused.status_code == 422
    assert "The patch names no bug '999'; it names 101, 102." in refused.page.words.replace("&#39;", "'")
    assert refused.page.fields["text"].strip() == "a long story"
    assert (refused.page.fields["bug-101"], refused.page.fields["bug-999"]) == ("fixed", "fixed")
    body = {"vo": "atlas", "opinion": "works", "bugs": {"101": "great"}, "test_cases": {"x": "works"}}
    why = world.http.post(FEEDBACK, json=body).json()["detail"]
    assert "Of bug 101 one of these can be said: fixed, not fixed, not tried" in why
    assert "The patch names no test case 'x'; it names renew-proxy." in why
    assert world.given == ()


def test_while_the_tracker_is_away_the_whole_can_be_said_and_no_part_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = world.open()

    def away(number: int) -> None:
        raise ServiceError("the tracker", "is away.")

    monkeypatch.setattr(world.services.tracker, "patch", away)
    app = create_app(lambda: world.services, airflow_user, world.now)  # what the first one has read, it still knows
    world.http = TestClient(app, base_url="https://pps.example.org")
    assert "The tracker does not answer now" in world.open().words  # type: ignore[attr-defined]
    refused = world.send(page, opinion="works", text="a long story", bug_101="fixed")
    assert refused.status_code == 503
    assert (refused.page.fields["bug-101"], refused.page.fields["text"].strip()) == ("fixed", "a long story")
    assert world.send(page, opinion="works", text="a long story", bug_101="").status_code == 201


# --- preview


def test_a_preview_shows_the_text_as_it_would_be_published_and_keeps_all_that_was_typed(world: World) -> None:
    text = "# Seen\n\nIt *hangs* <b>here</b>; ask ada.lovelace@example.org \u202egnp.exe"
    typed = {"opinion": "problem", "text": text, "author": "Eve", "bug_101": "not fixed", "case_renew_proxy": "works"}
    seen = world.send(world.open(), f"{FORM}?preview=yes", **typed)
    assert seen.status_code == 200
    shown_above = seen.text[seen.text.index('id="preview"') : seen.text.index("<form")]
    for part in ("<h4>Seen</h4>", "<em>hangs</em> &lt;b&gt;here&lt;/b&gt;", "a***@example.org", "⟨U+202E⟩gnp.exe"):
        assert part in shown_above
    assert "Nothing is sent yet." in shown_above
    assert world.given == ()
    kept = {"opinion": "problem", "author": "Eve", "bug-101": "not fixed", "case-renew-proxy": "works", "vo": "atlas"}
    assert kept.items() <= seen.page.fields.items()
    assert seen.page.fields["text"].strip().startswith("# Seen")
    assert seen.page.fields["token"] == invitation()
    assert world.send(seen.page).status_code == 201, "it is sent from there"
    assert "a***@example.org" in world.given[0].text


def test_a_preview_needs_no_complete_answer_and_works_while_an_answer_is_changed(world: World) -> None:
    empty = world.http.post(f"{FORM}?preview=yes", data={"vo": "", "text": ""})
    assert (empty.status_code, "There is no text yet." in empty.text) == (200, True)
    world.send(world.open(), opinion="works", text="first")
    seen = world.send(world.open(), f"{FORM}?preview=yes", text="second")
    assert seen.page.fields["replaces"] == world.given[0].identity
    assert world.send(seen.page).status_code == 201
    assert [(a.text, a.replaced) for a in world.given] == [("first", True), ("second", False)]


# --- changing and withdrawing one's own


def test_the_invitation_of_a_vo_that_has_answered_shows_that_answer_in_the_fields_and_sending_replaces_it(
    world: World,
) -> None:
    world.send(world.open(), opinion="problem", text="It hangs.", author="ada@x.org", bug_101="not fixed")
    page = world.open()
    assert "atlas has answered on" in page.words  # type: ignore[attr-defined]
    assert {"opinion": "problem", "bug-101": "not fixed", "author": ""}.items() <= page.fields.items()
    assert page.fields["text"].strip() == "It hangs."
    changed = world.send(page, opinion="works", text="It was our proxy.", bug_101="fixed")
    assert changed.status_code == 201
    world.send(page, opinion="works", text="It was our proxy.", bug_101="fixed")  # a double click
    assert [(a.opinion, a.replaced) for a in world.given] == [("problem", True), ("works", False)]
    assert [a.words for a in world.said.counting] == ["works; bug 101 fixed"]


def test_an_answer_that_somebody_else_of_the_vo_has_changed_meanwhile_is_not_overwritten_unseen(world: World) -> None:
    world.send(world.open(), opinion="problem", text="It hangs.")
    mine, theirs = world.open(), world.open()
    assert world.send(theirs, opinion="problem", text="It hangs at PIC only.").status_code == 201
    refused = world.send(mine, opinion="works", text="mine")
    assert refused.status_code == 422
    assert "Your VO has answered again meanwhile" in refused.page.words
    assert "It hangs at PIC only." in refused.page.words
    assert refused.page.fields["text"].strip() == "mine"
    assert world.send(refused.page).status_code == 201, "it has been seen now"
    assert [a.text for a in world.said.counting] == ["mine"]


def test_who_withdraws_is_silent_again_everywhere_and_the_record_keeps_both(world: World) -> None:
    world.send(world.open(), opinion="works", text="Our word.")
    world.send(world.open("cms"), opinion="works")
    assert world.said.outcome is Outcome.ALL
    page = world.open()
    done = world.send(page, withdraw="yes")
    assert done.status_code == 200
    assert "atlas counts as silent again" in done.page.words
    assert (world.said.outcome, world.said.silent) == (Outcome.SOME, ("atlas",))
    kinds = [f.kind for f in world.facts.rollout(ROLLOUT).facts if f.kind.startswith("feedback")]
    assert kinds.count(FactKind.FEEDBACK_GIVEN) == 2
    assert kinds.count(FactKind.FEEDBACK_WITHDRAWN) == 1
    for place in ("/bulletin", "/patches/4711"):
        text = world.http.get(place).text
        assert "withdrawn on Sun 1 Mar 2026, 13:00 UTC" in text
        assert "Our word." not in text
    assert world.http.get("/bulletin.json").json()["rollouts"][0]["feedback"]["withdrawn"][0]["vo"] == "atlas"
    twice = world.send(page, withdraw="yes", text="still typed")
    assert twice.status_code == 422
    assert "This answer was withdrawn already, on Sun 1 Mar 2026, 13:00 UTC" in twice.page.words
    assert twice.page.fields["text"].strip() == "still typed"
    again = world.open()
    assert "withdrew that on" in again.words  # type: ignore[attr-defined]
    assert again.fields["text"].strip() == ""
    assert world.send(again, opinion="works", text="Our word.").status_code == 201, "the same words may be said again"
    assert world.said.outcome is Outcome.ALL


def test_after_the_end_nothing_is_changed_or_withdrawn_and_what_was_typed_can_be_sent_as_a_late_answer(
    world: World,
) -> None:
    world.send(world.open(), opinion="works", text="first")
    page = world.open()
    world.at = DUE + timedelta(minutes=1)
    for typed in ({"opinion": "problem", "text": "second"}, {"withdraw": "yes", "text": "second"}):
        refused = world.send(page, **typed)
        assert refused.status_code == 422
        assert "The agreed date, Sun 15 Mar 2026, 12:00 UTC, has passed. The answer stands as it is." in (
            refused.page.words
        )
        assert refused.page.fields["text"].strip() == "second"
    assert [a.text for a in world.given] == ["first"]
    assert "Send as a further answer" in refused.page.words
    late = world.send(refused.page, opinion="problem")
    assert late.status_code == 201
    assert "It came after the agreed date" in late.page.words
    assert [(a.text, a.late, a.replaced) for a in world.given] == [("first", False, False), ("second", True, False)]


def test_an_end_on_record_ends_changes_before_the_agreed_date_too(world: World) -> None:
    world.send(world.open(), opinion="works", text="first")
    page = world.open()
    world.facts.record(happened(FactKind.FEEDBACK_ENDED, outcome="some"))
    refused = world.send(page, withdraw="yes")
    assert refused.status_code == 422
    assert "the release notes tell of this answer" in refused.page.words
    assert "so nobody waits for more" in refused.page.words
    assert "Please answer by" not in refused.page.words
    assert "Withdraw the answer" not in world.open().words  # type: ignore[attr-defined]


def test_who_answers_without_an_invitation_gets_a_link_of_their_own_for_this_answer_alone(world: World) -> None:
    thanks = world.send(world.open(token=""), vo="cms", opinion="problem", text="It hangs.", author="Eve")
    link = next(a["href"] for tag, a in thanks.page.tags if tag == "a" and "token=" in (a.get("href") or ""))
    query = parse_qs(urlsplit(str(link)).query)
    other = world.send(world.open(token=""), vo="cms", opinion="problem", text="Mine hangs, too.")
    assert other.status_code == 201
    page = world.open(query["vo"][0], query["token"][0])
    assert (page.fields["text"].strip(), page.fields["author"]) == ("It hangs.", "Eve")
    assert world.send(page, opinion="works", text="It was my proxy.").status_code == 201
    # the first link leads on to the answer that stands
    page = world.open(query["vo"][0], query["token"][0])
    assert page.fields["text"].strip() == "It was my proxy."
    assert [a.text for a in world.said.others] == ["Mine hangs, too.", "It was my proxy."]
    assert world.send(page, withdraw="yes").status_code == 200
    assert [a.text for a in world.said.others] == ["Mine hangs, too."]
    assert world.said.outcome is Outcome.NONE


def test_who_only_says_the_same_as_somebody_else_gets_no_right_to_change_it(world: World) -> None:
    body = {"vo": "cms", "opinion": "works"}
    first = world.http.post(FEEDBACK, json=body)
    assert first.json()["change_token"]
    assert world.http.post(FEEDBACK, json=body).json()["change_token"] is None
    with_their_key = world.http.post(FORM, data=body)
    assert "token=" not in with_their_key.text


@pytest.mark.parametrize(
    ("vo", "token", "why"),
    [
        ("cms", invitation("atlas"), "not this VO's invitation"),
        ("atlas", invitation("atlas", "bc-client-4711-2"), "not this VO's invitation"),
        ("atlas", invitation("atlas")[:-3], "not this VO's invitation"),
        ("atlas", "", "Only whoever gave an answer can change it"),
        ("atlas", "0123456789abcdef0123456789abcdef.x", "not this VO's invitation"),
    ],
    ids=["another VO's", "another rollout's", "cut", "none", "forged"],
)
def test_a_token_that_is_not_the_answers_own_changes_and_withdraws_nothing(
    world: World, vo: str, token: str, why: str
) -> None:
    world.send(world.open("atlas"), opinion="works", text="ours")
    world.send(world.open("cms"), opinion="works", text="theirs")
    before = world.given
    standing = {a.vo: a.identity for a in before}
    body = {"vo": vo, "token": token, "replaces": standing[vo]}
    answer = world.http.post(FEEDBACK, json=body | {"opinion": "problem", "text": "hostile"})
    assert (answer.status_code, why in answer.json()["detail"]) == (422, True), answer.json()
    by_program = world.http.post(WITHDRAWAL, json=body)
    by_form = world.http.post(FORM, data=body | {"withdraw": "yes", "text": "kept"})
    for refused in (by_program, by_form):
        assert refused.status_code == 422
        assert "Only whoever gave an answer can change it" in refused.text
    assert shown(by_form.text).fields["text"].strip() == "kept"
    assert world.given == before


def test_a_program_withdraws_with_the_token_and_is_told_since_when(world: World) -> None:
    world.send(world.open(), opinion="works")
    done = world.http.post(WITHDRAWAL, json={"vo": "atlas", "token": invitation()})
    assert done.status_code == 200
    assert done.json()["withdrawn_at"]
    assert world.http.post(WITHDRAWAL, json={"vo": "atlas", "token": invitation()}).status_code == 422
    body = {"vo": "atlas", "opinion": "works", "token": invitation()}
    for _ in range(2):  # without a key the words are the answer's name; said anew after a withdrawal, it is a new one
        assert world.http.post(FEEDBACK, json=body).status_code == 201
        assert world.http.post(FEEDBACK, json=body).status_code == 200
        assert world.said.silent == ("cms",)
        assert world.http.post(WITHDRAWAL, json={"vo": "atlas", "token": invitation()}).status_code == 200
    hostile = {"Origin": "https://evil.example.org"}
    assert world.http.post(WITHDRAWAL, json={"vo": "atlas"}, headers=hostile).status_code == 403


def test_the_note_of_the_run_is_brought_up_to_date_when_a_vo_speaks(
    services: MemoryServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(services)
    opened = world.facts.facts[0]
    world.facts.facts[0] = replace(opened, payload={**opened.payload, "run": "bc_client_update/first"})
    policy = services.config.policies.feedback.model_copy(update={"enough": 1, "earliest": timedelta(days=3)})
    policies = services.config.policies.model_copy(update={"feedback": policy})
    monkeypatch.setitem(services.config.__dict__, "policies", policies)
    page = world.open()
    assert "0 of 2 VOs have answered; enough are 1; it ends on" in page.words  # type: ignore[attr-defined]
    world.send(page, opinion="works")
    note = world.notes["bc_client_update", "first"]
    assert "1 of 2 VOs have answered, which is enough; it ends on Wed 4 Mar 2026, 12:06 UTC, not earlier" in note
