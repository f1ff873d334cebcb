"""A provider submits releases: through real pages and doors, from a real repository, into a tracker."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.bad_input import HTML, JSON, NAMES, TEXTS
from tests.support.described import as_described
from tests.support.examples import NOW, previewed
from tests.support.front import ROLLOUT
from tests.support.provider import Provider, apt_provider  # noqa: F401
from tests.support.submitting import CONTACT, MANAGER, NOTES, OTHER, PAT, Submitting, until
from tests.unit.web.test_pages import Read

from pps.activities.packages import submission_look
from pps.activities.packages.verdicts import reasons_against_bc, standing_verdict
from pps.domain.base.errors import RefusedError, ServiceError
from pps.domain.packages.patch import PackageRef, PatchState
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import dossier_name
from pps.domain.record.submissions import RECORD
from pps.sandbox.provider.package_formats import SamplePackage

LOG = {"usr/share/doc/client/changelog.gz": (0o644, "client (1.0-1)")}
CLIENT = SamplePackage(PackageRef("client", "1.0-1", "all"), {"usr/bin/client": (0o755, "#!/bin/sh\n"), **LOG})
CONFIGURED = SamplePackage(
    PackageRef("glite-yaim-x", "1.0-1", "all"),
    {"opt/glite/yaim/functions/config_x": (0o644, "config_x_check () { requires X_HOST ; }\n"), **LOG},
)
DOOR, PLACE = "/api/v1/provider/releases", "/api/v1/provider/releases/glite-WN/3.1.24"
WAIVERS = f"{PLACE}/waivers"


@pytest.fixture
def world(apt_provider: Provider, tmp_path: Path) -> Iterator[Submitting]:
    (tmp_path / "world").mkdir()
    made = Submitting(apt_provider, tmp_path / "world")
    yield made
    made.store.dispose()


def faults(release: dict[str, Any]) -> list[str]:
    return [f["code"] for f in release["findings"] if f["weight"] == "fault"]


def the(release: dict[str, Any], code: str) -> dict[str, Any]:
    return next(f for f in release["findings"] if f["code"] == code)


# --- the way of a release


def test_a_sound_release_is_entered_in_the_tracker_with_its_providers_address(world: Submitting) -> None:
    found = world.sent(world.document(CLIENT, cves=["CVE-2026-12345 critical"]))
    as_described(world.web, world.get(PLACE))
    as_described(world.web, world.get(DOOR))
    assert (found["state"], found["patch"], faults(found)) == ("entered", 1, [])
    patch = world.tracker.known[1]
    assert (patch.metapackage, patch.version, patch.state) == ("glite-WN", "3.1.24", PatchState.READY_FOR_CERTIFICATION)
    assert (patch.provider, patch.basic_certification_passed, patch.release_notes) == (CONTACT, False, NOTES)
    assert list(map(str, patch.cves)) == ["CVE-2026-12345 critical"]


@pytest.mark.sd("4.1.1")
@pytest.mark.parametrize(("packages", "verdict"), [((CLIENT,), "bc"), ((CLIENT, CONFIGURED), "non-bc")])
def test_what_the_look_says_of_its_configuration_is_the_classification_on_record(
    world: Submitting, packages: tuple[SamplePackage, ...], verdict: str
) -> None:
    world.sent(world.document(*packages, special_configuration="Set X_HOST." if len(packages) > 1 else ""))
    dossier = until(lambda: d if (d := world.store.dossier(1)).has(FactKind.CLASSIFIED) else None)
    assert standing_verdict(dossier).verdict == verdict
    reasons = reasons_against_bc(dossier, world.tracker.known[1])
    assert not any("Classify it again" in reason for reason in reasons), "it is of this very patch"
    assert world.seen()["standing"]["verdict"] == verdict


def test_three_faults_are_found_at_once_and_the_corrected_release_is_the_same_patch_with_its_history(
    world: Submitting,
) -> None:
    document = world.document(CLIENT, CONFIGURED)
    missing = {"name": "gone", "version": "1-1", "arch": "all"}
    wrong = {**document, "release_notes": " ", "packages": [*document["packages"], missing]}
    refused = world.sent(wrong)
    assert refused["state"] == "refused"
    assert sorted(faults(refused)) == ["missing", "no-notes", "not-in-notes"]
    assert all(f["remedy"] for f in refused["findings"] if f["weight"] == "fault")
    assert "opt/glite/yaim/functions/config_x" in the(refused, "not-in-notes")["sentence"]
    assert world.tracker.known == {}
    good = {**document, "special_configuration": "Set X_HOST to your own host."}
    assert world.sent(good)["patch"] == 1
    world.tracker.set_state(1, PatchState.WITH_PROVIDER, "A scenario has failed.")
    again = world.sent({**good, "release_notes": "X_HOST is explained better."})
    assert (again["patch"], list(world.tracker.known)) == (1, [1])
    assert world.tracker.known[1].release_notes == "X_HOST is explained better."
    assert world.tracker.known[1].state is PatchState.READY_FOR_CERTIFICATION
    assert [(look["look"], look["state"]) for look in again["looks"]] == [
        ("3", "entered"),
        ("2", "entered"),
        ("1", "refused"),
    ]


def test_a_check_alone_enters_nothing_and_says_what_would_happen(world: Submitting) -> None:
    document = world.document(CLIENT)
    found = world.sent(document, submit=False)
    assert (found["state"], world.tracker.known) == ("checked", {})
    assert "It can be submitted." in found["sentence"]
    assert "would be refused" in world.sent({**document, "release_notes": ""}, submit=False)["sentence"]


def test_what_is_in_production_takes_no_correction(world: Submitting) -> None:
    document = world.document(CLIENT)
    world.sent(document)
    world.tracker.set_state(1, PatchState.IN_PRODUCTION, "")
    answer = world.send(document)
    assert (answer.status_code, "needs a version of its own" in answer.text) == (422, True)


def test_a_tracker_that_is_away_delays_and_loses_nothing(world: Submitting) -> None:
    world.tracker.away = True
    found = world.sent(world.document(CLIENT))
    assert (found["state"], found["patch"]) == ("accepted", None)
    world.tracker.away = False
    assert world.entered_by_the_sweep() == 1
    assert (world.seen()["state"], list(world.tracker.known)) == ("entered", [1])
    assert world.entered_by_the_sweep() == 0


def test_a_correction_waits_for_the_tracker_too_and_is_not_taken_if_it_came_too_late(world: Submitting) -> None:
    document = world.document(CLIENT)
    world.sent(document)
    world.tracker.away = True
    assert world.sent({**document, "title": "Better"})["state"] == "accepted"
    world.tracker.away = False
    world.tracker.set_state(1, PatchState.IN_PRODUCTION, "")
    assert world.entered_by_the_sweep() == 0
    seen = world.seen()
    assert (seen["state"], "needs a version of its own" in seen["sentence"]) == ("refused", True)
    assert world.tracker.known[1].title == document["title"]


def test_what_an_earlier_try_has_entered_is_found_again(world: Submitting, monkeypatch: pytest.MonkeyPatch) -> None:
    really, calls = world.tracker.comment, []

    def breaks(number: int, text: str) -> None:
        calls.append(number)
        if len(calls) == 1:
            raise ServiceError("tracker", "went away.", "")
        really(number, text)

    monkeypatch.setattr(world.tracker, "comment", breaks)
    document = world.document(CLIENT)
    world.send(document)
    until(lambda: True if world.seen()["state"] == "accepted" and calls else None)
    world.sent({**document, "title": "Corrected meanwhile"})
    assert list(world.tracker.known) == [1], "it is one patch, although it was entered twice"
    assert world.tracker.known[1].title == "Corrected meanwhile"
    assert world.entered_by_the_sweep() == 0


def test_what_the_tracker_does_not_take_is_refused_with_its_reason_and_not_said_to_be_entered_later(
    world: Submitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(patch: object, *, submission: str = "") -> int:
        raise RefusedError("patch", ("Bug 101 is in the tracker with another title.",), "Correct it there, or here.")

    document = world.document(CLIENT)
    with monkeypatch.context() as patched:
        patched.setattr(world.tracker, "enter", refuses)
        world.send(document)
        found = until(lambda: seen if (seen := world.seen())["state"] == "refused" else None)
    assert "Bug 101 is in the tracker with another title. Correct it there, or here." in found["sentence"]
    assert world.entered_by_the_sweep() == 0
    assert world.sent({**document, "title": "Corrected"})["state"] == "entered"


def test_the_desk_shows_the_newest_releases_and_says_how_many_are_older(
    world: Submitting, unseen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pps.web.provider_desk._SHOWN", 2)
    document = world.document(CLIENT)
    for version in ("1.0", "1.1", "1.2"):
        world.send({**document, "version": version})
        world.clock.at += timedelta(minutes=1)
    seen = as_described(world.web, world.get(DOOR)).json()
    assert ([r["version"] for r in seen["releases"]], seen["older"]) == (["1.2", "1.1"], 1)
    assert "1 release sent earlier" in Read(world.get("/provider").text).words


@pytest.mark.parametrize("kind", ["application/yaml", "text/yaml", "application/json"])
def test_a_release_as_yaml_is_refused_with_the_way_to_convert_it_which_works(world: Submitting, kind: str) -> None:
    text = yaml.safe_dump(world.document(CLIENT))
    headers = {"Content-Type": kind, "Authorization": f"Bearer {PAT}"}
    answer = world.web.post(DOOR, content=text, headers=headers)
    assert answer.status_code == (422 if kind == "application/json" else 415)
    program = answer.json()["detail"].partition("python -c '")[2].partition("' < FILE")[0]
    done = subprocess.run([sys.executable, "-c", program], input=text, capture_output=True, text=True, check=True)
    assert world.post(DOOR, json.loads(done.stdout)).status_code == 201
    world.ended()


# --- while it is looked at


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Looks wait until this is set."""
    opened, really = threading.Event(), submission_look.look

    def waits(*given: Any) -> Any:
        assert opened.wait(60)
        return really(*given)

    monkeypatch.setattr("pps.web.provider_work.look", waits)
    yield opened
    opened.set()


def test_the_page_does_not_wait_for_the_look_and_says_that_it_goes_on(world: Submitting, gate: threading.Event) -> None:
    document = world.document(CLIENT)
    answer = as_described(world.web, world.send(document))
    assert (answer.status_code, answer.json()["state"]) == (201, "looking")
    page = world.get("/provider/glite-WN/3.1.24")
    assert 'http-equiv="refresh"' in page.text and "is being looked at" in page.text
    same = world.send(document)
    assert (same.status_code, same.json()["look"]) == (200, "1")
    other = world.send({**document, "title": "Another"})
    assert (other.status_code, "is being looked at since" in other.text) == (409, True)
    gate.set()
    assert world.ended()["state"] == "entered"
    assert 'http-equiv="refresh"' not in world.get("/provider/glite-WN/3.1.24").text


def test_a_look_that_was_lost_is_said_to_have_broken_off_and_can_be_repeated(
    world: Submitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = world.document(CLIENT)
    with monkeypatch.context() as patched:
        patched.setattr("pps.web.provider_work.Looker.begin", lambda *given: None)
        world.send(document)
    world.clock.at += timedelta(hours=2)
    assert world.seen()["state"] == "broken off"
    assert world.sent(document)["state"] == "entered"


def test_an_error_of_ours_is_no_finding(world: Submitting, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> None:
        raise KeyError("secret")

    monkeypatch.setattr("pps.web.provider_work.look", broken)
    found = world.sent(world.document(CLIENT))
    assert (found["state"], found["findings"]) == ("broken off", [])
    assert "problem of its own" in found["sentence"] and "secret" not in found["sentence"]
    assert world.tracker.known == {}


def test_looks_of_one_provider_have_a_limit(world: Submitting) -> None:
    policy = world.services.config.policies.submission
    world.services.config.__dict__["policies"] = world.services.config.policies.model_copy(
        update={"submission": policy.model_copy(update={"looks_per_hour": 2})}
    )
    document = world.document(CLIENT)
    for _ in range(2):
        world.sent(document, submit=False)
    answer = world.send({**document, "version": "3.1.25"})
    assert (answer.status_code, "looks in an hour are enough" in answer.text) == (422, True)
    world.clock.at += timedelta(hours=1, minutes=1)
    world.sent(document)


# --- who may


@pytest.mark.parametrize(
    "who", [OTHER, MANAGER, "ana:Site Administrator", "carla:PPS Coordinator", "pax:Software Provider", "root:Admin"]
)
def test_only_its_providers_people_submit_a_product_whatever_their_role(world: Submitting, who: str) -> None:
    document = world.document(CLIENT)
    by_program = world.send(document, who)
    by_form = world.form("/provider/submit", as_form(document) | {"do": "submit"}, who)
    assert (by_program.status_code, by_form.status_code) == (422, 422)
    for text in (by_program.json()["detail"], Read(by_form.text).words):
        assert "Only the people of its provider" in text
    unknown = world.send({**document, "metapackage": "nobodys"}, who)
    assert "names no provider of nobodys" in unknown.json()["detail"]
    assert not world.store.facts_of_kind([FactKind.RELEASE_OFFERED])


@pytest.mark.parametrize("who", [OTHER, "ana:Site Administrator", "ada:VO Representative", "vera:Viewer", "root:Admin"])
def test_another_providers_release_is_not_there_for_those_who_may_not_see_it(world: Submitting, who: str) -> None:
    world.sent(world.document(CLIENT, release_notes=""))
    key = the(world.seen(), "no-notes")["key"]
    nothing = world.get("/api/v1/provider/releases/glite-WN/9.9", who)
    for answer in (
        world.get(PLACE, who),
        world.get("/provider/glite-WN/3.1.24", who),
        world.get("/provider/submit?release=glite-WN/3.1.24", who),
        world.post(WAIVERS, {"finding": key, "reason": "We want it out."}, who),
        world.form("/provider/glite-WN/3.1.24", {"finding": key, "reason": "We want it out."}, who),
    ):
        assert answer.status_code == nothing.status_code == 404
    assert world.get(PLACE, who).text == nothing.text, "nobody learns whether there is one"
    assert world.get(DOOR, who).json()["releases"] == []
    assert "glite-WN 3.1.24" not in world.get("/provider", who).text


def test_nobody_comes_in_without_signing_in_nor_from_another_sites_page(world: Submitting) -> None:
    document = world.document(CLIENT)
    for path in ("/provider", "/provider/submit", "/provider/glite-WN/3.1.24", DOOR, PLACE):
        assert world.get(path, "").status_code == 401
    assert world.send(document, "").status_code == 401
    evil = {"Origin": "https://evil.example.net"}
    assert world.post(DOOR, {"document": document}, **evil).status_code == 403
    assert world.form("/provider/submit", as_form(document) | {"do": "submit"}, **evil).status_code == 403
    assert not world.store.facts_of_kind([FactKind.RELEASE_OFFERED])


@pytest.mark.parametrize("field", ["number", "state", "provider", "basic_certification_passed", "programming_ph"])
def test_a_provider_says_nothing_that_others_decide(world: Submitting, field: str) -> None:
    answer = world.send(world.document(CLIENT, **{field: 1}))
    assert (answer.status_code, f"{field}: others decide on this" in answer.text) == (422, True)


def test_the_record_of_releases_is_behind_no_public_address(world: Submitting) -> None:
    world.sent(world.document(CLIENT))
    for path in (f"/api/v1/rollouts/{RECORD}", f"/api/v1/rollouts/{RECORD}/facts", f"/rollouts/{RECORD}"):
        assert world.get(path).status_code == 404


# --- waivers


def test_a_fault_is_waived_by_the_release_manager_and_shown_as_waived_by_whom_and_why(world: Submitting) -> None:
    document = world.document(CLIENT, release_notes="")
    key = the(world.sent(document), "no-notes")["key"]
    assert world.post(WAIVERS, {"finding": key, "reason": "no"}, MANAGER).status_code == 422
    answer = as_described(
        world.web, world.post(WAIVERS, {"finding": key, "reason": "The notes are in the mail of May"}, MANAGER)
    )
    waived = the(answer.json(), "no-notes")["waived"]
    assert (waived["user"], waived["role"], waived["reason"]) == (
        "rita",
        "Release Manager",
        "The notes are in the mail of May.",
    )
    assert "has been waived since" in answer.json()["sentence"], "a refusal stays one until it is submitted again"
    assert world.tracker.known == {}
    found = world.sent(document)
    assert (found["state"], found["open_faults"]) == ("entered", 0)
    words = Read(world.get("/provider/glite-WN/3.1.24").text).words
    assert "Waived by rita (Release Manager)" in words and "in the mail of May." in words
    assert "Waived by the Release Manager" in world.tracker.said[-1][1]
    assert "rita" not in world.tracker.said[-1][1]
    public = Read(world.get("/patches/1", "").text).words
    assert "The Release Manager waives what was found" in public and "in the mail of May." in public
    assert "rita" not in public
    again = world.post(WAIVERS, {"finding": key, "reason": "The notes are in the mail of May"}, MANAGER)
    assert (again.status_code, "waived already" in again.text) == (422, True)


@pytest.mark.parametrize("who", [PAT, "carla:PPS Coordinator", "erika:EMT"])
def test_nobody_but_the_release_manager_waives(world: Submitting, who: str) -> None:
    key = the(world.sent(world.document(CLIENT, release_notes="")), "no-notes")["key"]
    said = {"finding": key, "reason": "It has to go out today."}
    answers = (world.post(WAIVERS, said, who), world.form("/provider/glite-WN/3.1.24", said, who))
    assert [a.status_code for a in answers] == [422, 422]
    assert "Only the Release Manager waives" in answers[0].text
    assert "Waive it" not in world.get("/provider/glite-WN/3.1.24", who).text
    assert not world.store.facts_of_kind([FactKind.FINDING_WAIVED])


def test_a_release_manager_who_is_of_the_provider_waives_nothing_of_their_own(world: Submitting) -> None:
    key = the(world.sent(world.document(CLIENT, release_notes="")), "no-notes")["key"]
    answer = world.post(WAIVERS, {"finding": key, "reason": "It has to go out today."}, "pat:Release Manager")
    assert (answer.status_code, "of their own" in answer.text) == (422, True)
    assert "Waive it" in world.get("/provider/glite-WN/3.1.24", MANAGER).text
    assert "Waive it" not in world.get("/provider/glite-WN/3.1.24", "pat:Release Manager").text


def test_what_could_not_be_looked_at_cannot_be_waived_and_a_waiver_holds_for_what_was_found(world: Submitting) -> None:
    document = world.document(CLIENT, CONFIGURED)
    gone = {"name": "gone", "version": "1-1", "arch": "all"}
    found = world.sent({**document, "packages": [*document["packages"], gone]})
    reason = "The Release Manager knows of it."
    answer = world.post(WAIVERS, {"finding": the(found, "missing")["key"], "reason": reason}, MANAGER)
    assert (answer.status_code, "cannot be waived" in answer.text) == (422, True)
    key = the(found, "not-in-notes")["key"]
    assert world.post(WAIVERS, {"finding": key, "reason": reason}, MANAGER).status_code == 201
    other = {"opt/glite/yaim/functions/config_x": (0o644, "config_x_check () { requires Y_HOST ; }\n"), **LOG}
    changed = replace(CONFIGURED, ref=PackageRef("glite-yaim-x", "1.1-1", "all"), files=other)
    again = world.sent(world.document(CLIENT, changed))
    assert faults(again) == ["not-in-notes"] and again["state"] == "refused"
    assert the(again, "not-in-notes")["waived"] is None


# --- the form


def as_form(document: dict[str, Any]) -> dict[str, str]:
    from pps.web.provider_form import as_typed

    return {name: text for name, text in as_typed(document).items() if text}


def test_a_form_says_the_same_as_a_document_and_comes_back_filled(world: Submitting) -> None:
    document = world.document(CLIENT, test_cases=[{"name": "renew", "title": "A proxy is renewed"}], depends_on=[7])
    sent = world.form("/provider/submit", as_form(document) | {"do": "check", "clients_compatible": "yes"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/provider/glite-WN/3.1.24")
    found = world.ended()
    for name, value in document.items():
        mine = found["document"][name]
        assert mine == value or [dict(c, how="") for c in value] == mine, name
    assert faults(found) == ["depends-on"]
    again = Read(world.get("/provider/submit?release=glite-WN/3.1.24").text)
    assert again.fields["metapackage"]["value"] == "glite-WN"
    assert "client 1.0-1 all" in again.words


def test_what_cannot_be_taken_comes_back_with_the_reason_and_what_was_typed(world: Submitting) -> None:
    good = as_form(world.document(CLIENT)) | {"do": "submit"}
    for fields, why in (
        ({"packages": "client"}, "is no package"),
        ({"bugs": "101 No IPv6"}, "is no bug"),
        ({"bugs": "101 grave ada@example.org No IPv6"}, "severity"),
        ({"test_cases": "renew"}, "is no test case"),
        ({"url": "file:///etc"}, "repository.url"),
        ({"cves": "CVE-1"}, "cves"),
        ({"depends_on": "many"}, "has a number"),
        ({"version": "a b"}, "version"),
        ({"metapackage": "../x"}, "name the product"),
        ({"do": "dance"}, "choose one of the buttons"),
    ):
        answer = world.form("/provider/submit", good | fields)
        assert (answer.status_code, why in Read(answer.text).words) == (422, True), fields
        assert 'role="alert"' in answer.text and "Clients that renew proxies" in answer.text
    assert not world.store.facts_of_kind([FactKind.RELEASE_OFFERED])


def test_the_notes_are_previewed_as_they_will_be_shown_and_nothing_is_sent(world: Submitting) -> None:
    notes = "# New\n\n- **fast** <script>alert(1)</script>"
    answer = world.form("/provider/submit", as_form(world.document(CLIENT)) | {"do": "preview", "release_notes": notes})
    assert answer.status_code == 200
    assert "<strong>fast</strong>" in answer.text and "<script>alert" not in answer.text
    assert not world.store.facts_of_kind([FactKind.RELEASE_OFFERED])


# --- hostile input


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched: these tests are about what is written and shown."""
    monkeypatch.setattr("pps.web.provider_work.Looker.begin", lambda *given: None)


def test_no_hostile_text_becomes_markup_and_none_brings_the_desk_down(world: Submitting, unseen: None) -> None:
    document = world.document(CLIENT)
    for text in (*HTML, *TEXTS):
        answer = world.send({**document, "title": text[:400], "release_notes": text}, submit=False)
        assert answer.status_code in (201, 422), text
        for path in ("/provider", "/provider/glite-WN/3.1.24"):
            page = world.get(path).text
            assert "<script>alert" not in page and "<img src=x" not in page and 'href="javascript:' not in page
        fields = {"do": "submit", "metapackage": "glite-WN", "title": text, "release_notes": text}
        typed = world.form("/provider/submit", fields) if text.isprintable() else answer
        assert typed.status_code in (201, 413, 422), text
        assert "<script>alert" not in typed.text and "<img src=x" not in typed.text
        world.clock.at += timedelta(hours=2)


def test_no_hostile_name_reaches_the_record(world: Submitting, unseen: None) -> None:
    document = world.document(CLIENT)
    for name in NAMES:
        package = {"name": name, "version": "1", "arch": "all"}
        changes = [{"metapackage": name}, {"version": name}, {"packages": [package]}, {"platforms": [name]}]
        for change in changes:
            assert world.send({**document, **change}).status_code == 422, change
    assert not world.store.facts_of_kind([FactKind.RELEASE_OFFERED])


def test_what_is_no_document_is_refused(world: Submitting) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {PAT}"}
    for body in JSON:
        for path in (DOOR, WAIVERS):
            assert world.web.post(path, content=body, headers=headers).status_code in (404, 413, 422)


def test_a_hostile_package_is_a_finding_that_nobody_can_waive(world: Submitting) -> None:
    out = SamplePackage(PackageRef("evil", "1-1", "all"), {"../../etc/cron.d/x": (0o644, "* * * * * root id\n")})
    found = world.sent(world.document(out))
    assert (found["state"], faults(found)) == ("refused", ["hostile"])
    assert not the(found, "hostile")["may_be_waived"]


# --- where it is


def test_a_provider_sees_why_each_release_is_still_here_who_tries_it_and_what_vos_said(world: Submitting) -> None:
    world.sent(world.document(CLIENT))
    previewed(world.store)
    said = {"opinion": "problem", "text": "It hangs.", "invited": True}
    due = {"due": (NOW + timedelta(days=9)).isoformat()}
    world.store.record(
        Fact(ROLLOUT, FactKind.FEEDBACK_DATE_AGREED, "", "", NOW, "pps", due),
        Fact(ROLLOUT, FactKind.VO_INVITED, "atlas", "", NOW, "pps", {}),
        Fact(ROLLOUT, FactKind.FEEDBACK_GIVEN, "atlas", "x", NOW, "VO atlas", said),
    )
    marker, page = f"pps:deployment-test:{ROLLOUT}", "https://tracker.example.org/ticket7"
    ticket = Fact(dossier_name(4711), FactKind.TICKET_OPENED, marker, "", NOW, "pps", {"page": page})
    world.store.record_in_dossier(4711, ticket)
    seen = as_described(world.web, world.get(DOOR)).json()
    (mine,), (other,) = seen["releases"], seen["others"]
    assert mine["standing"]["answer"] == world.get("/api/v1/patches/1", "").json()["answer"] != ""
    assert other["answer"] == world.get("/api/v1/patches/4711", "").json()["answer"] != ""
    assert other["tried_by"][ROLLOUT], "the sites that have it"
    words = Read(world.get("/provider").text).words
    for part in (mine["standing"]["answer"], other["answer"], other["tried_by"][ROLLOUT][0], "atlas"):
        assert part in words
    assert [(t["page"], t["closed_at"]) for t in other["tickets"]] == [(page, None)]
    assert f'href="{page}"' in world.get("/provider").text
    assert f"Deployment test {ROLLOUT} : open since" in words
    assert 'href="./rollouts/' in world.get("/provider").text
    assert mine["standing"]["answer"] in Read(world.get("/provider/glite-WN/3.1.24").text).words


@pytest.mark.parametrize("who", [OTHER, "ana:Site Administrator"])
def test_nobody_sees_another_providers_patches_at_the_desk(world: Submitting, who: str) -> None:
    previewed(world.store)
    seen = world.get(DOOR, who).json()
    assert (seen["releases"], seen["others"]) == ([], [])
    assert "glite-WN" not in Read(world.get("/provider", who).text).words


def test_a_tracker_that_does_not_know_it_is_said_beside_what_is_on_record(world: Submitting) -> None:
    previewed(world.store)
    seen = as_described(world.web, world.get(DOOR)).json()
    assert "what is on record here" in seen["others"][0]["tracker"]
    assert world.get("/provider").status_code == 200
