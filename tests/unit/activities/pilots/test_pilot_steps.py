"""The ten steps of a pilot, as they stand: what is done, by whom, what is the present one, and why one is skipped."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.desks import at_desk, at_office
from tests.support.pilots import DAY, MAJOR, MINOR, WEEK, APilot

from pps.activities.packages.mirroring import skip_mirror
from pps.activities.pilots.request import open_next_round
from pps.activities.pilots.steps import Step, StepState, Who, steps
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind

DONE, NOW, LATER, SKIPPED = StepState.DONE, StepState.NOW, StepState.LATER, StepState.SKIPPED


def states(made: APilot) -> str:
    """`d`one, `n`ow, `l`ater, `s`kipped, in their order."""
    return "".join(step.state[0] for step in steps(made.pilot))


def step(made: APilot, number: int) -> Step:
    return steps(made.pilot)[number - 1]


def told(made: APilot, site: str = "PIC") -> APilot:
    return made.then(FactKind.TOLD, site, "instruction", to="x@example.org", user="carla")


def called(made: APilot, what: str = "kick-off") -> APilot:
    starts = (made.at + DAY).isoformat()
    return made.then(FactKind.MEETING_CALLED, "", what, starts=starts, ends=starts, to=[])


def mirrored(made: APilot, **says: Any) -> APilot:
    made.store.record(Fact(made.name, FactKind.MIRROR_MADE, "", "", made.at, "pps", {"packages": 3, **says}))
    return made


@pytest.mark.sd("4.1.3")
def test_one_step_after_the_other_becomes_the_present_one() -> None:
    made = APilot(vo="cms")
    seen = [states(made)]
    for act in (
        made.accepted,
        lambda: made.ranked().selected(),
        lambda: told(made),
        lambda: called(made),
        lambda: made.kicked_off("cms"),
        lambda: mirrored(made),
        made.set_up,
        lambda: made.wait(2 * WEEK).ended(),
        lambda: made.then(FactKind.REPORT_WRITTEN, "PIC", "d", files=[]),
        lambda: made.wrapped_up("release"),
    ):
        act()
        seen.append(states(made))
    assert seen == ["d" * n + "n" * (n < 10) + "l" * (9 - n) for n in range(11)]
    assert [s.number for s in steps(made.pilot)] == list(range(1, 11))


@pytest.mark.sd("4.1.3")
def test_a_step_names_who_did_it_and_when_and_the_present_one_until_when() -> None:
    made = called(told(APilot(vo="cms").accepted().ranked().selected())).wait(DAY)
    assert step(made, 1).who == (Who("VO Representative", "cms", "erika"), Who("PPS Coordinator", "", "carla"))
    assert step(made, 2).told == "Selected: PIC."
    made.kicked_off("cms", user="carla", experts=[{"role": "ITR", "who": "ivan"}], participants=[])
    assert Who("VO", "cms") in step(made, 5).who
    assert (step(made, 7).state, step(made, 7).told) == (LATER, "0 of 1 sites have set it up.")
    mirrored(made).set_up()
    assert (step(made, 7).who, step(made, 7).at) == ((Who("Site", "PIC", "ana"),), made.at)
    assert step(made, 8).until == made.pilot.runs_until
    assert Who("ITR", "", "ivan") in step(made, 8).who


@pytest.mark.sd("4.1.3", step=6)
def test_a_mirror_that_is_not_needed_is_skipped_with_the_reason() -> None:
    made = called(told(APilot(MINOR).accepted().ranked().selected())).kicked_off()
    skip_mirror(at_desk(made.record, made.store, now=made.at), "The service is not published this time.")
    assert (step(made, 6).state, step(made, 6).told) == (SKIPPED, "The service is not published this time.")
    assert step(made, 7).state is NOW


@pytest.mark.sd("4.1.3", step=1)
def test_what_never_came_is_skipped_and_says_that_the_pilot_ended_before() -> None:
    made = APilot()
    decision = {"decision": "declined", "reason": "No site has room for it.", "user": "carla"}
    made.then(FactKind.DECIDED, "", "pilot-acceptance", **decision)
    made.store.close(Fact(made.name, FactKind.ROLLOUT_CLOSED, "", "", made.at, "pps", {"outcome": "declined"}))
    assert states(made) == "d" + "s" * 9
    assert step(made, 1).told == "Declined. No site has room for it."
    assert step(made, 10).told == "The pilot ended before: declined."


def test_a_site_that_has_gone_back_reports_while_the_others_still_run_it() -> None:
    made = APilot().accepted().ranked().selected("PIC", "INFN-T1").kicked_off().set_up("PIC").set_up("INFN-T1")
    made.wait(DAY).rolled_back("PIC")
    asked = {"due": (made.at + WEEK).isoformat(), "to": "", "title": "Report", "assigned_to": []}
    made.then(FactKind.QUESTION_ASKED, "PIC", "post-mortem", **asked)
    assert [step(made, n).state for n in (8, 9, 10)] == [NOW, NOW, LATER]
    assert step(made, 9).until == made.at + WEEK


def test_where_no_site_could_set_it_up_there_was_no_run_and_nothing_to_report() -> None:
    made = APilot(MINOR).accepted().ranked().selected().kicked_off()
    made.then(FactKind.SITE_LEFT_OUT, "PIC", "set-up", reason="The machine room moves.").ended("not set up")
    assert [step(made, n).state for n in (7, 8, 9, 10)] == [SKIPPED, SKIPPED, SKIPPED, NOW]
    assert {step(made, n).told for n in (7, 8, 9)} == {"No site has set the service up."}


@pytest.mark.sd("4.1.3", step=10)
def test_another_round_skips_what_it_has_taken_over_and_begins_with_its_own_kick_off() -> None:
    made = called(told(APilot(MAJOR, vo="cms").accepted().ranked().selected())).kicked_off("cms")
    mirrored(made).set_up().wait(2 * WEEK).ended().wrapped_up("prolong")
    name = open_next_round(at_office(made.store, now=made.at).desk(made.record), run="pilot/second")
    found = steps(Pilot(made.store.rollout(name)))
    assert "".join(s.state[0] for s in found) == "sssn" + "l" + "ss" + "lll"
    assert {s.told for s in found if s.state is SKIPPED} == {f"Taken over from {made.name}."}
