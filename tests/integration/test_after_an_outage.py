"""Two days of an outage, in which dates pass: every open pilot can still end, and nobody counts as silent unasked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.support.pilot_walks import COORDINATOR, DAY, WEEK, Walk, walking

from pps.adapters.services.templates import when
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.orchestration.steps import pilots as steps

OUTAGE = timedelta(days=2)
#: Where a pilot stands when everything goes down -> how it comes there.
STAGES: dict[str, Callable[[Walk], object]] = {
    "pilot-acceptance": lambda w: w.opens(),
    "pilot-selection": lambda w: (w.opens().answers("pilot-acceptance", "Accept"), w.step("rank_candidates")),
    "pilot-kick-off": lambda w: w.opens().selected("PIC").step("invite_to_kick_off"),
    "pilot-set-up": lambda w: w.opens().selected("PIC").kicked_off().step("mirror_repository"),
    "running": lambda w: w.opens().selected("PIC").kicked_off().set_up(),
    "post-mortem": lambda w: w.opens().selected("PIC").kicked_off().set_up().runs(2 * WEEK),
    "pilot-wrap-up": lambda w: (
        w.opens().selected("PIC").kicked_off().set_up().runs(2 * WEEK).reported(),
        w.step("invite_to_wrap_up"),
    ),
}


@pytest.fixture(params=[RolloutPath.MINOR_PILOT, RolloutPath.MAJOR_PILOT])
def walk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    with walking(tmp_path, monkeypatch, request.param) as made:
        yield made


def comes_back(walk: Walk) -> None:
    """Everything has been down until two days after the last date that anybody has agreed on."""
    agreed = walk.pilot.agreement
    dates = [datetime.fromisoformat(f.payload["due"]) for f in walk.of(FactKind.QUESTION_ASKED)]
    dates += [agreed.set_up_until, agreed.feedback_until] if agreed else []
    dates += [until] if (until := walk.pilot.runs_until) else []
    walk.clock = max([walk.clock, *dates]) + OUTAGE


def unanswered(walk: Walk, form: str, about: str) -> None:
    """The task of a question begins anew, and finds the time up; or puts it, and nobody answers."""
    human = walk._human(form, about)
    if not human._standing(walk.record) and walk.asks(form, about):
        asked = next(f for f in walk.of(FactKind.QUESTION_ASKED) if (f.occasion, f.subject) == (form, about))
        walk.clock = max(walk.clock, datetime.fromisoformat(asked.payload["due"]) + timedelta(seconds=1))
        human._silent(walk.desk)


@pytest.mark.parametrize("stage", STAGES)
def test_a_pilot_ends_wherever_it_stood(walk: Walk, stage: str) -> None:
    STAGES[stage](walk)
    if stage in ("pilot-acceptance", "pilot-selection", "pilot-kick-off", "pilot-wrap-up"):
        walk.asks(stage, COORDINATOR)
    elif stage != "running":
        walk.asks(stage, "PIC")
    comes_back(walk)
    if not walk.record.has(FactKind.KICK_OFF_AGREED):
        unanswered(walk, stage, COORDINATOR)
        assert walk.record.is_closed
        return
    unanswered(walk, "pilot-set-up", "PIC")
    assert walk.holds("pilot_is_set_up", site="PIC")
    assert walk.holds("pilot_run_is_over") and walk.holds("pilot_ends_at_site", site="PIC")
    assert walk.holds("vos_may_begin")
    walk.step("invite_vos")
    assert walk.holds("vos_are_heard")
    unanswered(walk, "post-mortem", "PIC")
    walk.step("invite_to_wrap_up")
    unanswered(walk, "pilot-wrap-up", COORDINATOR)
    assert steps.follow_decision.function(walk.name) == "end_pilot"
    assert walk.step("end_pilot")
    assert walk.record.is_closed


def test_vos_have_their_time_although_its_date_had_passed_before_they_were_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with walking(tmp_path, monkeypatch, RolloutPath.MAJOR_PILOT) as walk:
        walk.opens().selected("PIC").kicked_off(vos="atlas", feedback_within="1d").set_up()
        walk.wait(9 * DAY)  # it was set up, and then all was down
        assert walk.step("invite_vos") == 1
        until = walk.pilot.agreement.feedback_until  # type: ignore[union-attr]
        assert until > walk.clock + DAY
        said = next(m.text for m in walk.mails if "please use it" in m.subject)
        assert when(until) in " ".join(said.split())
        assert not walk.holds("vos_are_heard")
        walk.wait(until - walk.clock + timedelta(seconds=1))
        assert walk.holds("vos_are_heard")
