"""Where a pilot stands, in a sentence for each stage: who acts next, and until when."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.pilots import DAY, MINOR, WEEK, APilot

from pps.activities.pilots.outlook import note_on_site, what_comes_next
from pps.domain.record.facts import Fact, FactKind


def asked(pilot: APilot, step: str) -> APilot:
    due = (pilot.at + 5 * DAY).isoformat()
    return pilot.then(FactKind.QUESTION_ASKED, "PPS Coordinator", step, due=due, to="", title="", assigned_to=[])


def called(pilot: APilot, what: str) -> APilot:
    starts = (pilot.at + 2 * DAY).isoformat()
    return pilot.then(FactKind.MEETING_CALLED, "", what, starts=starts, ends=starts, to=[])


def over(*vos: str) -> APilot:
    return APilot().running(*vos).wait(2 * WEEK).ended()


def reported(pilot: APilot) -> APilot:
    return pilot.then(FactKind.REPORT_WRITTEN, "PIC", "d", files=[], digest="d")


def decided(decision: str) -> APilot:
    return over().then(FactKind.WRAPPED_UP, decision=decision, guidelines="", reason="")


@pytest.mark.parametrize(
    ("way", "says"),
    [
        (APilot, "The PPS Coordinator accepts or declines it."),
        (lambda: asked(APilot(), "pilot-acceptance"), "accepts or declines it by Sat 6 Dec 2025, 09:30 UTC."),
        (lambda: APilot().accepted(), "selects the sites. VOs may say that they take part: pps pilot interest."),
        (lambda: APilot(MINOR).accepted().ranked(), "The PPS Coordinator selects the sites."),
        (lambda: APilot().accepted().ranked().selected(), "The kick-off meeting is called."),
        (
            lambda: asked(called(APilot().accepted().ranked().selected(), "kick-off"), "pilot-kick-off"),
            "The kick-off meeting is on Wed 3 Dec 2025, 09:30 UTC; the PPS Coordinator enters by",
        ),
        (
            lambda: called(APilot().accepted().ranked().selected(), "kick-off").wait(3 * DAY),
            "The kick-off meeting was on Wed 3 Dec 2025",
        ),
        (
            lambda: APilot().accepted().ranked().selected("PIC", "INFN-T1").kicked_off().set_up(),
            "To be set up at INFN-T1 by Mon 8 Dec 2025, 09:30 UTC; the run begins when the last one is ready.",
        ),
        (
            lambda: APilot().running("atlas"),
            "It runs until Mon 15 Dec 2025, 09:30 UTC; reports and the wrap-up follow. "
            "Feedback of atlas is awaited until Mon 22 Dec 2025, 09:30 UTC.",
        ),
        (lambda: APilot(MINOR).running(), "It runs until Mon 15 Dec 2025, 09:30 UTC; reports and the wrap-up follow."),
        (over, "Reports are awaited from PIC; the wrap-up meeting follows."),
        (lambda: reported(over()), "The wrap-up meeting is called."),
        (lambda: called(reported(over()), "wrap-up"), "The wrap-up meeting is on Wed 17 Dec 2025, 09:30 UTC"),
        (lambda: decided("release"), "The decision was: release. It is released when its deployment test has ended"),
        (lambda: decided("reject"), "The decision was: reject."),
        (lambda: over().wrapped_up("reject"), "Nothing, it has ended: reject."),
    ],
)
def test_each_stage_has_its_sentence(way: Callable[[], APilot], says: str) -> None:
    pilot = way()
    assert says in what_comes_next(pilot.pilot, pilot.at)


def test_a_round_that_was_prolonged_names_the_next_one() -> None:
    pilot = over()
    payload = {"outcome": "prolonged", "next": "major-pilot-4711-2"}
    pilot.store.close(Fact(pilot.name, FactKind.ROLLOUT_CLOSED, "", "", pilot.at, "pps", payload))
    assert what_comes_next(pilot.pilot, pilot.at) == "The next round: pps pilot show major-pilot-4711-2"


def test_a_site_s_note_is_what_the_site_was_told() -> None:
    pilot = APilot().accepted().ranked().selected("PIC", "INFN-T1", "IFIC-LCG2").kicked_off()
    assert note_on_site(pilot.pilot, "PIC") == ""
    pilot.then(FactKind.TOLD, "PIC", "set-up/1", reasons=["It does not answer.", "It is not published."])
    assert note_on_site(pilot.pilot, "PIC") == "It does not answer. It is not published."
    pilot.set_up().then(FactKind.ROLL_BACK_ASKED, "PIC", reason="Jobs are lost.")
    assert note_on_site(pilot.pilot, "PIC") == "A roll-back was asked for: Jobs are lost."
    pilot.rolled_back()
    assert note_on_site(pilot.pilot, "PIC") == "Jobs are lost."
    pilot.then(FactKind.SITE_LEFT_OUT, "INFN-T1", "set-up", reason="Nobody there has answered.")
    assert note_on_site(pilot.pilot, "INFN-T1") == "Nobody there has answered."
