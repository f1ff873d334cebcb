"""Instruction of the sites, and what the kick-off meeting agrees on (SD 4.1.3, 3 to 5)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pps.activities.desk import Desk
from pps.activities.pilots.set_up import field, reasons_against_software
from pps.domain.base.durations import duration_text, parse_duration
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.names import is_name
from pps.domain.base.texts import one_line, reasons_against_reason
from pps.domain.packages.patch import Patch
from pps.domain.people.questions import Given
from pps.domain.pilots import rules
from pps.domain.pilots.credits import INSTRUCTION, SITE
from pps.domain.pilots.pilot import NOT_CERTIFIED, Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site

STEP = "pilot-kick-off"
AGREED, NOT_AGREED = "Agreed", "No agreement"
OPTIONS = (AGREED, NOT_AGREED)
EXPERTS = ("ITR", "Developers", SITE)
"""SD 4.1.3, table: "Gold Site, ITR or Developers" support the service as experts"""
LONGEST = timedelta(weeks=52)
AGENDA = (
    "Timeline for the sites to set the service up, and for the VOs to give feedback.",
    "Which VOs commit themselves, and what they require, e.g. that jobs can select the sites (JDL).",
    "Whether the service is published in the production information system; then its repository is mirrored.",
    "Who supports the sites as service expert.",
)


@dataclass(frozen=True, slots=True)
class Timeline:
    """How long each part takes where the meeting agrees on nothing else (config/policies.yaml, `pilots`)."""

    set_up_within: timedelta
    run_for: timedelta
    feedback_within: timedelta


def usual_timeline(desk: Desk, *, set_up_within: timedelta, run_for: timedelta, feedback_within: timedelta) -> Timeline:
    """The policy's times; another round runs for as long as the wrap-up before it has decided."""
    before = desk.rollout.need(FactKind.SITES_SELECTED, "Select the sites first.").payload.get("taken_over")
    wrapped = desk.facts.rollout(str(before)).the(FactKind.WRAPPED_UP) if before else None
    if wrapped is not None and wrapped.payload.get("prolong_for_s"):
        run_for = timedelta(seconds=float(wrapped.payload["prolong_for_s"]))
    return Timeline(set_up_within, run_for, feedback_within)


# --- step 3 -------------------------------------------------------------------------------------


def instruct_sites(desk: Desk, sites: Mapping[str, Site], usual: Timeline) -> int:
    """Give the selected sites pointers to the documentation, and the timeline (SD 4.1.3, 3).

    Returns how many mails are new. In another round nobody is told: they had it in the first. A site that has left the
    registry is not told.
    """
    record = desk.rollout
    patch = desk.patch
    pilot = Pilot(record)
    rules.must_be_accepted(pilot)
    selected = record.need(FactKind.SITES_SELECTED, "The Coordinator selects the sites first.")
    if selected.payload.get("taken_over"):
        return 0
    documented = record.need(FactKind.DOCUMENTATION_CHECKED, "Check the documentation first.").payload["found"]
    told, mails = [], []
    for name in pilot.sites:
        if name not in sites:
            continue
        site = sites[name]
        view = {
            "rollout": record.name,
            "patch": patch,
            "site": site,
            "level": pilot.level,
            "major": pilot.is_major,
            "others": [other for other in pilot.sites if other != name],
            "documentation": documented,
            "certified": record.opened["certified"],
            "justification": record.opened["justification"],
            "scope": record.need(FactKind.PILOT_REQUESTED, "Ask for the pilot first.").payload["scope"],
            "usual": usual,
        }
        payload = {"to": site.contact, "user": selected.payload.get("user", "")}
        fact = desk.fact(FactKind.TOLD, name, INSTRUCTION, payload)
        told.append(fact)
        mails.append(
            desk.letter(
                "pilot_instruction",
                view,
                key=fact,
                to=site.contact,
                subject=f"{name}: you run the pilot of {patch.metapackage} {patch.version} (patch {patch.number})",
            )
        )
    return len(desk.record(*told, mails=mails))


# --- step 5 -------------------------------------------------------------------------------------


def kick_off_view(record: Rollout, patch: Patch, usual: Timeline, due: datetime) -> Mapping[str, Any]:
    """The view of the template `ask_pilot_kick_off.md`."""
    pilot = Pilot(record)
    return {
        "rollout": record.name,
        "patch": patch,
        "round": pilot.round,
        "major": pilot.is_major,
        "sites": pilot.sites,
        "awaited": pilot.awaited,
        "interested": {f.subject: f.payload["text"] for f in record.facts if f.kind is FactKind.INTEREST_SHOWN},
        "usual": {name: duration_text(getattr(usual, name)) for name in Timeline.__slots__},
        "not_certified": reasons_against_software(record, patch),
        "justification": record.opened["justification"],
        "due": due,
    }


def facts_of_kick_off(
    desk: Desk, patch: Patch, given: Given, *, usual: Timeline, vos: Collection[str]
) -> tuple[Fact, ...]:
    """What follows from the outcome of the meeting: dates, agreed once and absolute, which drive every later wait.

    Source: SD 4.1.3, 5: "to reach an agreement about the timeline for the site to set-up the service (e.g. 1 week) and
    for the VO to give feedback (e.g. 2 weeks). Particular requirements from the VOs are also expressed".

    Args:
        usual: where the form leaves a time open.
        vos: those of people.yaml.

    Raises:
        RefusedError: with a sentence for each thing that is wrong with the form; or no agreement, and no reason.
    """
    if given.choice == NOT_AGREED:
        if lacking := reasons_against_reason(field(given.form, "reason")):
            raise RefusedError(desk.name, lacking, "Whoever asked for the pilot will read it.")
        return ()
    pilot = Pilot(desk.rollout)
    try:
        rules.may_kick_off(pilot)
    except NotYetAllowedError as error:
        raise RefusedError(desk.name, (f"It cannot be agreed on: {error.why}",), error.next_step) from error
    reasons: list[str] = []
    times = {
        name: agreed_time(field(given.form, name), f"for {name!r}", getattr(usual, name), reasons)
        for name in Timeline.__slots__
    }
    committed = tuple(dict.fromkeys(word for word in re.split(r"[\s,]+", field(given.form, "vos")) if word))
    if unknown := [one_line(vo, 60) for vo in committed if vo not in vos]:
        reasons.append(f"Not in people.yaml: {', '.join(unknown)}.")
    if committed and not pilot.is_major:
        reasons.append("It is a minor pilot, in which VOs have no part.")
    experts = _experts(pilot, field(given.form, "experts"), reasons)
    present = named(field(given.form, "itr"), "ITR", reasons)
    more = _justified(desk, patch, field(given.form, "justification"), given.user, reasons)
    if reasons:
        raise RefusedError(f"kick-off of {desk.name}", tuple(reasons), "Correct the form, and answer again.")
    set_up_until = desk.now + times["set_up_within"] if pilot.awaited else desk.now
    # a minor pilot asks no VO: its date is that of its end, at the latest
    feedback_until = set_up_until + times["feedback_within" if pilot.is_major else "run_for"]
    payload = {
        "set_up_until": set_up_until.isoformat(),
        "run_for_s": times["run_for"].total_seconds(),
        "feedback_until": feedback_until.isoformat(),
        "vos": list(committed),
        "requirements": field(given.form, "requirements"),
        "published": given.form.get("published") is not False,
        "experts": experts,
        "participants": present,
        "user": given.user,
    }
    dated = (
        (desk.fact(FactKind.FEEDBACK_DATE_AGREED, "", "", {"due": feedback_until.isoformat()}),) if committed else ()
    )
    return (desk.fact(FactKind.KICK_OFF_AGREED, "", "", payload), *dated, *more)


def agreed_time(text: str, what: str, usual: timedelta, reasons: list[str]) -> timedelta:
    """A time that was entered after a meeting; adds a reason if the text is no time.

    Args:
        what: what the time is for, as it stands in a sentence: `to prolong it`.
        usual: where nothing was entered.
    """
    if not text:
        return usual
    try:
        span = parse_duration(text)
    except ValueError as error:
        reasons.append(f"{one_line(text, 40)!r} is no time {what}: {error}.")
        return usual
    if not timedelta(0) < span <= LONGEST:
        reasons.append(f"{text} is no time {what}: more than nothing, and at most {duration_text(LONGEST)}.")
    return span


def _experts(pilot: Pilot, text: str, reasons: list[str]) -> list[dict[str, str]]:
    found = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        role, _, who = (part.strip() for part in line.partition(":"))
        if role not in EXPERTS or not is_name(who):
            reasons.append(f"{one_line(line, 80)!r} names no expert; write e.g. ITR: name ({', '.join(EXPERTS)}).")
        elif role == SITE and who not in pilot.sites:
            reasons.append(f"{who} takes no part in it.")
        else:
            found.append({"role": role, "who": who})
    return found


def named(text: str, role: str, reasons: list[str]) -> list[dict[str, str]]:
    """Who took part in a meeting, one a line, for their credits; adds a reason for each word that is no name."""
    names = tuple(dict.fromkeys(word for word in re.split(r"[\s,]+", text) if word))
    reasons += [f"{one_line(name, 60)!r} is no user name." for name in names if not is_name(name)]
    return [{"role": role, "who": name} for name in names]


def _justified(desk: Desk, patch: Patch, text: str, user: str, reasons: list[str]) -> tuple[Fact, ...]:
    """SD 4.1.3: "The use of non-certified software [...] has however to be justified, documented and recorded"."""
    if not reasons_against_software(desk.rollout, patch):
        return ()
    why = text or str(desk.rollout.opened["justification"])
    reasons += (r.replace("The reason", "The justification") for r in reasons_against_reason(why))
    payload = {"decision": "allowed", "reason": one_line(why, 1000), "state": patch.state.value, "user": user}
    return (desk.fact(FactKind.DECIDED, "", NOT_CERTIFIED, payload),)
