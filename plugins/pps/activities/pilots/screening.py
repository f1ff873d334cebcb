"""Pre-screening of a pilot: candidates, interest of VOs, documentation, selection (SD 4.1.3, 2)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pps.activities.desk import Desk
from pps.activities.people.effort import credits_on_record
from pps.activities.people.notification import Party
from pps.activities.pilots.meetings import KICK_OFF, meeting, vos_of
from pps.activities.ports.record import Facts
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import clean_text, one_line, reasons_against_reason
from pps.domain.packages.patch import Patch
from pps.domain.people.links import interest_door
from pps.domain.people.questions import Given
from pps.domain.people.roles import reasons_against_speaking_for_vo
from pps.domain.pilots import rules
from pps.domain.pilots.candidates import Load, Ranking, rank
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PILOTS, Rollout
from pps.domain.sites.site import Site

SELECT, NONE = "Select", "No site"
OPTIONS = (SELECT, NONE)
#: What must be documented before a site sets the service up (SD 4.1.3, 2), and the patch's field for it.
DOCUMENTATION = {"installation": "installation_guide", "configuration": "configuration_guide"}
#: Activities of pilots in activities.yaml.
_PILOT_ACTIVITIES = "pilot-"
LONGEST_INTEREST = 5000
"""characters of a VO's text"""
MOST_INTERESTS = 50
"""of one VO in one pilot; the record is for ever"""


# --- candidates


def loads(facts: Facts, but: str = "") -> dict[str, Load]:
    """What each site is doing for pilots now, and has done so far.

    Args:
        but: name of a pilot that is not counted: the one that is being screened.
    """
    running: dict[str, int] = {}
    for row in facts.rollouts(open_only=True, paths=PILOTS):
        if row.name != but:
            for site in Pilot(facts.rollout(row.name)).sites:
                running[site] = running.get(site, 0) + 1
    earned: dict[str, int] = {}
    for credit in credits_on_record(facts):
        if credit.site and credit.activity.startswith(_PILOT_ACTIVITIES):
            earned[credit.site] = earned.get(credit.site, 0) + credit.credits
    return {site: Load(running.get(site, 0), earned.get(site, 0)) for site in running.keys() | earned.keys()}


def rank_candidates(
    desk: Desk,
    sites: Iterable[Site],
    open_pilots_at_most: int,
    *,
    volunteers: Collection[str] = (),
    in_downtime: Collection[str] = (),
) -> Ranking:
    """Rank the sites and record it; the same ranking again is not recorded, another one takes its place.

    Raises:
        NotYetAllowedError: the request is not accepted, or the sites are agreed on.
    """
    pilot = Pilot(desk.rollout)
    rules.must_be_accepted(pilot)
    if desk.rollout.has(FactKind.KICK_OFF_AGREED):
        raise NotYetAllowedError(desk.name, "the kick-off has agreed on its sites.", "Look at: pps pilot show.")
    found = foresee(desk, sites, open_pilots_at_most, volunteers=volunteers, in_downtime=in_downtime)
    payload = {
        "candidates": [{"site": c.site, "score": c.score, "reasons": list(c.reasons)} for c in found.candidates],
        "excluded": {site: list(reasons) for site, reasons in found.excluded.items()},
        "volunteers": sorted(volunteers),
    }
    _record_newest(desk, FactKind.CANDIDATES_RANKED, payload)
    return found


def foresee(
    desk: Desk,
    sites: Iterable[Site],
    open_pilots_at_most: int,
    *,
    volunteers: Collection[str] = (),
    in_downtime: Collection[str] = (),
) -> Ranking:
    """The ranking as it would be recorded now; touches nothing."""
    return rank(
        sites,
        desk.patch,
        Pilot(desk.rollout).level,
        volunteers=volunteers,
        in_downtime=in_downtime,
        loads=loads(desk.facts, desk.name),
        open_pilots_at_most=open_pilots_at_most,
    )


def _record_newest(desk: Desk, kind: FactKind, payload: Mapping[str, Any]) -> None:
    """Record what was found, unless the newest fact of the kind says the same."""
    newest = desk.rollout.the(kind)
    if newest is not None and dict(newest.payload) == payload:
        return
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:16]
    # found, then something else, then this again: a further occasion, or the record would keep the other one
    desk.record(desk.fact(kind, "", desk.next_occasion(kind, "", digest), payload))


# --- interest of VOs


def ask_for_interest(desk: Desk, vos: Sequence[Party], reply_to: str, public_url: str) -> int:
    """Tell the VOs about the new features, and ask who wants to take part; returns how many mails are new.

    A minor pilot is "kept internal to the service infrastructure": nobody is asked.
    """
    record = desk.rollout
    patch = desk.patch
    pilot = Pilot(record)
    rules.must_be_accepted(pilot)
    if not pilot.is_major:
        return 0
    view = {
        "rollout": record.name,
        "patch": patch,
        "asked": record.need(FactKind.PILOT_REQUESTED, "Ask for the pilot first.").payload,
        "reply_to": reply_to,
        "door": interest_door(public_url, record.name),
    }
    subject = f"Pilot of {patch.metapackage} {patch.version}: does your VO want to take part?"
    told, mails = [], []
    for vo in vos:
        if any(f.kind is FactKind.BROADCAST_QUEUED and f.subject == vo.name for f in record.facts):
            continue
        fact = desk.fact(FactKind.BROADCAST_QUEUED, vo.name, "", {"to": vo.address})
        told.append(fact)
        mine = {**view, "recipient": vo.name}
        mails.append(desk.letter("pilot_interest", mine, key=fact, to=vo.address, subject=subject))
    return len(desk.record(*told, mails=mails))


def show_interest(
    desk: Desk, vo: str, text: str, user: str, mine: Collection[str], vos: Mapping[str, Collection[str]], to: str
) -> Fact:
    """Keep a VO's interest, with what it wants, and tell the coordination, once; returns it as it is on record.

    What the VO said last counts; the same again is not recorded.

    Args:
        mine: all names under which `user` is known (`roles.identities`).
        vos: those of people.yaml, each with the users that represent it.
        to: address of the coordination, whose question was put before the VOs could answer.

    Raises:
        NotYetAllowedError: the request is not accepted, or the pilot has ended.
        RefusedError: a minor pilot, an unknown VO, somebody else's, no text, or the kick-off has passed.
    """
    record = desk.rollout
    pilot = Pilot(record)
    rules.must_be_accepted(pilot)
    said = clean_text(text).strip()
    reasons: list[str] = []
    if not pilot.is_major:
        reasons.append("It is a minor pilot, in which VOs have no part.")
    if vo not in vos:
        reasons.append(f"The VO {vo[:60]!r} is not in people.yaml.")
    else:
        reasons += reasons_against_speaking_for_vo(vo, vos[vo], mine)
    if not said:
        reasons.append("The text does not say what the VO wants to try.")
    if len(said) > LONGEST_INTEREST:
        reasons.append(f"The text has {len(said)} characters; at most {LONGEST_INTEREST} are kept.")
    before = [f for f in record.facts if f.kind is FactKind.INTEREST_SHOWN and f.subject == vo]
    if len(before) >= MOST_INTERESTS:
        reasons.append("No more texts of this VO can be kept.")
    if not reasons and before and before[-1].payload["text"] == said:
        return before[-1]
    if record.has(FactKind.KICK_OFF_AGREED):
        reasons.append("The kick-off has agreed on the VOs; another round may have others.")
    if reasons:
        raise RefusedError(f"interest of {vo[:60]} in {record.name}", tuple(reasons), "Write to the coordination.")
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    occasion = desk.next_occasion(FactKind.INTEREST_SHOWN, vo, digest)
    shown = desk.by(f"user {user}").fact(FactKind.INTEREST_SHOWN, vo, occasion, {"text": said, "user": user})
    kick_off = meeting(record, KICK_OFF)
    invited = vos_of(record, KICK_OFF, until=kick_off.at) if kick_off else ()
    view = {
        "rollout": record.name,
        "opened": record.opened,
        "vo": vo,
        "user": user,
        "text": said,
        "again": bool(before),
        "selected": record.has(FactKind.SITES_SELECTED),
        "kick_off": datetime.fromisoformat(kick_off.payload["starts"]) if kick_off else None,
        "invited": bool(kick_off) and vo in invited,
    }
    opened = record.opened
    mail = desk.letter(
        "pilot_interest_shown",
        view,
        key=shown,
        to=to,
        subject=f"{vo} wants to take part in the pilot of {opened['metapackage']} {opened['version']}",
    )
    desk.record(shown, mails=[mail])
    return shown


def interested(record: Rollout) -> dict[str, str]:
    """VO -> what it said last."""
    return {f.subject: str(f.payload["text"]) for f in record.facts if f.kind is FactKind.INTEREST_SHOWN}


# --- documentation and selection


def documentation(patch: Patch, form: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What must be documented -> where it is, as the form says, else the patch; "" where nothing is."""
    given = {what: one_line(str((form or {}).get(what) or ""), 500) for what in DOCUMENTATION}
    return {what: given[what] or one_line(getattr(patch, name), 500) for what, name in DOCUMENTATION.items()}


def selection_view(record: Rollout, patch: Patch, due: datetime) -> Mapping[str, Any]:
    """The view of the template `ask_pilot_selection.md`."""
    return {
        "rollout": record.name,
        "patch": patch,
        "level": Pilot(record).level,
        "major": Pilot(record).is_major,
        "ranked": record.need(FactKind.CANDIDATES_RANKED, "Rank the candidates first.").payload,
        "interested": interested(record),
        "documentation": documentation(patch),
        "due": due,
    }


def facts_of_selection(desk: Desk, patch: Patch, given: Given) -> tuple[Fact, ...]:
    """What follows from the Coordinator's selection: the checked documentation, and the sites.

    Source: SD 4.1.3, 2: "restrict the rose of candidates/options and select the sites to run the pilot"; "verify
    that adequate documentation is available for installation, configuration".

    Raises:
        RefusedError: it names no candidate, documentation is missing, or nothing is selected without a reason.
    """
    reason = clean_text(str(given.form.get("reason") or "")).strip()
    if given.choice == NONE:
        if reasons := reasons_against_reason(reason):
            raise RefusedError(desk.name, reasons, "Whoever asked for the pilot will read it.")
        return ()
    found = documentation(patch, given.form)
    missing = [what for what, where in found.items() if not where]
    sites = tuple(
        dict.fromkeys(
            re.split(r"[\s,]+", str(given.form.get("sites") or "").strip()) if given.form.get("sites") else ()
        )
    )
    sites = tuple(site for site in sites if site)
    checked = desk.fact(FactKind.DOCUMENTATION_CHECKED, "", "selection", {"missing": missing, "found": found})
    try:
        rules.may_select(Pilot(Rollout(desk.name, (*desk.rollout.facts, checked))), sites)
    except NotYetAllowedError as error:
        raise RefusedError(desk.name, (f"The selection cannot be taken: {error.why}",), error.next_step) from error
    payload = {"sites": list(sites), "reason": reason, "user": given.user}
    selected = desk.fact(FactKind.SITES_SELECTED, "", "", payload)
    return (checked, selected)


def close_without_site(desk: Desk, reason: str) -> None:
    """End a pilot for which no site was selected."""
    payload = {"outcome": "no site", "reasons": [reason]}
    desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", payload))
