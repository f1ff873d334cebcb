"""The journal of a pilot: what people change or notice, in copy to the coordination (SD 4.1.3, 8)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from pps.activities.people.letters import circular
from pps.activities.ports.people import Mail, Templates
from pps.activities.ports.record import Facts
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import clean_text, one_line, reasons_against_reason
from pps.domain.people.roles import Role
from pps.domain.pilots import rules as pilot_rules
from pps.domain.pilots.pilot import Pilot, RunOutcome
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site

LONGEST_TEXT = 10_000
"""characters of one entry"""
MOST_ENTRIES = 2000
"""of one pilot; the record is for ever"""
#: The same words by the same person within this time are the same entry: a second click, a retry.
SAME_WITHIN = timedelta(minutes=10)


def log_entry(
    record: Rollout,
    facts: Facts,
    templates: Templates,
    site: Site,
    text: str,
    user: str,
    mine: Collection[str],
    to: Sequence[str],
    now: datetime,
) -> Fact:
    """Keep one entry for a site, and send it to the support list, once; returns it as it is on record.

    Source: SD 4.1.3, 8: "Any subsequent change/issue in the system following the first set-up should be also notified
    in copy to the PPS Coordinator (through the pps-support mailing list)".

    Args:
        mine: all under which `user` is known (`roles.identities`).
        to: addresses; first the support list, then the service expert's, if one is called.

    Raises:
        RefusedError: somebody else's site, or no text.
        NotYetAllowedError: the record is no pilot, or the site does not take part in it.
    """
    pilot_rules.must_take_part(Pilot(record), site.name)
    text = clean_text(text).strip()
    reasons = pilot_rules.reasons_against_acting(site, mine)
    if not text:
        reasons += ("The entry is empty.",)
    if len(text) > LONGEST_TEXT:
        reasons += (f"The entry is longer than {LONGEST_TEXT} characters.",)
    entries = [f for f in record.facts if f.kind is FactKind.JOURNAL_ENTRY]
    if len(entries) >= MOST_ENTRIES:
        reasons += ("The journal holds all the entries that it can.",)
    if reasons:
        raise RefusedError(f"journal of {record.name}, {site.name}", reasons, "Look at: pps pilot journal.")
    identity = hashlib.sha256("\0".join((site.name, user, text)).encode("utf-8", "replace")).hexdigest()[:16]
    same = [f for f in entries if f.subject == site.name and f.occasion.partition(".")[0] == identity]
    if same and now - same[-1].at < SAME_WITHIN:
        return same[-1]
    occasion = f"{identity}.{len(same) + 1}" if same else identity
    entry = Fact(
        record.name,
        FactKind.JOURNAL_ENTRY,
        site.name,
        occasion,
        now,
        f"user {user}",
        {"text": text, "user": user, "to": list(to)},
    )
    facts.record(entry, mails=entry_mails(record, entry, templates, to))
    return entry


def entry_mails(record: Rollout, entry: Fact, templates: Templates, to: Sequence[str]) -> list[Mail]:
    """One mail a recipient; its key makes that it goes out once."""
    opened = record.opened
    view = {
        "rollout": record.name,
        "opened": opened,
        "who": entry.subject,
        "user": entry.payload.get("user", ""),
        "at": entry.at,
        "text": entry.payload["text"],
    }
    subject = f"{entry.subject}: {one_line(str(entry.payload['text']), 80)} ({record.name})"
    key = f"{record.name}/{entry.kind.value}/{entry.subject}/{entry.occasion}"
    return circular(templates, "journal_entry", view, key=key, to=to, subject=subject)


def declare_success(
    record: Rollout, facts: Facts, reason: str, user: str, mine: Collection[str], now: datetime
) -> Fact:
    """End the run before its time, "upon success" (SD 4.1.3, 10); twice is once.

    Raises:
        RefusedError: by somebody else than the coordination, without a reason that others understand, or while no
            site runs the pilot.
    """
    pilot = Pilot(record)
    if (ended := pilot.run_ended) is not None:
        return ended
    reasons = reasons_against_reason(reason)
    if f"role:{Role.PPS_COORDINATOR}" not in mine:
        reasons += (f"Only the {Role.PPS_COORDINATOR} may declare it.",)
    try:
        pilot_rules.may_end_run(pilot, RunOutcome.SUCCESS, now)
    except NotYetAllowedError as error:
        reasons += (error.why[0].upper() + error.why[1:],)
    if reasons:
        raise RefusedError(f"success of {record.name}", reasons, f"Look at: pps pilot journal {record.name}")
    return end_run(record, facts, RunOutcome.SUCCESS, one_line(reason, 1000), now, f"user {user}", user=user)


def end_run(
    record: Rollout, facts: Facts, outcome: RunOutcome, reason: str, now: datetime, actor: str, **more: Any
) -> Fact:
    """Put on record that this round's run has ended; of two at once the first counts.

    Raises:
        NotYetAllowedError: it has not ended so.
    """
    pilot = Pilot(record)
    pilot_rules.may_end_run(pilot, outcome, now)
    occasion = "" if pilot.round == 1 else f"round-{pilot.round}"
    payload = {"outcome": outcome.value, "reason": reason, **more}
    facts.record(Fact(record.name, FactKind.RUN_ENDED, "", occasion, now, actor, payload))
    ended = Pilot(facts.rollout(record.name)).run_ended
    assert ended is not None  # noqa: S101 (just recorded)
    return ended
