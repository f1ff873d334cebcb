"""What people decide beside the forms, within whole pilots: the forms and steps of the DAGs, and the web's doors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.pilot_walks import COORDINATOR, DAY, OLD, WEEK, Walk, walking
from tests.unit.web.test_late_answers import airflow_user

from pps.domain.base.errors import RefusedError
from pps.domain.packages.patch import PatchState
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.web.app import create_app

CARLA = f"carla:{COORDINATOR}"


@pytest.fixture
def major(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    with walking(tmp_path, monkeypatch, RolloutPath.MAJOR_PILOT) as walk:
        yield walk


def post(walk: Walk, what: str, body: Any, who: str = CARLA) -> Any:
    client = TestClient(create_app(lambda: walk.services, airflow_user, lambda: walk.clock))
    address = f"/api/v1/rollouts/{walk.name}/{what}"
    return client.post(address, json=body, headers={"Authorization": f"Bearer {who}"})


def rolls_back(walk: Walk, site: str) -> None:
    """From the question of the site's people to the mail to its users."""
    asked = post(walk, "roll-back", {"site": site, "reason": "Jobs are lost every night."})
    assert asked.status_code == 201
    walk.answers("pilot-roll-back", "Rolled back", site, version=OLD)
    walk.serves(site, OLD)
    walk.wait(timedelta(hours=1))
    assert walk.holds("pilot_is_rolled_back", site=site)
    walk.step("tell_of_roll_back", site)


def test_the_outcome_of_a_meeting_that_has_moved_is_entered_after_it(major: Walk) -> None:
    major.opens(vo="atlas").selected("PIC")
    starts = major.step("invite_to_kick_off")
    assert major.asks("pilot-kick-off", COORDINATOR)
    to = (major.clock + 3 * DAY).isoformat()
    moved = post(major, "meetings/kick-off", {"to": to, "reason": "The developers are away."})
    assert (moved.status_code, moved.json()["starts"] > starts) == (201, True)
    assert major.step("invite_to_kick_off") == moved.json()["starts"], "a retry does not move it back"
    too_late = (major.clock + 30 * DAY).isoformat()
    assert "is waited for until" in post(major, "meetings/kick-off", {"to": too_late}).json()["detail"]
    major.wait(3 * DAY)
    major.answers("pilot-kick-off", "Agreed", vos="atlas")
    assert major.step("dates_are_agreed")


def test_a_set_up_refused_for_its_software_goes_on_when_it_is_justified(major: Walk) -> None:
    major.opens().selected("PIC").kicked_off()
    tracker = major.services.tracker
    tracker.known[4711] = replace(tracker.known[4711], state=PatchState.IN_CERTIFICATION)
    major.step("mirror_repository")
    major.serves("PIC")
    major.answers("pilot-set-up", "Set up", "PIC", endpoint="https://ce.pic.example.org:8443/status", version="3.1.23")
    major.wait(timedelta(hours=1))
    assert not major.holds("pilot_is_set_up", site="PIC")
    told = next(m for m in major.services.facts.outbox(major.name) if "is not seen yet" in m[0].subject)[0]
    assert f"pps pilot justify {major.name}" in " ".join(told.text.split())
    why = "The VO needs the fix before its data challenge."
    assert post(major, "justification", {"reason": why}, "admin-pic:Site Administrator").status_code == 422
    assert not major.holds("pilot_is_set_up", site="PIC")
    assert post(major, "justification", {"reason": why}).status_code == 201
    assert major.holds("pilot_is_set_up", site="PIC")
    major.runs(2 * WEEK).reported()
    report = TestClient(create_app(lambda: major.services, airflow_user)).get(f"/pilots/{major.name}/PIC.txt")
    assert f"> {why}" in report.text
    tracker.known[4711] = replace(tracker.known[4711], state=PatchState.CERTIFIED)
    major.deployment_tested()
    assert major.wrapped_up("Release", reason="It works very well.") == "released"
    assert f"> {why}" in major.notes(), "documented for those who get it in the end"
    page = major.notes("html")
    assert f'href="../pilots/{major.name}/PIC.html"' in page


def test_a_site_that_has_rolled_back_sets_it_up_again_in_the_next_round(major: Walk) -> None:
    major.opens().selected("PIC", "INFN-T1").kicked_off().set_up()
    rolls_back(major, "PIC")
    users = next(m for m in major.mails if "has rolled back the pilot" in m.subject)
    assert "the service may be set up there again in the next one" in " ".join(users.text.split())
    major.serves("PIC")
    assert major.holds("pilot_is_set_up", site="PIC"), "nothing is left to wait for in this round"
    assert not major.asks("pilot-set-up", "PIC")
    assert major.pilot.serving == ("INFN-T1",)
    major.runs(2 * WEEK).reported("PIC", "INFN-T1")
    first, second = major.name, major.wrapped_up("Prolong", reason="PIC wants to try the fix.", prolong_for="1w")
    major.opens(continues=first)
    assert (major.name, major.pilot.sites, major.pilot.awaited) == (second, ("PIC", "INFN-T1"), ("PIC",))
    major.step("invite_to_kick_off")
    assert "still to be set up at PIC" in major.body("pilot-kick-off")
    major.kicked_off()
    assert not major.holds("pilot_run_is_over")
    major.set_up("PIC")
    begun = major.clock
    assert major.holds("pilot_is_set_up", site="INFN-T1")
    major.runs(WEEK)
    assert major.of(FactKind.RUN_ENDED)[0].at == begun + WEEK


def test_a_pilot_that_was_rolled_back_everywhere_may_be_prolonged(major: Walk) -> None:
    major.opens().selected("PIC").kicked_off().set_up()
    rolls_back(major, "PIC")
    major.runs(DAY).reported("PIC")
    first, second = major.name, major.wrapped_up("Prolong", reason="The developers have found the cause.")
    major.opens(continues=first)
    major.kicked_off()
    major.step("mirror_repository")
    assert (major.name, major.pilot.awaited) == (second, ("PIC",))
    major.answers("pilot-set-up", "Cannot", "PIC", remarks="We do not want to try it again.")
    major.runs(DAY)
    assert major.of(FactKind.RUN_ENDED)[0].payload["outcome"] == "not set up"
    with pytest.raises(RefusedError, match="No site is left"):
        major.wrapped_up("Prolong", reason="Perhaps somebody else wants it.")
    assert major.wrapped_up("Reject", reason="Nobody wants to try it.") == "rejected"


def test_the_addresses_of_reports_are_named_where_people_decide_and_hear_of_it(major: Walk) -> None:
    major.opens().selected("PIC").kicked_off().set_up().runs(2 * WEEK).reported()
    place = f"pilots/{major.name}/PIC.html"
    assert f"[its report](https://pps.example.org/pps/{place})" in major.body("pilot-wrap-up")
    assert major.wrapped_up("Reject", reason="Nobody wants to have it.") == "rejected"
    told = next(m for m in major.mails if m.subject.startswith("Pilot rejected"))
    assert f"https://pps.example.org/pps/{place}" in told.text
    assert f'href="https://pps.example.org/pps/{place}"' in told.html
    assert TestClient(create_app(lambda: major.services, airflow_user)).get(f"/{place}").status_code == 200
