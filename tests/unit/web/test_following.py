"""What somebody follows: their own page, feed and links, and nobody else's."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from tests.support.bad_input import HTML
from tests.support.described import as_described
from tests.support.examples import PATCH
from tests.support.following import ROLLOUT, URL, AFollowing
from tests.support.front import SECRET
from tests.unit.web.test_pages import BROWSER, Read
from typer.testing import CliRunner

from pps.activities.people.following import RECORD, end_token
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.people.following import MOST, Kind, Thing
from pps.domain.record.facts import FactKind

OF_PATCH = Thing(Kind.PATCH, "4711")
END = f"/following/end/{end_token(SECRET, 'ada', OF_PATCH)}"


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = AFollowing.of(tmp_path)
    yield made
    made.store.dispose()


def feed_of(world: AFollowing, name: str) -> str:
    """Path of somebody's feed."""
    return urlsplit(world.who(name).get("/api/v1/following").json()["feed"]).path.removeprefix("/pps")


def titles(world: AFollowing, path: str) -> list[str]:
    answer = world.who().get(path)
    assert answer.status_code == 200
    space = "{http://www.w3.org/2005/Atom}"
    return [e.findtext(f"{space}title") or "" for e in ElementTree.fromstring(answer.content).iter(f"{space}entry")]


def test_a_patch_a_product_and_a_site_are_followed_and_ended_on_ones_own_page(world: AFollowing) -> None:
    for what in ("patch:4711", f"product:{PATCH.metapackage}", "site:PIC"):
        world.follows("ada", what)
    words = Read(world.who("ada").get("/following").text).words
    assert "Patch 4711" in words
    assert "Product glite-WN" in words
    assert "Site PIC" in words
    assert "By mail to ada@example.org" in words
    ended = world.who("ada").post("/following", data={"do": "end", "what": "site:PIC"})
    assert (ended.status_code, ended.headers["location"]) == (303, "following")
    assert world.followed_by("ada") == ["patch:4711", "product:glite-WN"]
    world.follows("ada", "site:PIC")
    assert "site:PIC" in world.followed_by("ada")


def test_pages_of_patches_and_sites_lead_here_with_the_field_filled_in_and_are_the_same_for_all(
    world: AFollowing,
) -> None:
    page = world.who().get("/patches/4711").text
    assert page == world.who("ada").get("/patches/4711").text
    assert 'href="../following?patch=4711#patch"' in page
    assert 'href="../following?site=PIC#site"' in world.who().get("/sites/PIC").text
    form = Read(world.who("ada").get("/following?patch=4711&site=PIC").text)
    assert (form.fields["patch"]["value"], form.fields["site"]["value"]) == ("4711", "PIC")


@pytest.mark.parametrize(
    ("field", "typed", "says"),
    [
        ("patch", "9999", "neither the tracker nor the record knows 9999"),
        ("patch", "4711x", "no number of a patch"),
        ("product", "glite-UI", "glite-WN"),
        ("site", "NOWHERE", "CNAF, PIC"),
    ],
)
def test_what_nobody_knows_is_422_with_what_there_is_and_keeps_what_was_typed(
    world: AFollowing, field: str, typed: str, says: str
) -> None:
    page = world.who("ada").post("/following", data={"do": "follow", field: typed}, headers=BROWSER)
    assert page.status_code == 422
    read = Read(page.text)
    assert says in read.words
    assert read.fields[field]["value"] == typed
    assert world.followed_by("ada") == []
    said = world.who("ada").post("/api/v1/following", json={"do": "follow", "what": f"{field}:{typed}"})
    assert said.status_code == 422
    assert says in said.json()["detail"]


def test_the_same_twice_is_one_and_there_is_an_end_to_the_number(world: AFollowing, monkeypatch: Any) -> None:
    for _ in range(2):
        world.follows("ada", "patch:4711")
    kinds = [f.kind for f in world.store.rollout(RECORD).facts]
    assert kinds.count(FactKind.FOLLOWED) == 1
    monkeypatch.setattr("pps.domain.people.following.MOST", 1)
    assert world.who("ada").post("/following", data={"do": "follow", "site": "PIC"}).status_code == 422
    assert MOST > 1


def test_programs_follow_and_end_as_the_page_does(world: AFollowing) -> None:
    client = world.who("ada")
    said = as_described(client, client.post("/api/v1/following", json={"do": "follow", "what": "patch:4711"}))
    assert said.json()["following"][0]["what"] == "patch:4711"
    assert client.post("/api/v1/following", json={"do": "end", "what": "patch:4711"}).json()["following"] == []
    for wrong in ({"do": "explode", "what": "patch:1"}, {"do": "end", "what": "4711"}, {"do": "end"}):
        assert client.post("/api/v1/following", json=wrong).status_code == 422


def test_the_command_line_does_the_same(world: AFollowing) -> None:
    class Airflow:
        def request(self, method: str, path: str, **given: Any) -> Any:
            answer = world.who("ada").request(method, path.removeprefix("pps"), **given)
            return SimpleNamespace(json=answer.json, ok=answer.is_success, status_code=answer.status_code)

    front = Front(world.services)
    front.__dict__["airflow"] = Airflow()

    def pps(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["follow", *words], obj=front)
        return done.exit_code, done.output

    assert pps("list")[1].startswith("ada follows nothing.")
    assert "patch:4711" in pps("add", "patch:4711")[1]
    assert world.followed_by("ada") == ["patch:4711"]
    code, said = pps("add", "site:NOWHERE")
    assert (code, "CNAF, PIC" in " ".join(said.split())) == (1, True)
    assert "follows nothing" in pps("end", "patch:4711")[1]


# --- nobody else's


@pytest.mark.parametrize(("method", "path"), [("get", "/following"), ("post", "/following")])
def test_a_stranger_and_somebody_without_a_role_see_nothing(world: AFollowing, method: str, path: str) -> None:
    for place in (path, f"/api/v1{path}"):
        assert getattr(world.who(), method)(place).status_code == 401
        assert getattr(world.who("ada:none"), method)(place).status_code == 403


def test_nobody_reads_or_ends_what_somebody_else_follows(world: AFollowing) -> None:
    world.follows("ada", "patch:4711")
    bob = world.who("bob:PPS Coordinator")
    assert bob.get("/api/v1/following").json()["following"] == []
    assert "4711" not in Read(bob.get("/following").text).words.replace("e.g. 4711", "")
    bob.post("/following", data={"do": "end", "what": "patch:4711", "user": "ada"})
    bob.post("/api/v1/following", json={"do": "end", "what": "patch:4711"})
    assert world.followed_by("ada") == ["patch:4711"]
    assert feed_of(world, "bob") != feed_of(world, "ada")


@pytest.mark.parametrize("path", ["", "/facts", "/outbox"])
def test_the_record_of_followers_is_shown_by_no_list(world: AFollowing, path: str) -> None:
    world.follows("ada", "patch:4711")
    reader = world.who("bob:Admin")
    assert reader.get(f"/api/v1/rollouts/{RECORD}{path}").status_code == 404
    assert reader.get(f"/rollouts/{RECORD}").status_code == 404
    assert RECORD not in reader.get("/api/v1/rollouts").text
    assert "ada" not in world.who().get("/api/v1/bulletin").text


def test_a_page_of_another_site_changes_nothing(world: AFollowing) -> None:
    for origin in ("https://evil.example.org", "null"):
        answer = world.who("ada").post("/following", data={"do": "follow", "patch": "4711"}, headers={"Origin": origin})
        assert answer.status_code == 403
        assert world.who().post(END, headers={"Origin": origin}).status_code == 403
    assert world.followed_by("ada") == []


@pytest.mark.parametrize("text", HTML)
def test_what_is_typed_is_text(world: AFollowing, text: str) -> None:
    page = world.who("ada").get("/following", params={"patch": text, "product": text, "site": text}).text
    assert "<script>" not in page
    assert "<img" not in page


# --- one link ends it


def test_a_link_ends_it_without_signing_in_but_not_by_being_looked_at(world: AFollowing) -> None:
    world.follows("ada", "patch:4711")
    world.follows("ada", "site:PIC")
    seen = world.who().get(END)
    assert "End following patch 4711?" in Read(seen.text).words
    assert "ada" not in seen.text
    assert world.followed_by("ada") == ["patch:4711", "site:PIC"]
    done = world.who().post(END, content="List-Unsubscribe=One-Click")  # RFC 8058
    assert done.status_code == 200
    assert "You no longer follow patch 4711" in Read(done.text).words
    assert world.followed_by("ada") == ["site:PIC"]
    assert "You no longer follow" in world.who().get(END).text
    world.who().post(END, data={"all": "yes"})
    assert world.followed_by("ada") == []


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t.swapcase(), lambda t: "x", lambda t: "é" * 43])
def test_a_link_that_is_not_whole_ends_nothing_and_shows_nothing(world: AFollowing, change: Any) -> None:
    world.follows("ada", "patch:4711")
    bad = f"/following/end/{change(END.rpartition('/')[2])}"
    assert world.who().get(bad).status_code == 404
    assert world.who().post(bad).status_code == 404
    assert world.followed_by("ada") == ["patch:4711"]


def test_one_persons_link_does_not_end_what_another_follows(world: AFollowing) -> None:
    for name in ("ada", "bob"):
        world.follows(name, "patch:4711")
    world.who().post(f"/following/end/{end_token(SECRET, 'bob', OF_PATCH)}")
    assert (world.followed_by("ada"), world.followed_by("bob")) == (["patch:4711"], [])


def test_who_tries_links_at_random_has_to_wait(world: AFollowing) -> None:
    client = world.who()
    codes = [client.get(f"/following/end/{n}").status_code for n in range(80)]
    assert codes[0] == 404
    assert 429 in codes


# --- the feed


def test_the_feed_has_what_came_after_and_its_old_address_leads_nowhere(world: AFollowing) -> None:
    world.follows("ada", "patch:4711")
    world.follows("ada", "site:PIC")
    old = feed_of(world, "ada")
    assert titles(world, old) == []
    world.then(FactKind.FEEDBACK_DATE_AGREED, due="2026-03-15T12:00:00+00:00")
    world.then(FactKind.WITHDRAWAL_ASKED, reason="It loses files; ask bob@example.org.")
    assert titles(world, old) == [
        "The preview of glite-WN 3.1.23 (patch 4711) is withdrawn: It loses files; ask b***@example.org.",
        "Feedback on glite-WN 3.1.23 (patch 4711) is asked for until 2026-03-15 12:00 UTC.",
    ]
    assert "ada" not in re.sub(r"feed[^<]*", "", world.who().get(old).text)
    world.who("ada").post("/following", data={"do": "feed"})
    assert world.who().get(old).status_code == 404
    assert len(titles(world, feed_of(world, "ada"))) == 2
    assert world.who().get("/following/x.atom").status_code == 404


def test_each_entry_of_the_feed_leads_to_the_patch_and_is_known_again(world: AFollowing) -> None:
    world.follows("ada", "site:PIC")
    world.then(FactKind.TAG_REMOVED, "PIC", "x")
    world.then(FactKind.TAG_SEEN, "PIC", "again")
    first, second = (world.who().get(feed_of(world, "ada")).text for _ in range(2))
    assert first == second
    answer = world.who().get(feed_of(world, "ada"))
    world.wait(90)
    same = {"If-None-Match": answer.headers["etag"]}
    assert world.who().get(feed_of(world, "ada"), headers=same).status_code == 304
    world.then(FactKind.TAG_SEEN, "CNAF", "x")
    world.follows("ada", "site:CNAF")
    assert world.who().get(feed_of(world, "ada"), headers=same).status_code == 200
    assert f"{URL}/pps/patches/4711" in first
    assert f"{ROLLOUT}/available%20PIC" in first
