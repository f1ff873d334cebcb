"""A pause holds back the way to production, and nothing that must not wait (docs/adr/0032)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.desks import is_over
from tests.support.front import (  # noqa: F401
    NOW,
    ROLLOUT,
    MemoryServices,
    a_preview_that_is_out,
    happened,
    services,
)
from tests.support.whys import POLICIES, Knows, Preview, of
from tests.unit.workflow.test_why import on_its_way

from pps.activities.clients.certification import certification_is_over
from pps.activities.clients.control import control
from pps.activities.release import release
from pps.domain.base.conditions import ConditionState
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.clients.control import Control, pause_of
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.people.roles import Role
from pps.domain.record.facts import FactKind

MINE = [f"role:{Role.PPS_COORDINATOR}"]
WHY = "Jobs are lost at PIC, as two VOs say"


def does(way: Preview, what: Control) -> None:
    control(way.desk(), what, WHY, "carla", MINE, ["pps-support@localhost"])


def certification_waits(way: Preview) -> bool:
    tracker, held = Knows(way.patch), pause_of(way.record) is not None
    at_most = POLICIES.certification.wait_at_most
    return not certification_is_over(way.desk(), tracker, wait_at_most=at_most, held=held)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", [Control.PAUSE, Control.STOP])
def test_it_is_told_once_with_a_sentence_that_says_who_did_it_and_why(tmp_path: Path, what: Control) -> None:
    way = on_its_way(tmp_path)
    does(way, what)
    kind = {Control.PAUSE: FactKind.ROLLOUT_PAUSED, Control.STOP: FactKind.ROLLOUT_STOPPED}[what]
    fact = way.record.need(kind, "")
    assert fact.actor == "user carla"
    assert f"{WHY}." in str(fact.payload)
    mails = [mail for mail, _, _ in way.store.outbox(way.name)]
    assert [mail.to for mail in mails] == ["pps-support@localhost"]
    assert WHY in " ".join(mails[0].text.split())
    with pytest.raises(RefusedError):
        does(way, what)
    assert len(way.store.outbox(way.name)) == 1


@pytest.mark.sd("4.1.1")
def test_while_it_is_paused_nothing_leads_to_production_and_a_rejected_patch_is_withdrawn_all_the_same(
    tmp_path: Path,
) -> None:
    way = on_its_way(tmp_path).asks("atlas").hears("atlas").notes()
    does(way, Control.PAUSE)
    way.patch = certified = _as(way, PatchState.CERTIFIED)
    assert certification_waits(way)
    assert not way.record.has(FactKind.CERTIFICATION_ENDED), "it may be rejected before somebody lets it go on"
    with pytest.raises(NotYetAllowedError, match=r"It is paused\. Jobs are lost"):
        release.decide_on_release(way.desk())
    assert of(way.why(), "pause").state is ConditionState.WAITING
    assert of(way.why(), "pause").who == (Role.RELEASE_MANAGER, Role.PPS_COORDINATOR)
    way.patch = _as(way, PatchState.REJECTED)
    assert not certification_waits(way)

    other = on_its_way(tmp_path).asks("atlas").hears("atlas").notes()
    does(other, Control.PAUSE)
    does(other, Control.RESUME)
    other.patch = certified
    assert not certification_waits(other)
    assert release.decide_on_release(other.desk()) == ()
    does(other, Control.PAUSE)
    assert certification_waits(other), "also when it had ended before"


def _as(way: Preview, state: PatchState) -> Patch:
    return replace(way.patch, state=state)


def test_the_run_waits_behind_the_feedback_and_goes_on_when_somebody_lets_it(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    services.given["clock"] = lambda: NOW + timedelta(days=15)
    over = {}
    for turn in (None, FactKind.ROLLOUT_PAUSED, FactKind.ROLLOUT_RESUMED):
        if turn:
            services.facts.record(happened(turn, reason=WHY))
        over[turn] = [is_over(services, wait, rollout=ROLLOUT) for wait in ("feedback_is_over", "may_go_on")]
    assert list(over.values()) == [[True, True], [False, False], [True, True]]
