"""The meetings of a pilot: who is invited, when, and again if the date moves (SD 4.1.3, 4 and 10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from pps.activities.invitation import FILE, MIME_TYPE, Meeting, invitation
from pps.activities.letters import letter
from pps.activities.notification import Party
from pps.activities.ports import Facts, Templates
from pps.domain.errors import RefusedError
from pps.domain.facts import Fact, FactKind
from pps.domain.patches import Patch
from pps.domain.pilots import Pilot
from pps.domain.rollouts import Rollout
from pps.domain.sites import Site
from pps.domain.texts import one_line

KICK_OFF, WRAP_UP = "kick-off", "wrap-up"


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
    Manager, PPS Coordinator, VO, Developers]". VOs come that have shown interest, or have asked for the pilot; to
    the wrap-up those that have committed themselves.

    Args:
        vos: all of people.yaml.
        others: roles: coordination, ITR, Release Manager; of the wrap-up of a minor pilot the EMT as well.
    """
    pilot = Pilot(record)
    of_sites = pilot.sites if what == KICK_OFF else pilot.selected
    found = [Party(name, sites[name].contact) for name in of_sites if name in sites]
    if pilot.is_major:
        wanted = set(_vos_of(pilot, what))
        found += [vo for vo in vos if vo.name in wanted]
    if patch.provider:
        found.append(Party("the developers", patch.provider))
    by_address: dict[str, Party] = {}
    for party in (*found, *others):
        by_address.setdefault(party.address.lower(), party)
    return tuple(by_address.values())


def _vos_of(pilot: Pilot, what: str) -> Iterable[str]:
    if what == WRAP_UP:
        return pilot.agreement.vos if pilot.agreement else ()
    asked = pilot.record.the(FactKind.PILOT_REQUESTED)
    interested = (f.subject for f in pilot.record.facts if f.kind is FactKind.INTEREST_SHOWN)
    return (*interested, *([asked.payload["vo"]] if asked else ()))


def call_meeting(
    record: Rollout,
    facts: Facts,
    what: str,
    parties: Sequence[Party],
    agenda: Sequence[str],
    templates: Templates,
    *,
    starts: datetime,
    lasts: timedelta,
    organizer: str,
    now: datetime,
    actor: str,
    move: bool = False,
) -> Fact:
    """Invite everybody to a meeting, once; returns the invitation that stands.

    Args:
        agenda: sentences.
        starts: agreed with the first call; a retry changes nothing.
        move: the date is another one after all: people are invited again, and their calendars move the meeting.

    Raises:
        RefusedError: it would begin in the past.
    """
    calls = _calls(record, what)
    if calls and (not move or calls[-1].payload["starts"] == starts.isoformat()):
        return calls[-1]
    if starts < now:
        raise RefusedError(f"{what} of {record.name}", (f"{starts.isoformat()} has passed already.",), "Take another.")
    pilot, opened = Pilot(record), record.opened
    title = one_line(f"{what.capitalize()} meeting: pilot of {opened['metapackage']} {opened['version']}")
    round_ = f", round {pilot.round}" if pilot.round > 1 else ""
    planned = Meeting(
        uid=f"{what}-{pilot.first_round}.{pilot.round}",
        sequence=len(calls),
        summary=f"{title}{round_}",
        description="\n".join((f"{record.name}, patch {record.patch_number}: {opened['title']}", "", *agenda)),
        starts=starts,
        ends=starts + lasts,
        organizer=organizer,
        attendees=tuple(party.address for party in parties),
    )
    occasion = f"{what}/{len(calls) + 1}" if calls else what
    payload = {"starts": starts.isoformat(), "ends": planned.ends.isoformat(), "to": [p.address for p in parties]}
    called = Fact(record.name, FactKind.MEETING_CALLED, "", occasion, now, actor, payload)
    calendar = invitation(planned, now)
    view = {
        "rollout": record.name,
        "opened": opened,
        "what": what,
        "meeting": planned,
        "agenda": tuple(agenda),
        "moved": bool(calls),
        "parties": tuple(parties),
    }
    subject = f"Moved: {planned.summary}" if calls else planned.summary
    key = f"{record.name}/{FactKind.MEETING_CALLED.value}/{occasion}"
    facts.record(
        called,
        mails=[
            letter(
                templates,
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
    stands = meeting(facts.rollout(record.name), what)
    assert stands is not None  # noqa: S101 (just recorded)
    return stands
