"""Where a pilot stands, in a sentence: who acts next, and until when (SD 4.1.3, steps 1 to 10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from pps.activities.pilots import kick_off, meetings, set_up, wrap_up
from pps.domain.base.conditions import moment
from pps.domain.people import questions
from pps.domain.people.roles import Role
from pps.domain.pilots.pilot import ACCEPTANCE, RELEASE, SELECTION, Pilot, Stage
from pps.domain.pilots.success import silent_vos
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout


def what_comes_next(pilot: Pilot, now: datetime) -> str:
    """Who acts next, what they do, and until when."""
    return _NEXT[pilot.stage](pilot, now)


def note_on_site(pilot: Pilot, site: str) -> str:
    """Why a site is where it is, as the site itself was told; "" where there is nothing to explain."""
    record = pilot.record
    if done := pilot.rolled_back(site):
        return str(done.payload.get("reason", ""))
    if pilot.is_left_out(site):
        return _newest(record, FactKind.SITE_LEFT_OUT, site)
    if asked := pilot.roll_back_asked(site):
        return f"A roll-back was asked for: {asked.payload['reason']}"
    return " ".join(set_up.newest_reasons(record, site)) if pilot.first_set_up(site) is None else ""


def _newest(record: Rollout, kind: FactKind, site: str) -> str:
    found = [f for f in record.facts if f.kind is kind and f.subject == site]
    return str(found[-1].payload.get("reason", "")) if found else ""


def _until(record: Rollout, step: str) -> str:
    asked = questions.question(record, step, Role.PPS_COORDINATOR)
    return f" by {moment(asked.due)}" if asked else ""


def _requested(pilot: Pilot, now: datetime) -> str:
    return f"The {Role.PPS_COORDINATOR} accepts or declines it{_until(pilot.record, ACCEPTANCE)}."


def _screening(pilot: Pilot, now: datetime) -> str:
    vos = " VOs may say that they take part: pps pilot interest." if pilot.is_major else ""
    return f"The {Role.PPS_COORDINATOR} selects the sites{_until(pilot.record, SELECTION)}.{vos}"


def _meeting(pilot: Pilot, now: datetime, what: str, step: str, then: str) -> str:
    called = meetings.meeting(pilot.record, what)
    if called is None:
        return f"The {what} meeting is called."
    starts = datetime.fromisoformat(called.payload["starts"])
    held = f"The {what} meeting {'was' if starts < now else 'is'} on {moment(starts)};"
    return f"{held} the {Role.PPS_COORDINATOR} enters{_until(pilot.record, step)} {then}."


def _kick_off(pilot: Pilot, now: datetime) -> str:
    return _meeting(pilot, now, meetings.KICK_OFF, kick_off.STEP, "what was agreed")


def _set_up(pilot: Pilot, now: datetime) -> str:
    agreed, awaited = pilot.agreement, ", ".join(pilot.awaited)
    if not awaited or agreed is None:
        return "No site is left to set it up; the wrap-up follows."
    return f"To be set up at {awaited} by {moment(agreed.set_up_until)}; the run begins when the last one is ready."


def _running(pilot: Pilot, now: datetime) -> str:
    until, agreed, silent = pilot.runs_until, pilot.agreement, ", ".join(silent_vos(pilot))
    heard = f" Feedback of {silent} is awaited until {moment(agreed.feedback_until)}." if silent and agreed else ""
    return f"It runs until {moment(until) if until else 'the agreed end'}; reports and the wrap-up follow.{heard}"


def _wrap_up(pilot: Pilot, now: datetime) -> str:
    decided = pilot.record.the(FactKind.WRAPPED_UP)
    if decided is not None:
        decision = decided.payload["decision"]
        waits = " It is released when its deployment test has ended well." if decision == RELEASE else ""
        return f"The decision was: {decision}.{waits}"
    if meetings.meeting(pilot.record, meetings.WRAP_UP) is None and pilot.missing_reports:
        return f"Reports are awaited from {', '.join(pilot.missing_reports)}; the wrap-up meeting follows."
    return _meeting(pilot, now, meetings.WRAP_UP, wrap_up.STEP, "the decision")


def _closed(pilot: Pilot, now: datetime) -> str:
    closed = pilot.record.need(FactKind.ROLLOUT_CLOSED, "").payload
    if closed.get("next"):
        return f"The next round: pps pilot show {closed['next']}"
    return f"Nothing, it has ended: {closed['outcome']}."


_NEXT: Mapping[Stage, Callable[[Pilot, datetime], str]] = {
    Stage.REQUESTED: _requested,
    Stage.ACCEPTED: _screening,
    Stage.SCREENING: _screening,
    Stage.KICK_OFF: _kick_off,
    Stage.SET_UP: _set_up,
    Stage.RUNNING: _running,
    Stage.WRAP_UP: _wrap_up,
    Stage.CLOSED: _closed,
}
