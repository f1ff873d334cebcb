"""What the people in charge can do with a rollout from its page: each button with its reason, by role.

Pausing, going on and stopping are facts; a withdrawal and another try at failed sites are runs of Airflow, which it
starts for whoever has pressed the button.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, Field

from pps.activities.clients.control import control
from pps.activities.clients.opening import level_for
from pps.activities.clients.withdrawal import reasons_against_withdrawal, sites_with_preview
from pps.activities.people.feedback_dates import extend_feedback
from pps.activities.people.notification import addresses_told
from pps.activities.sites.wishes import all_wishes
from pps.domain.base.conditions import moment
from pps.domain.base.errors import RefusedError
from pps.domain.clients.control import MAY_CONTROL, Control, reasons_against_control
from pps.domain.clients.retries import retry_of
from pps.domain.people.feedback import feedback_due
from pps.domain.people.feedback_dates import reasons_against_extending
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.domain.sites.site import Site
from pps.domain.sites.wishes import AllWishes
from pps.services import Services
from pps.web.airflow_calls import Airflow, start_run
from pps.web.doors import Body, Reason
from pps.web.forms import Person, office_of
from pps.web.public import rollout_or_404
from pps.workflow.desk import FrontDesk
from pps.workflow.paths import RETRY, WITHDRAW

AGAIN, TAKE_BACK, EXTEND = "again", "withdraw", "extend"


class ExtendBody(Body):
    """Until when VOs are asked, and why it is longer than was agreed; they read it."""

    until: Annotated[AwareDatetime, Field(strict=False)]
    reason: Reason = ""


class ControlBody(Body):
    """What is to be done, and why; others read it."""

    what: Annotated[Control, Field(strict=False)]
    reason: Reason


@dataclass(frozen=True, slots=True)
class Offered:
    """One button."""

    what: str
    words: str
    follows: str
    """what comes of it, in a sentence"""
    grave: bool = False
    until: bool = False
    """it takes a date"""


def offered(record: Rollout, registry: Mapping[str, Site], wishes: AllWishes, person: Person) -> Sequence[Offered]:
    """The buttons that would do something now, for this person."""
    if record.path not in PREVIEWS or not person.holds(*MAY_CONTROL):
        return ()
    found = []

    def may(what: Control) -> bool:
        return not reasons_against_control(record, what, person.identities)

    if may(Control.RESUME):
        found.append(Offered(Control.RESUME, "Let it go on", "The next batch begins; what waited goes on."))
    if may(Control.PAUSE):
        held = "No further batch begins, and nothing leads to production. What is at sites stays."
        found.append(Offered(Control.PAUSE, "Pause", held))
    if not reasons_against_extending(record, person.identities):
        due = feedback_due(record)
        now = f"They are asked until {moment(due)}." if due else "The date is agreed on when the sites have it."
        found.append(Offered(EXTEND, "Ask VOs for longer", f"{now} A reason may be left out.", until=True))
    if sites := retry_of(record, registry, level_for(record.path), wishes=wishes).sites:
        number = len(sites)
        words = f"Again on {number} failed site{'' if number == 1 else 's'}"
        found.append(Offered(AGAIN, words, "They are tried at once, not at night; no reason is needed."))
    if may(Control.STOP):
        ends = "The rollout ends. Sites that have the preview keep it; the patch is free for another rollout."
        found.append(Offered(Control.STOP, "Stop", ends, grave=True))
    if not record.is_withdrawn and (sites_with_preview(record) or not record.is_closed):
        ends = "The preview leaves all its sites, and everybody who was told of it hears why."
        found.append(Offered(TAKE_BACK, "Withdraw", ends, grave=True))
    return found


async def done(
    services: Services,
    airflow: Airflow,
    request: Request,
    name: str,
    typed: Mapping[str, str],
    person: Person,
    at: datetime,
) -> str:
    """Do what a button says; returns what the page's address gets appended.

    Raises:
        HTTPException: there is no such button, or Airflow refuses.
        RolloutError: it may not be done now, or not by this person, or the reason is none.
    """
    what, reason = typed.get("do", ""), typed.get("reason", "")
    desk = await run_in_threadpool(lambda: office_of(services, person, at).desk(rollout_or_404(services.facts, name)))
    if what in [known.value for known in Control]:
        await run_in_threadpool(control_at, desk, Control(what), reason, person.name, person.identities)
        await run_in_threadpool(desk.write_bulletin)
        return ""
    if what == EXTEND:
        until = until_typed(typed.get("until", ""))
        await run_in_threadpool(extend_at, desk, until, reason, person.name, person.identities)
        await run_in_threadpool(desk.write_bulletin)
        return ""
    if not person.holds(*MAY_CONTROL):
        raise HTTPException(403, f"Only the {' and the '.join(MAY_CONTROL)} may do that.")
    if what == AGAIN:
        wishes = await run_in_threadpool(all_wishes, services.facts, at)
        plan = retry_of(desk.rollout, services.config.sites, level_for(desk.rollout.path), wishes=wishes)
        if plan.reasons_against:
            raise RefusedError(f"another try of {name}", plan.reasons_against)
        run = await start_run(airflow, request, RETRY, {"rollout": name})
        return f"?started={quote(f'{RETRY}/{run}')}"
    if what == TAKE_BACK:
        if against := await run_in_threadpool(reasons_against_withdrawal, desk, reason):
            raise RefusedError(f"withdrawal of {name}", against)
        run = await start_run(airflow, request, WITHDRAW, {"rollout": name, "reason": reason})
        return f"?started={quote(f'{WITHDRAW}/{run}')}"
    raise HTTPException(422, f"There is no button {what[:40]!r}: {', '.join((*Control, EXTEND, AGAIN, TAKE_BACK))}.")


def until_typed(text: str) -> datetime:
    """What a browser sends for a date with its time, which is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise HTTPException(422, "Until when? Give a date and a time (UTC).") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def extend_at(d: FrontDesk, until: datetime, reason: str, user: str, mine: Collection[str]) -> Fact:
    """Ask VOs for longer, and tell the coordination and all who were asked."""
    told, at_most = (d.config.service.reply_to, *addresses_told(d.rollout)), d.policies.certification.wait_at_most
    return extend_feedback(d, until, reason, user, mine, told, at_most=at_most)


def control_at(d: FrontDesk, what: Control, reason: str, user: str, mine: Collection[str]) -> Fact:
    """Pause, go on or stop, and tell the coordination; of a stop also all who were told of the preview."""
    told = addresses_told(d.rollout) if what is Control.STOP else ()
    return control(d, what, reason, user, mine, (d.config.service.reply_to, *told))
