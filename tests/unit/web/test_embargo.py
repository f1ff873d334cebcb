"""A patch under embargo is on no public page, feed, file or mail until its date; those who work on it see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from tests.support.desks import at_desk, at_office
from tests.support.examples import AUDIENCE, DUE, NOW, PATCH, asked, previewed, templates
from tests.support.front import SECRET as OURS
from tests.support.front import MemoryServices, MemoryTracker, services, site, write_config  # noqa: F401
from tests.unit.web.test_late_answers import airflow_user, as_user, shared_store

from pps.activities.packages.advice import look_at_advice, note_advice
from pps.activities.packages.embargo import secrets_in
from pps.activities.people import notification
from pps.activities.people.following import end_token, feed_token, follow, tell_followers
from pps.activities.people.notification import Party
from pps.activities.people.outbox import empty_outbox
from pps.activities.ports.packages import Tarball
from pps.activities.ports.people import Mail
from pps.activities.release.notes import write_release_notes
from pps.activities.sites import wishes
from pps.activities.trust.statements import offer_installation
from pps.adapters.packages.folders import PublishedFolder
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.packages.advice import Impact, Risk, Vulnerability
from pps.domain.packages.manifest import Manifest
from pps.domain.people.following import Follower, Kind, Thing
from pps.domain.record.facts import Fact, FactKind
from pps.domain.sites.site import Platform
from pps.web.app import PUBLIC, create_app

UNTIL = NOW + timedelta(days=3)
#: A number, a version and a CVE that stand nowhere else.
SECRET_PATCH = replace(
    PATCH,
    number=774711,
    version="3.77.23",
    title="Secretly mended",
    cves=(Vulnerability("CVE-2026-77123", Risk.CRITICAL), Vulnerability("CVE-2026-77124")),
    vex=(Impact.read("CVE-2026-77125 not_affected vulnerable_code_not_present"),),
    embargo_until=UNTIL,
)
LIFTED = replace(SECRET_PATCH, embargo_until=None)
TRACES = ("774711", "3.77.23", "cve-2026-77", "secretly")
NAME = "bc-client-774711-1"
FOLLOWED = Thing(Kind.PRODUCT, "glite-WN")
TOKENS = (end_token(OURS, "fay", FOLLOWED), feed_token(OURS, Follower("fay", "", {}, 0)))


class World:
    """An installation with one preview under embargo and another that is public."""

    def __init__(self, services: MemoryServices, folder: Path) -> None:
        self.services, self.now = services, NOW + timedelta(hours=1)
        self.store = shared_store(folder)
        self.tracker = MemoryTracker(PATCH, SECRET_PATCH)
        people = {"administrators": ["ana"]}
        services.__dict__["config"] = write_config(
            folder / "c", [site("PIC", **people), site("SARA", administrators=["saskia"])]
        )
        services.__dict__.update(facts=self.store, tracker=self.tracker)
        previewed(self.store)
        follow(at_office(self.store, actor="user fay"), "fay", "fay@example.org", FOLLOWED, ())
        note_advice(at_office(self.store, actor="release-manager"), SECRET_PATCH)
        record = asked(self.store, previewed(self.store, SECRET_PATCH, run="bc_client_update/secret"))
        assert record.name == NAME
        manifest, platform = Manifest("glite-WN", "3.77.23", (), ()), Platform("debian12", "amd64")
        preview = Tarball(manifest.name, manifest.digest, {}, 1, ())
        there = at_desk(self.store.rollout(NAME), self.store, patch=SECRET_PATCH, now=NOW)
        offer_installation(there, preview, manifest, {platform}, packed=1, holds_for=timedelta(days=90))
        # a site's own words can name it, too
        office, by = at_office(self.store), wishes.Speaker("ana", frozenset({"user:ana"}))
        pin = wishes.pin(services.config.sites["PIC"], "glite-WN", "3.77.23", "We wait for others.", by)
        wishes.say(office, pin, "ana")
        self.app = create_app(lambda: services, airflow_user, lambda: self.now)
        self.web = TestClient(self.app, base_url="https://pps.example.org")

    def public_addresses(self) -> Iterator[str]:
        """Every public route, for everything that it may be asked for."""
        files = [f.name for f in Path(self.services.publication_folder.root).rglob("*") if f.is_file()]
        for route in self.app.routes:
            if isinstance(route, APIRoute) and ("GET", route.path) in PUBLIC:
                for name in (NAME, "PIC", "bc-client-4711-1"):
                    for file in {
                        *files,
                        f"{NAME}.html",
                        f"{NAME}.txt",
                        f"{NAME}.cdx.json",
                        f"{NAME}.licences",
                        "sites.html",
                        "PIC.html",
                    }:
                        for token in TOKENS:
                            path = route.path.replace("{name}", name).replace("{file}", file)
                            yield path.replace("{number}", "774711").replace("{token}", token)

    def leaks(self) -> dict[str, str]:
        """What is said of it to a stranger; that there is none with what was asked for says nothing."""
        found = {}
        for address in sorted(set(self.public_addresses())):
            answer = self.web.get(address)
            text = answer.text.casefold()
            if answer.status_code == 404:  # the very words that another number gets
                other = self.web.get(address.replace("774711", "774799"))
                assert other.status_code == 404, address
                text = text.replace("774711", "774799").replace(other.text.casefold(), "")
            else:
                assert answer.status_code == 200, f"{address}: {answer.status_code}"
            found |= {f"{address}: {trace}": text for trace in TRACES if trace in text}
        files = [f for f in Path(self.services.publication_folder.root).rglob("*") if f.is_file()]
        for file in files:
            told = file.name + file.read_text(errors="replace")
            found |= {f"{file.name}: {trace}": told for trace in TRACES if trace in told.casefold()}
        return found

    def write_bulletin(self) -> None:
        self.services.write_bulletin(self.now)


@pytest.fixture
def world(services: MemoryServices, tmp_path: Path) -> Iterator[World]:
    made = World(services, tmp_path)
    yield made
    made.store.dispose()


def test_an_embargoed_rollout_is_on_no_public_route_and_in_no_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPS_METRICS_TOKEN", token := "t" * 40)
    world.write_bulletin()
    assert not world.leaks()
    numbers = world.web.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert numbers.status_code == 200 and 'version="3.1.23"' in numbers.text and "3.77.23" not in numbers.text
    past = world.web.get("/api/v1/bulletin", params={"at": (NOW + timedelta(minutes=30)).isoformat()})
    assert past.status_code == 200 and "774711" not in past.text


@pytest.mark.parametrize("how", ["its date has come", "the tracker has no embargo any more"])
def test_it_is_public_from_its_date_or_as_soon_as_the_flag_goes(world: World, how: str) -> None:
    assert "CVE-2026-77123" not in world.web.get("/bulletin").text  # and this page is kept
    log = world.web.get("/log.json").headers["etag"]
    if how == "its date has come":
        world.now = UNTIL
    else:
        world.tracker.known[774711] = LIFTED
        look_at_advice(at_office(world.store, now=world.now), world.tracker)
    bulletin = world.web.get("/api/v1/bulletin").json()
    shown = {r["patch"]: r["cves"] for r in bulletin["rollouts"]}
    assert shown == {
        774711: [
            {"cve": "CVE-2026-77123", "severity": "critical"},
            {"cve": "CVE-2026-77124", "severity": None},
        ],
        4711: [],
    }
    for page in ("/bulletin", "/patches/774711", "/bulletin.atom", f"/bulletin/{NAME}.html"):
        assert "CVE-2026-77123" in world.web.get(page).text, page
    assert world.web.get(f"/api/v1/rollouts/{NAME}").status_code == 200
    assert "3.77.23" in world.web.get("/log.json", headers={"If-None-Match": log}).text


def test_an_embargo_that_the_tracker_sets_later_hides_what_was_shown(world: World) -> None:
    world.now = UNTIL + timedelta(days=1)
    why = {"reason": "3.77.23 takes its place.", "patch": 774711}
    world.store.record(Fact("bc-client-4711-1", FactKind.WITHDRAWAL_ASKED, "", "", NOW, "user:rita", why))
    shown = world.web.get("/api/v1/bulletin").json()["rollouts"]
    assert {r["patch"]: r["withdrawn"] for r in shown} == {774711: None, 4711: why["reason"]}
    world.tracker.known[774711] = replace(SECRET_PATCH, embargo_until=UNTIL + timedelta(days=9))
    look_at_advice(at_office(world.store, now=world.now), world.tracker)
    assert not world.leaks()


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ("cdx.json", "application/vnd.cyclonedx+json; version=1.6"),
        ("licences", "text/plain; charset=utf-8"),
        ("verification.asc", "text/plain; charset=utf-8"),
    ],
)
def test_what_stands_beside_a_release_is_hidden_with_it(world: World, ending: str, kind: str) -> None:
    file = f"release-notes/{NAME}.{ending}"
    world.services.publication_folder.publish(file, '{"version": "3.77.23"}')
    assert world.web.get(f"/{file}").status_code == 404
    world.now = UNTIL
    shown = world.web.get(f"/{file}")
    assert (shown.status_code, shown.text, shown.headers["content-type"]) == (200, '{"version": "3.77.23"}', kind)


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        ("rita:Release Manager", True),
        ("carla:PPS Coordinator", True),
        ("sec:Security Officer", True),
        ("emma:EMT", True),
        ("ana:Site Administrator", True),  # of PIC, which is in the plan
        ("saskia:Site Administrator", False),
        ("vera:VO Representative", False),
        ("rob:Regional Manager", False),
        ("vic:Viewer", False),
    ],
)
def test_signed_in_it_is_seen_by_those_who_work_on_it_and_by_nobody_else(world: World, who: str, sees: bool) -> None:
    web = TestClient(world.app, base_url="https://pps.example.org", headers=as_user(who))
    page = web.get(f"/rollouts/{NAME}")
    assert page.status_code == (200 if sees else 404)
    if sees:
        assert "Embargoed until" in page.text and "CVE-2026-77123" in page.text
    asks = {"Content-Type": "application/json"}
    answers = {
        "list": web.get("/api/v1/rollouts"),
        "tracker": web.get("/api/v1/tracker/patches"),
        "register": web.post("/api/v1/record", content='{"ask": "rollouts"}', headers=asks),
        "facts": web.post("/api/v1/record", content=f'{{"ask": "facts", "names": ["{NAME}"]}}', headers=asks),
        "kinds": web.post("/api/v1/record", content='{"ask": "of-kind", "kinds": ["advice-seen"]}', headers=asks),
    }
    told = {what: "774711" in answer.text for what, answer in answers.items()}
    assert told == dict.fromkeys(answers, sees), {k: a.status_code for k, a in answers.items()}


class Post:
    def __init__(self) -> None:
        self.to: list[str] = []

    def send(self, mails: Any, accepted: Any = lambda key: None) -> dict[str, str]:
        for mail in mails:
            self.to.append(mail.to)
            accepted(mail.key)
        return {}


def test_mails_to_vos_regions_and_followers_wait_and_leave_when_the_embargo_ends(world: World) -> None:
    desk = at_desk(world.store.rollout(NAME), world.store, patch=SECRET_PATCH, now=NOW)
    another_vo = replace(AUDIENCE, vos=(Party("cms", "cms-grid@example.org"),))
    assert notification.broadcast(desk, AUDIENCE) and notification.invite_originators(desk, AUDIENCE)
    assert notification.invite_vos(desk, another_vo)
    desk.record(mails=[Mail(f"{NAME}/site-told/PIC", "admin@pic.example.org", "It failed there", "Because.")])
    post = Post()

    def sweep() -> None:
        tell_followers(at_office(world.store, now=world.now), lambda: OURS, "https://pps.example.org")
        empty_outbox(world.store, post, lambda: world.now, insiders=world.services.insiders)

    sweep()
    # of the public one its follower hears; of the secret one its site
    assert sorted(post.to) == ["admin@pic.example.org", "fay@example.org"]
    world.now = UNTIL - timedelta(minutes=1)
    sweep()
    assert len(post.to) == 2
    waiting = [error for _, sent, error in world.store.outbox(NAME) if sent is None]
    assert waiting and set(waiting) == {f"embargoed until {UNTIL:%Y-%m-%d %H:%M} UTC"}
    world.now = UNTIL + timedelta(minutes=1)
    sweep()
    assert {"cms-grid@example.org", "roc-italy@example.org", "user-support@example.org"} <= set(post.to)
    assert post.to.count("fay@example.org") == 2
    assert all(sent for _, sent, _ in world.store.outbox(NAME))


def test_release_notes_are_not_written_before_and_name_the_cves_then(world: World, tmp_path: Path) -> None:
    def write(now: Any) -> None:
        desk = at_desk(world.store.rollout(NAME), world.store, templates=templates(), patch=SECRET_PATCH, now=now)
        write_release_notes(desk, PublishedFolder(tmp_path / "notes"))

    with pytest.raises(NotYetAllowedError, match="is embargoed until 2025-12-04"):
        write(UNTIL - timedelta(seconds=1))
    assert not (tmp_path / "notes").exists()
    write(DUE + timedelta(days=9))
    notes = (tmp_path / "notes/release-notes" / f"{NAME}.txt").read_text()
    assert "* CVE-2026-77123 (critical)\n" in notes and "* CVE-2026-77124\n" in notes
    assert "* CVE-2026-77125: not affected (vulnerable code not present)\n" in notes


def test_the_same_word_of_the_tracker_is_on_record_once(world: World) -> None:
    office = at_office(world.store, now=world.now)
    assert note_advice(office, SECRET_PATCH) == () and note_advice(office, PATCH) == ()
    assert [f.occasion for f in note_advice(office, LIFTED)] == ["2"]
    assert [f.occasion for f in note_advice(office, SECRET_PATCH)] == ["3"]
    less = replace(SECRET_PATCH, vex=())
    assert [f.payload["vex"] for f in note_advice(office, less)] == [[]], "what is said of others is a part of it"
    assert note_advice(office, less) == ()


def test_of_an_embargo_that_has_ended_no_record_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    standing = type(world.store).standing
    monkeypatch.setattr(type(world.store), "standing", lambda *asked: read.append(asked) or standing(*asked))
    assert list(secrets_in(world.store, NOW)) == [774711]
    assert len(read) == 1
    assert secrets_in(world.store, UNTIL) == {}
    assert len(read) == 1
