"""What people can say of a pilot on its page, beside the questions that are put to them: each form for those who may.

The same bodies and the same activities as for programs (`pilot_doors`, `pilot_log`), which ask the rules again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import HTTPException

from pps.activities.pilots import journal, screening
from pps.activities.pilots.meetings import KICK_OFF, meeting
from pps.config.loader import Configuration
from pps.domain.base.conditions import why_not
from pps.domain.people.roles import Role, reasons_against_speaking_for_vo
from pps.domain.pilots import rules
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.web.doors import Body, checked
from pps.web.forms import Person
from pps.web.pilot_doors import MEETINGS, InterestBody, JustificationBody, MoveBody, interest_at, justify_at, move_at
from pps.web.pilot_log import EntryBody, RollBackBody, SuccessBody, log_at, roll_back_at, success_at
from pps.workflow.desk import FrontDesk

JOURNAL, ROLL_BACK, SUCCESS, INTEREST = "journal", "roll-back", "success", "interest"
MOVE, JUSTIFY = "move", "justify"
#: What a browser sends of a date and a time; our pages ask for both in UTC.
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")


@dataclass(frozen=True, slots=True)
class Field:
    """What is asked for."""

    name: str
    label: str
    kind: str = "text"
    """`text`, `choice`, `moment` (in UTC) or `box`"""
    choices: Sequence[str] = ()
    longest: int = 1000
    value: str = ""
    """what was typed"""


@dataclass(frozen=True, slots=True)
class Form:
    """One form."""

    do: str
    title: str
    button: str
    follows: str
    """what comes of it, in a sentence"""
    fields: Sequence[Field]
    grave: bool = False


_REASON = Field("reason", "Why? Others read it: a sentence, no names.")


def offered(pilot: Pilot, config: Configuration, person: Person, typed: Mapping[str, str]) -> list[Form]:
    """The forms that would do something now, for this person.

    Args:
        typed: what was sent and not taken; it stands in its form again.
    """
    if pilot.record.is_over:
        return []
    forms = [
        *_of_sites(pilot, config, person),
        *_of_vos(pilot, config, person),
        *(_of_coordination(pilot, person) if person.holds(Role.PPS_COORDINATOR) else ()),
    ]
    lacks = not pilot.record.opened.get("certified", True) and pilot.exception is None
    if lacks and person.holds(Role.PPS_COORDINATOR, Role.EMT):
        title = "Say why software that is not certified is used"
        follows = "A set-up that was refused for want of it goes on by itself. The release notes show it to everybody."
        forms.append(Form(JUSTIFY, title, "Put it on record", follows, [_REASON]))
    return [_filled(form, typed) if form.do == typed.get("do") else form for form in forms]


def _of_sites(pilot: Pilot, config: Configuration, person: Person) -> list[Form]:
    mine = [
        site.name
        for name in dict.fromkeys((*pilot.selected, *pilot.served))
        if (site := config.sites.get(name)) and not rules.reasons_against_acting(site, person.identities)
    ]
    if not mine:
        return []
    text = Field("text", "What has changed, or what have you noticed?", longest=journal.LONGEST_TEXT)
    expert = Field("call_expert", "Ask the provider of the packages for help: it gets a copy.", "box")
    sends = "It is kept in the journal, and sent to the support list."
    forms = [
        Form(
            JOURNAL, "Write into the journal", "Write it", sends, [Field("site", "Site", "choice", mine), text, expert]
        )
    ]
    if runs := [site for site in mine if pilot.service_at(site) and not pilot.roll_back_asked(site)]:
        follows = "The site's people are asked to go back to the previous version. That ends its part in this round."
        fields = [Field("site", "Site", "choice", runs), _REASON]
        forms.append(Form(ROLL_BACK, "Ask for a roll-back", "Ask for it", follows, fields, grave=True))
    return forms


def _of_vos(pilot: Pilot, config: Configuration, person: Person) -> list[Form]:
    if not pilot.is_major or not pilot.is_accepted or pilot.record.has(FactKind.KICK_OFF_AGREED):
        return []
    known = config.people.vos
    mine = [
        vo.name for vo in known if not reasons_against_speaking_for_vo(vo.name, vo.representatives, person.identities)
    ]
    if not mine:
        return []
    text = Field("text", "What does it want to try, and what does it need?", longest=screening.LONGEST_INTEREST)
    follows = "The coordination is told, and invites the VO to the kick-off meeting. What was said last counts."
    return [Form(INTEREST, "Say that a VO takes part", "Say it", follows, [Field("vo", "VO", "choice", mine), text])]


def _of_coordination(pilot: Pilot, person: Person) -> list[Form]:
    forms = []
    ends = {KICK_OFF: FactKind.KICK_OFF_AGREED}
    movable = [
        what
        for what in MEETINGS
        if meeting(pilot.record, what) and not pilot.record.has(ends.get(what, FactKind.WRAPPED_UP))
    ]
    if movable:
        to = Field("to", "When does it begin, in UTC?", "moment")
        why = replace(_REASON, label="Why? Those who are invited read it.")
        follows = "Everybody who was invited gets the new date."
        fields = [Field("what", "Meeting", "choice", movable), to, why]
        forms.append(Form(MOVE, "Move a meeting", "Move it", follows, fields))
    may_end = not why_not(lambda: rules.may_run(pilot)) and bool(pilot.serving)
    if pilot.run_ended is None and may_end:
        follows = "The run ends before its time; reports and the wrap-up follow."
        forms.append(Form(SUCCESS, "Declare it a success", "Declare it", follows, [_REASON], grave=True))
    return forms


def _filled(form: Form, typed: Mapping[str, str]) -> Form:
    return replace(form, fields=[replace(field, value=typed.get(field.name, "")) for field in form.fields])


# --- what was sent


#: What is said -> its body, and what is done with it.
_ACTS: Mapping[str, tuple[type[Body], Callable[..., Fact]]] = {
    JOURNAL: (EntryBody, log_at),
    ROLL_BACK: (RollBackBody, roll_back_at),
    SUCCESS: (SuccessBody, success_at),
    INTEREST: (InterestBody, interest_at),
    JUSTIFY: (JustificationBody, justify_at),
}
#: Where on the page it is seen that it is done.
SEEN_AT = {
    JOURNAL: "journal",
    ROLL_BACK: "journal",
    SUCCESS: "journal",
    INTEREST: "vos",
    MOVE: "dates",
    JUSTIFY: "stands",
}


def done(d: FrontDesk, typed: Mapping[str, str], person: Person) -> Fact:
    """Do what a form says.

    Raises:
        HTTPException: there is no such form, or a field is wrong.
        RolloutError: it may not be done now, or not by this person.
    """
    what = typed.get("do", "")
    fields: dict[str, Any] = {name: text for name, text in typed.items() if name != "do"}
    if what == MOVE:
        which = fields.pop("what", "")
        if which not in MEETINGS:
            raise HTTPException(422, f"A pilot has these meetings: {', '.join(MEETINGS)}.")
        if _LOCAL.fullmatch(fields.get("to", "")):
            fields["to"] += "Z"
        return move_at(d, which, checked(MoveBody, fields), person.name, person.identities)
    if what not in _ACTS:
        raise HTTPException(422, f"There is no form {what[:40]!r}: {', '.join((*_ACTS, MOVE))}.")
    kind, act = _ACTS[what]
    if "call_expert" in fields:
        fields["call_expert"] = bool(fields["call_expert"])
    return act(d, checked(kind, fields), person.name, person.identities)
