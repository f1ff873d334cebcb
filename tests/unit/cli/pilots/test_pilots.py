"""`pps pilot` and `pps sam`: for people and as JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.examples import sqlite_store
from tests.support.front import MemoryTracker, front, services, site, write_config  # noqa: F401
from tests.support.pilots import DAY, MAJOR, MINOR, SCOPE, WEEK, APilot
from tests.unit.cli.test_commands import as_json, one_line, pps

from pps.cli.front import Front
from pps.domain.packages.patch import PatchState
from pps.domain.record.facts import FactKind

CREAM = {"services": [{"type": "CREAM-CE", "host": "ce.example.org"}], "partner_levels": ["Gold"]}


@pytest.fixture
def here(front: Front, monkeypatch: pytest.MonkeyPatch) -> Front:
    monkeypatch.setenv("PPS_AIRFLOW_USER", "erika")
    given = front.services.__dict__
    given["facts"] = sqlite_store()
    given["tracker"] = MemoryTracker(MAJOR, replace(MINOR, number=4712))
    config = write_config(front.services.config.folder, [site("PIC", **CREAM), site("CNAF")])
    object.__setattr__(front.services, "config", config)
    return front


def pilot(here: Front, patch: Any = MAJOR, **more: Any) -> APilot:
    return APilot(patch, here.services.facts, **more)


def test_the_verdict_and_its_reasons_are_shown_before_anything_starts(here: Front) -> None:
    said = one_line(pps(here, "pilot", "judge", "4711")[1])
    assert "major: VOs take part" in said and "cream.conf:max_jobs" in said and "run by Gold partners" in said
    found = as_json(here, "pilot", "judge", "4712")
    assert (found["kind"], found["compatibility"], found["level"], found["path"]) == (
        "minor",
        "bc",
        "Gold",
        "minor-pilot",
    )
    assert found["reasons_for_major"] == []
    assert here.airflow.started == []


def test_a_request_starts_the_dag_of_its_path(here: Front) -> None:
    assert "Asked for major-pilot-4711-1" in pps(here, "pilot", "request", "4711", "--scope", SCOPE, "--vo", "atlas")[1]
    assert as_json(here, "pilot", "request", "4712", "--scope", SCOPE)["pilot"] == "minor-pilot-4712-1"
    assert here.airflow.started == [
        ("major_server_pilot", {"patch": 4711, "scope": SCOPE, "vo": "atlas"}),
        ("minor_server_pilot", {"patch": 4712, "scope": SCOPE}),
    ]


def test_what_the_rules_refuse_is_not_started(here: Front) -> None:
    here.services.tracker.known[4711] = replace(MAJOR, state=PatchState.IN_CERTIFICATION)
    code, _, err = pps(here, "pilot", "request", "4711", "--scope", SCOPE)
    assert code == 1 and "has to be justified" in one_line(err)
    code, out, _ = pps(here, "pilot", "request", "4711", "--scope", "x", "--dry-run")
    assert code == 1 and "It would be refused" in one_line(out)
    why = "The VO needs it for its challenge."
    found = as_json(here, "pilot", "request", "4711", "--scope", SCOPE, "--justification", why, "--dry-run")
    assert found["admitted"]
    assert here.airflow.started == []
    pilot(here, MINOR)
    assert "has a pilot already" in one_line(pps(here, "pilot", "request", "4711", "--scope", SCOPE)[2])


def test_show_tells_dates_sites_and_how_it_did(here: Front) -> None:
    assert "No pilots" in pps(here, "pilot", "list")[1]
    made = pilot(here, vo="atlas").running("atlas").wait(DAY).probed("CRITICAL").wait(DAY).probed("OK")
    here.now = lambda: made.at
    assert as_json(here, "pilot", "list")[0]["stage"] == "running"
    assert made.name in pps(here, "pilot", "list")[1]
    found = as_json(here, "pilot", "show", made.name)
    assert (found["stage"], found["feedback"], found["assessment"]) == (
        "running",
        {"given": [], "silent": ["atlas"]},
        None,
    )
    (site,) = found["sites"]
    assert (site["site"], site["state"], site["since"]) == ("PIC", "running", found["running_since"])
    assert (site["available"], site["availability"], site["note"]) == ("50.0 %", 0.5, "")
    made.wait(3 * WEEK).ended()
    said = one_line(pps(here, "pilot", "show", made.name)[1])
    assert "operations, no feedback from users" in said and "No feedback from atlas in time." in said


def test_show_tells_what_has_not_come_about(here: Front) -> None:
    made = pilot(here)
    found = as_json(here, "pilot", "show", made.name)
    assert (found["stage"], found["agreed"], found["sites"]) == ("requested", None, [])
    assert "requested" in pps(here, "pilot", "show", made.name)[1]


def test_candidates_are_looked_at_or_put_on_record(here: Front) -> None:
    made = pilot(here)
    code, _, err = pps(here, "pilot", "candidates", made.name, "--record")
    assert code == 1 and "not accepted" in one_line(err)
    made.accepted()
    found = as_json(here, "pilot", "candidates", made.name)
    assert [c["site"] for c in found["candidates"]] == ["PIC"]
    assert list(found["excluded"]) == ["CNAF"]
    assert made.pilot.stage == "accepted"
    said = one_line(
        pps(here, "pilot", "candidates", made.name, "--volunteer", "CNAF", "--downtime", "PIC", "--record")[1]
    )
    assert "has volunteered" in said and "PIC is in downtime" in said
    assert made.pilot.stage == "screening"
    assert "NOWHERE" in pps(here, "pilot", "candidates", made.name, "--volunteer", "NOWHERE")[2]
    assert "No site can run it" in one_line(pps(here, "pilot", "candidates", made.name, "--downtime", "PIC")[1])


def test_show_tells_who_is_asked_what_was_said_and_what_comes_next(here: Front) -> None:
    made = pilot(here, vo="atlas").accepted().ranked().selected("PIC")
    here.now = lambda: made.at
    made.shows_interest("cms", "Bulk submission.", mine=("role:PPS Coordinator",))
    asked = {"due": (made.at + 5 * DAY).isoformat(), "to": "", "title": "What did it agree on?", "assigned_to": []}
    starts = {"starts": (made.at + DAY).isoformat(), "ends": (made.at + DAY).isoformat(), "to": []}
    made.then(FactKind.MEETING_CALLED, "", "kick-off", **starts).then(
        FactKind.MEETING_CALLED, "", "kick-off/2", **starts
    )
    made.then(FactKind.QUESTION_ASKED, "PPS Coordinator", "pilot-kick-off", **asked)
    said = one_line(pps(here, "pilot", "show", made.name)[1])
    assert "kick-off 2025-12-02 09:30 UTC (moved)" in said
    assert "enters by Sat 6 Dec 2025, 09:30 UTC what was agreed" in said
    assert "What did it agree on?" in said and "Bulk submission." in said
    made.kicked_off("cms").then(FactKind.SITE_LEFT_OUT, "PIC", "set-up", reason="Our machines are being moved.")
    assert "PIC: Our machines are being moved." in one_line(pps(here, "pilot", "show", made.name)[1])
    made.set_up().then(FactKind.REPORT_WRITTEN, "PIC", "d", files=[f"pilots/{made.name}/PIC.html"], digest="d")
    for number in range(12):
        made.then(FactKind.JOURNAL_ENTRY, "PIC", str(number), text=f"Entry {number}.", user="ana")
    found = as_json(here, "pilot", "show", made.name)
    assert found["reports"] == {"PIC": f"https://pps.example.org/pps/pilots/{made.name}/PIC.html"}
    assert found["questions"][0]["who"] == "PPS Coordinator"
    said = one_line(pps(here, "pilot", "show", made.name)[1])
    assert "Entry 11." in said and "Entry 2." in said and "Entry 1." not in said
    assert f"4 earlier entries: pps pilot journal {made.name}" in said
    assert "Feedback of cms is awaited" in said


def test_sam_tasks_are_assigned_done_and_listed(here: Front) -> None:
    assert "sam-clone-sensor" in pps(here, "sam", "list")[1]
    said = pps(here, "sam", "assign", "sam-clone-sensor", "erika", "--what", "CREAM-CE")[1]
    assert "1: Clone a SAM Sensor, CREAM-CE, for erika." in said
    assert "open" in pps(here, "sam", "list")[1]
    assert "erika has 8 credits for it." in pps(here, "sam", "done", "1", "--text", "It runs.")[1]
    assert as_json(here, "sam", "done", "1", "--text", "It runs.")["new"] is False
    assert as_json(here, "sam", "list")[0]["text"] == "It runs."
    assert as_json(here, "credits", "--by", "person")["credits"] == 8
    assert as_json(here, "rollout", "list") == []
    assert as_json(here, "sam", "assign", "sam-display", "erika", "--what", "CREAM-CE")["number"] == 2
