"""What people write of persons stands on no public page, file or feed: canaries in every free text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from tests.support.desks import at_desk, at_office
from tests.support.examples import DUE, NOW, PATCH, SECRET, asked, previewed, templates
from tests.support.front import SECRET as OURS
from tests.support.front import MemoryServices, services  # noqa: F401
from tests.support.pilot_runs import GOLD, INCIDENT, APilot
from tests.unit.activities.release.test_release_notes import classified
from tests.unit.web.test_late_answers import airflow_user, shared_store

from pps.activities.clients.bulletin_pages import write_bulletin
from pps.activities.clients.run_note import DOOR
from pps.activities.packages.verdicts import overrule
from pps.activities.people.feedback import Said, give_feedback
from pps.activities.people.following import end_token, feed_token, follow
from pps.activities.people.tokens import invitation_token
from pps.activities.pilots import report as pilot_report
from pps.activities.pilots.notes import write_pilot_notes
from pps.activities.quality import deployment_tests
from pps.activities.release.notes import write_release_notes
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.domain.clients.updates import ClientVerdict
from pps.domain.people.following import Follower, Kind, Thing
from pps.domain.pilots.pilot import NOT_CERTIFIED
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import dossier_name
from pps.web.app import PUBLIC, create_app

TOKEN = invitation_token(SECRET, "bc-client-4711-1", "atlas", DUE)
#: What is planted, and what of it nobody may read. `ada-lovelace` is a user who acts.
SAID = (
    "Seen by canary.mail@pic.example.org, canary-spelt [at] pic.example.org and "
    "canary&#64;pic.example.org, canary%2540pic.example.org, canary @ pic.example.org, "
    "canary at pic dot example dot org, a.canary at pic.example.org, ~canary/x, USER=canary, "
    "canary\ufe6bpic.example.org, canary@[192.0.2.1] and "
    "https://canary-login:canary-word@wiki.example.org/x, with https://pps.example.org/pps/feedback/r?vo=a&token="
    f"{TOKEN} in /home/canary-home/x by ada-lovelace; /DC=org/DC=example/CN=Canary Certificate"
)
CANARIES = ("canary", "lovelace", TOKEN, TOKEN.partition(".")[2])
USER = "ada-lovelace"
FOLLOWED = Thing(Kind.PATCH, "4711")
#: Keys of links to what that user follows.
END, FEED = end_token(OURS, USER, FOLLOWED), feed_token(OURS, Follower(USER, "", {}, 0))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FactStore]:
    made = shared_store(tmp_path)
    yield made
    made.dispose()


def a_preview(store: FactStore, folder: Path) -> None:
    """Feedback of all kinds, everything overruled, a site that failed, a rollout that was stopped and withdrawn."""
    record = asked(store, previewed(store))
    for vo, token, at in (("atlas", TOKEN, NOW), ("cms", None, NOW), ("atlas", TOKEN, DUE + timedelta(days=1))):
        said = f"{SAID} {at:%d}"
        give_feedback(store, record.name, Said(vo, "problem", said, f"Canary {SAID}"[:200], token), at, SECRET)
    # as versions before this one have stored it
    old = {"v": 1, "opinion": "comment", "text": SAID, "author": SAID, "invited": True}
    store.record(Fact(record.name, FactKind.FEEDBACK_GIVEN, "ops", "old", NOW, "VO ops", old))
    follow_up = {"answer": "old", "text": SAID, "role": "Release Manager", "user": USER}
    store.record(Fact(record.name, FactKind.FEEDBACK_FOLLOWED_UP, "ops", "f", NOW, f"user {USER}", follow_up))
    store.record(Fact(record.name, FactKind.FEEDBACK_WITHDRAWN, "atlas", "none", NOW, "VO atlas", {"by": USER}))
    classified(store)
    overrule(at_office(store, now=NOW, actor=USER), PATCH, ClientVerdict.BC, SAID)
    by = {"urgency": "urgent", "reason": SAID, "by": {"EMT": USER, "PPS Coordinator": USER}, "state": "x"}
    overruled = Fact(dossier_name(4711), FactKind.POLICIES_OVERRULED, "", "o-1", NOW, USER, by)
    store.record_in_dossier(4711, overruled)
    for kind, subject, payload in (
        (FactKind.SITE_FAILED, "PIC", {"reason": SAID, "step": "install"}),
        (FactKind.PREVIEW_LOST, "PIC", {"reason": SAID}),
        (FactKind.SITE_LEFT_OUT, "PIC", {"reason": SAID}),
        (FactKind.ROLLOUT_STOPPED, "", {"reason": SAID, "reasons": [SAID]}),
        (FactKind.RELEASE_REFUSED, "", {"reason": SAID, "reasons": [SAID]}),
        (FactKind.WITHDRAWAL_ASKED, "", {"reason": SAID, "user": USER}),
        (FactKind.PREVIEW_REMOVED, "PIC", {"reason": SAID, "tarball": "x"}),
    ):
        store.record(Fact(record.name, kind, subject, "canary", NOW, f"user {USER}", payload))
    write_release_notes(
        at_desk(
            store.rollout(record.name),
            store,
            templates=templates(),
            patch=PATCH,
            now=DUE + timedelta(days=9),
            actor=USER,
        ),
        PublishedFolder(folder),
    )


def a_deployment_test(store: FactStore, folder: Path) -> None:
    """One scenario that failed with reasons."""
    from tests.support import deployment_bench as bench

    record = bench.opened(store, run="t/canary")
    for name in [s["name"] for s in record.need(FactKind.SCENARIOS_PLANNED, "").payload["scenarios"]]:
        said = {"result": "fail", "platform": "p", "reason": SAID, "log": "", "by": USER, "steps": [SAID]}
        store.record(Fact(record.name, FactKind.SCENARIO_ENDED, name, "", NOW, f"user {USER}", said))
    deployment_tests.close_deployment_test(
        at_desk(store.rollout(record.name), store, now=NOW, actor=USER), publication=PublishedFolder(folder)
    )


def a_pilot(store: FactStore, folder: Path) -> None:
    """A pilot with journal, roll-back, report and wrap-up."""
    pilot = APilot(store=store).set_up()
    pilot.fact(FactKind.JOURNAL_ENTRY, "PIC", "1", text=SAID, user=USER)
    pilot.fact(FactKind.SERVICE_PROBED, "PIC", "change-1", state="CRITICAL", text=SAID)
    pilot.fact(FactKind.ROLL_BACK_ASKED, "PIC", "1", reason=SAID, user=USER, by="PIC")
    pilot.fact(FactKind.SERVICE_ROLLED_BACK, "PIC", "1", reason=SAID, version="1", by=USER)
    pilot.fact(FactKind.DECIDED, "", NOT_CERTIFIED, decision="x", reason=SAID, user=USER)
    pilot.fact(FactKind.RUN_ENDED, outcome="success", reason=SAID)
    due = NOW.isoformat()
    pilot.fact(
        FactKind.QUESTION_ASKED, "PIC", pilot_report.STEP, due=due, to="", title="", assigned_to=[f"user:{USER}"]
    )
    form = dict.fromkeys(pilot_report.FIELDS, SAID)
    answer = {"step": pilot_report.STEP, "choice": "Report", "form": form, "user": USER}
    pilot.fact(FactKind.ANSWER_GIVEN, "PIC", f"{pilot_report.STEP}/1", **answer)
    pilot_report.write_report(
        at_desk(pilot.record, store, templates=templates(), patch=pilot.patch, now=NOW, actor=USER),
        GOLD["PIC"],
        PublishedFolder(folder),
        incident_after=INCIDENT,
    )
    decision = {"decision": "release", "guidelines": SAID, "reason": SAID, "remarks": [SAID], "reasons_against": [SAID]}
    pilot.fact(FactKind.WRAPPED_UP, "", "1", **decision, no_feedback=False, user=USER, participants=[])
    write_pilot_notes(
        at_desk(pilot.record, store, templates=templates(), patch=pilot.patch, now=NOW, actor=USER),
        PublishedFolder(folder),
    )


def _addresses(path: str, folder: Path, rollouts: list[str]) -> Iterator[str]:
    """A route's address for everything that it may be asked for: each rollout, and each file that was written."""
    first = path.split("/")[1]
    for name in rollouts:
        files = [f.name for f in folder.rglob("*") if f.is_file()] if "{file}" in path else [""]
        for file in files:
            number = name.rsplit("-", 2)[1]  # of its patch
            for token in (END, FEED) if "{token}" in path else ("",):
                filled = path.replace("{name}", name).replace("{file}", file).replace("{number}", number)
                yield filled.replace("{token}", token)
    assert "{" not in re.sub(r"\{(name|file|number|token)\}", "", path), (
        f"{first}: say here with what its addresses are filled"
    )


@pytest.mark.slow
def test_no_canary_sings_on_a_public_page_file_or_feed(services: MemoryServices, store: FactStore) -> None:
    folder = Path(services.publication_folder.root)
    services.__dict__["facts"] = store
    a_preview(store, folder)
    a_deployment_test(store, folder)
    a_pilot(store, folder)
    follow(at_office(store, actor=f"user {USER}"), USER, "canary.mail@pic.example.org", FOLLOWED, ())
    write_bulletin(store, services.config.sites, templates(), PublishedFolder(folder), NOW, "https://pps.example.org")
    app = create_app(lambda: services, airflow_user, lambda: NOW)
    web = TestClient(app, base_url="https://pps.example.org")
    rollouts = [row.name for row in store.rollouts()]
    shown: dict[str, str] = {}
    for route in app.routes:
        if isinstance(route, APIRoute) and ("GET", route.path) in PUBLIC:
            for address in _addresses(route.path, folder, rollouts):
                answer = web.get(address)
                assert answer.status_code in (200, 404), f"{address}: {answer.status_code}"
                if answer.status_code == 200:
                    shown[address] = answer.text
    shown |= {f"file {f.name}": f.read_text() for f in folder.rglob("*") if f.suffix in (".html", ".json", ".txt")}
    assert {path for method, path in PUBLIC if method == "GET"} == {
        path for path in {r.path for r in app.routes if isinstance(r, APIRoute)} if ("GET", path) in PUBLIC
    }
    for kind in (
        "release-notes",
        "pilots",
        "deployment-tests",
        "bulletin",
        "bulletin/bc-client",
        "feedback",
        "api/v1/rollouts",
        "patches/4711",
        "api/v1/patches/4711",
        "following/end",
        f"following/{FEED}.atom",
    ):
        assert any(address.startswith(f"/{kind}") for address in shown), f"nothing of {kind} was shown"
    leaks = {
        address: text[max(0, at - 80) : at + 60]
        for address, text in shown.items()
        for canary in CANARIES
        if (at := text.casefold().find(canary.casefold())) >= 0
    }
    assert not leaks
    assert any("Seen by" in text for text in shown.values()), "what is not of persons is shown"


def test_who_has_no_role_is_shown_nothing_that_is_closed(services: MemoryServices, store: FactStore) -> None:
    services.__dict__["facts"] = store
    previewed(store)

    class Nobody:
        roles: tuple[Any, ...] = ()

        def get_name(self) -> str:
            return "nobody"

        def get_id(self) -> str:
            return "1"

    app = create_app(lambda: services, Nobody, lambda: NOW)
    web = TestClient(app, base_url="https://pps.example.org")
    closed = 0
    for route in app.routes:
        for method in (route.methods or ()) if isinstance(route, APIRoute) else ():
            if (method, route.path) in PUBLIC:  # type: ignore[attr-defined]
                continue
            address = re.sub(r"\{\w+\}", "bc-client-4711-1", route.path) + "?rollout=bc-client-4711-1"  # type: ignore[attr-defined]
            answer = web.request(method, address, json={})
            if route.path in (DOOR, "/api/v1/sites/{name}/receipts"):  # type: ignore[attr-defined]
                assert answer.status_code == 401, "a worker, or a site, is known by its signature, and a user is none"
                continue
            assert answer.status_code == 403, f"{method} {address}: {answer.status_code}"
            assert "no role" in answer.json()["detail"]
            closed += 1
    assert closed > 8
