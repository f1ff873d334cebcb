"""The meetings of a pilot: who is invited, and when; who hears that it is moved or called off (SD 4.1.3, 4 and 10)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pps.activities.desk import Desk, Office, key_of
from pps.activities.people.invitation import FILE, MIME_TYPE, Meeting, cancellation, invitation, meeting_uid
from pps.activities.people.notification import Party
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import one_line
from pps.domain.packages.patch import Patch
from pps.domain.people.roles import Role
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PILOTS, Rollout
from pps.domain.sites.site import Site

MEETINGS = KICK_OFF, WRAP_UP = "kick-off", "wrap-up"


def meeting(record: Rollout, what: str) -> Fact | None:
    """The newest invitation to a meeting, or None: payload `starts`, `ends`."""
    calls = _calls(record, what)
    return calls[-1] if calls else None


def meeting_ends(record: Rollout, what: str, now: datetime) -> datetime:
    """When a meeting ends; now, if nobody was invited to it."""
    called = meeting(record, what)
    return datetime.fromisoformat(called.payload["ends"]) if called else now


def _calls(record: Rollout, what: str) -> list[Fact]:
    known = (f for f in record.facts if f.kind is FactKind.MEETING_CALLED)
    return [f for f in known if f.occasion.partition("/")[0] == what]


def participants(
    record: Rollout,
    patch: Patch,
    sites: Mapping[str, Site],
    vos: Iterable[Party],
    others: Iterable[Party],
    what: str,
) -> tuple[Party, ...]:
    """Whom to invite: the sites, the developers, VOs (major), and the others; one mail to an address.

    Source: SD 4.1.3, 4: "with the Gold Sites, SA3, the developers (if needed), the VOs"; 10: "[Gold Site, ITR, Release
    Manager, PPS Coordinator, VO, Developers]". The VOs are those that have shown interest, or have asked for
    the pilot; for the wrap-up, those that have committed themselves.

    Args:
        vos: all of people.yaml.
        others: roles: coordination, ITR, Release Manager; for the wrap-up of a minor pilot the EMT as well.
    """
    pilot = Pilot(record)
    of_sites = pilot.sites if what == KICK_OFF else pilot.selected
    found = [Party(name, address) for name in of_sites if name in sites for address in sites[name].contacts]
    if pilot.is_major:
        wanted = set(vos_of(record, what))
        found += [vo for vo in vos if vo.name in wanted]
    if patch.provider:
        found.append(Party("the developers", patch.provider))
    by_address: dict[str, Party] = {}
    for party in (*found, *others):
        by_address.setdefault(party.address.lower(), party)
    return tuple(by_address.values())


def vos_of(record: Rollout, what: str, *, until: datetime | None = None) -> tuple[str, ...]:
    """The VOs that are invited to a meeting of a major pilot.

    Args:
        until: as it was known then; None: now.
    """
    pilot = Pilot(record)
    if what == WRAP_UP:
        return pilot.agreement.vos if pilot.agreement else ()
    asked = record.the(FactKind.PILOT_REQUESTED)
    shown = (f for f in record.facts if f.kind is FactKind.INTEREST_SHOWN and (until is None or f.at <= until))
    return (*(f.subject for f in shown), *([asked.payload["vo"]] if asked else ()))


@dataclass(frozen=True, slots=True)
class Host:
    """In whose name people are invited."""

    organizer: str
    """mail address"""
    public_url: str
    """ours; a meeting's identity is that of its first invitation, wherever we are reached since"""


@dataclass(frozen=True, slots=True)
class Move:
    """A meeting gets another date."""

    reason: str = ""
    """those who are invited read it"""
    user: str = ""
    mine: Collection[str] = ()
    """all names under which `user` is known (`roles.identities`)"""


def call_meeting(
    desk: Desk,
    what: str,
    parties: Sequence[Party],
    agenda: Sequence[str],
    host: Host,
    *,
    starts: datetime,
    lasts: timedelta,
    move: Move | None = None,
) -> Fact:
    """Invite everybody to a meeting, once; returns the invitation that stands.

    Args:
        agenda: sentences.
        starts: agreed with the first call; a retry changes nothing.
        move: the date has changed after all: people are invited again, and their calendars move the meeting.

    Raises:
        RefusedError: it would begin in the past.
        NotYetAllowedError: the pilot has ended.
    """
    record = desk.rollout
    calls = _calls(record, what)
    if calls and (not move or calls[-1].payload["starts"] == starts.isoformat()):
        return calls[-1]
    if record.is_over:
        raise NotYetAllowedError(record.name, "it has ended; nobody is invited any more.", "Look at: pps pilot show.")
    if starts < desk.now:
        raise RefusedError(
            f"{what} of {record.name}", (f"{starts.isoformat()} has passed already.",), "Take a later time."
        )
    opened = record.opened
    planned = Meeting(
        uid=_uid_of(record, what, calls) if calls else meeting_uid(_identity(record, what), host.public_url),
        sequence=len(calls),
        summary=_summary(record, what),
        description="\n".join((f"{record.name}, patch {record.patch_number}: {opened['title']}", "", *agenda)),
        starts=starts,
        ends=starts + lasts,
        organizer=_organizer(calls, host.organizer),
        attendees=tuple(party.address for party in parties),
    )
    occasion = f"{what}/{len(calls) + 1}" if calls else what
    payload = {
        "starts": starts.isoformat(),
        "ends": planned.ends.isoformat(),
        "to": [p.address for p in parties],
        "names": [p.name for p in parties],
        "uid": planned.uid,
        "organizer": planned.organizer,
        **({"reason": move.reason, "user": move.user} if calls and move else {}),
    }
    called = desk.fact(FactKind.MEETING_CALLED, "", occasion, payload)
    calendar = invitation(planned, desk.now)
    view = {
        "rollout": record.name,
        "opened": opened,
        "what": what,
        "meeting": planned,
        "agenda": tuple(agenda),
        "moved": bool(calls),
        "was": datetime.fromisoformat(calls[-1].payload["starts"]) if calls else None,
        "reason": move.reason if move else "",
        "parties": tuple(parties),
    }
    subject = f"Moved: {planned.summary}" if calls else planned.summary
    key = key_of(called)
    desk.record(
        called,
        mails=[
            desk.letter(
                "pilot_meeting",
                view,
                key=f"{key}/{p.address.lower()}",
                to=p.address,
                subject=subject,
                attachments=((FILE, MIME_TYPE, calendar),),
            )
            for p in parties
        ],
    )
    stands = meeting(desk.look_again(), what)
    assert stands is not None  # noqa: S101 (just recorded)
    return stands


def _identity(record: Rollout, what: str) -> str:
    pilot = Pilot(record)
    return f"{what}-{pilot.first_round}.{pilot.round}"


def _uid_of(record: Rollout, what: str, calls: Sequence[Fact]) -> str:
    """The uid under which people were invited; those of earlier versions had no domain."""
    return str(calls[0].payload.get("uid") or _identity(record, what))


def _organizer(calls: Sequence[Fact], now: str) -> str:
    """Who invited: a calendar takes a change from nobody else (RFC 5546, 3.2.5), whatever our address is now."""
    return str(calls[0].payload.get("organizer") or now) if calls else now


def _summary(record: Rollout, what: str) -> str:
    opened, round_ = record.opened, Pilot(record).round
    title = one_line(f"{what.capitalize()} meeting: pilot of {opened['metapackage']} {opened['version']}")
    return f"{title}, round {round_}" if round_ > 1 else title


# --- it will not take place ---------------------------------------------------------------------


def cancel_meetings(desk: Desk, *, organizer: str) -> int:
    """Call off what an ended pilot will not hold, in everybody's calendar; returns how many mails are new.

    All who were ever invited hear of it, once, under the identity with which they were invited. A meeting that has
    begun is not called off: it may have been held.
    """
    record = desk.rollout
    new = 0
    for what in MEETINGS if record.is_over else ():
        calls = _calls(record, what)
        known = any(f.kind is FactKind.MEETING_CANCELLED and f.occasion == what for f in record.facts)
        if calls and not known and datetime.fromisoformat(calls[-1].payload["starts"]) > desk.now:
            new += _cancel(desk, what, calls, organizer)
    return new


def _cancel(desk: Desk, what: str, calls: Sequence[Fact], organizer: str) -> int:
    record = desk.rollout
    opened = record.opened
    invited = {str(address).lower(): str(address) for called in calls for address in called.payload["to"]}
    called_off = Meeting(
        uid=_uid_of(record, what, calls),
        sequence=len(calls),
        summary=_summary(record, what),
        description=f"{record.name}, patch {record.patch_number}: {opened['title']}",
        starts=datetime.fromisoformat(calls[-1].payload["starts"]),
        ends=datetime.fromisoformat(calls[-1].payload["ends"]),
        organizer=_organizer(calls, organizer),
        attendees=tuple(invited.values()),
    )
    closed = record.the(FactKind.ROLLOUT_CLOSED) or record.the(FactKind.WITHDRAWAL_ASKED)
    said: Mapping[str, Any] = closed.payload if closed else {}
    reasons = [
        one_line(str(r), 1000) for r in (*said.get("reasons", ()), *([said["reason"]] if "reason" in said else ()))
    ]
    payload = {
        "uid": called_off.uid,
        "sequence": called_off.sequence,
        "to": list(invited.values()),
        "reason": " ".join(reasons),
    }
    view = {
        "rollout": record.name,
        "opened": opened,
        "what": what,
        "meeting": called_off,
        "outcome": str(said.get("outcome", "")),
        "reasons": reasons,
    }
    calendar = cancellation(called_off, desk.now)
    cancelled = desk.fact(FactKind.MEETING_CANCELLED, "", what, payload)
    key = key_of(cancelled)
    mails = [
        desk.letter(
            "pilot_meeting_cancelled",
            view,
            key=f"{key}/{address.lower()}",
            to=address,
            subject=f"Cancelled: {called_off.summary}",
            attachments=((FILE, MIME_TYPE, calendar),),
        )
        for address in invited.values()
    ]
    return len(mails) if desk.record(cancelled, mails=mails) else 0


def cancel_meetings_of_ended(office: Office, *, ended_within: timedelta, organizer: str) -> int:
    """The same for all pilots that have ended lately, however they ended: a task that broke off has told nobody."""
    rows = office.facts.rollouts(paths=PILOTS, closed_after=office.now - ended_within)
    return sum(cancel_meetings(office.desk(row.name), organizer=organizer) for row in rows if row.closed_at is not None)


# --- another date -------------------------------------------------------------------------------


def move_meeting(
    desk: Desk,
    what: str,
    starts: datetime,
    move: Move,
    parties: Callable[[], Iterable[Party]],
    agenda: Sequence[str],
    host: Host,
    *,
    due: datetime | None,
) -> Fact:
    """Move a meeting in everybody's calendar, once for each date; returns the invitation that stands.

    Source: SD 4.1.3, 4: "[PPS Coordinator]: Organise a pilot kick-off meeting".

    Args:
        parties: whom it concerns now, asked for when it may move; whoever was invited before is
            invited again as well.
        due: until when its outcome must be entered; None: nobody has asked for it yet.

    Raises:
        RefusedError: by somebody other than the Coordinator, into the past, or later than its outcome is waited for.
        NotYetAllowedError: nobody was invited, or its outcome is on record.
    """
    record = desk.rollout
    Pilot(record)  # raises if it is none
    starts = starts.astimezone(UTC).replace(microsecond=0)
    if f"role:{Role.PPS_COORDINATOR}" not in move.mine:
        raise RefusedError(f"{what} of {record.name}", (f"Only the {Role.PPS_COORDINATOR} may move it.",))
    called = meeting(record, what)
    if called is None:
        raise NotYetAllowedError(record.name, f"nobody is invited to its {what} yet.", "Look at: pps pilot show.")
    outcome = FactKind.KICK_OFF_AGREED if what == KICK_OFF else FactKind.WRAPPED_UP
    if record.is_closed or record.has(outcome):
        why = "it has ended." if record.is_closed else f"the outcome of its {what} is on record."
        raise NotYetAllowedError(record.name, why, "Look at: pps pilot show.")
    lasts = datetime.fromisoformat(called.payload["ends"]) - datetime.fromisoformat(called.payload["starts"])
    if called.payload["starts"] != starts.isoformat() and due is not None and starts + lasts > due:
        late = f"Its outcome is waited for until {due:%Y-%m-%d %H:%M} UTC, and then the pilot ends."
        raise RefusedError(f"{what} of {record.name}", (late,), "Take an earlier date.")
    concerned = tuple(parties())
    known = {party.address.lower() for party in concerned}
    before = zip(called.payload["to"], called.payload.get("names", called.payload["to"]), strict=True)
    everybody = (*concerned, *(Party(name, address) for address, name in before if address.lower() not in known))
    move = replace(move, reason=one_line(move.reason, 1000))
    moved_by = desk.by(f"user {move.user}")
    stands = call_meeting(moved_by, what, everybody, agenda, host, starts=starts, lasts=lasts, move=move)
    if stands.payload["starts"] != starts.isoformat():  # two at once: the first counts
        raise NotYetAllowedError(
            record.name, f"somebody else has just moved it to {stands.payload['starts']}.", "Look, and move it again."
        )
    return stands
