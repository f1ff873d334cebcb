"""The journal of a pilot: what people change or notice, in copy to the coordination (SD 4.1.3, 8)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from pps.activities.desk import Desk
from pps.activities.ports.people import Mail
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import clean_text, one_line, reasons_against_reason
from pps.domain.people.roles import Role
from pps.domain.pilots import rules
from pps.domain.pilots.pilot import Pilot, RunOutcome
from pps.domain.record.facts import Fact, FactKind
from pps.domain.sites.site import Site

LONGEST_TEXT = 10_000
"""characters of one entry"""
MOST_ENTRIES = 2000
"""of one pilot; the record is for ever"""
#: The same words by the same person within this time are the same entry: a second click, a retry.
SAME_WITHIN = timedelta(minutes=10)


def log_entry(desk: Desk, site: Site, text: str, user: str, mine: Collection[str], to: Sequence[str]) -> Fact:
    """Keep one entry for a site, and send it to the support list, once; returns it as it is on record.

    Source: SD 4.1.3, 8: "Any subsequent change/issue in the system following the first set-up should be also notified
    in copy to the PPS Coordinator (through the pps-support mailing list)".

    Args:
        mine: all names under which `user` is known (`roles.identities`).
        to: addresses; first the support list, then the service expert's, if one is called.

    Raises:
        RefusedError: somebody else's site, or no text.
        NotYetAllowedError: the record is no pilot, or the site does not take part in it.
    """
    rules.must_take_part(Pilot(desk.rollout), site.name)
    text = clean_text(text).strip()
    reasons = rules.reasons_against_acting(site, mine)
    if not text:
        reasons += ("The entry is empty.",)
    if len(text) > LONGEST_TEXT:
        reasons += (f"The entry is longer than {LONGEST_TEXT} characters.",)
    entries = [f for f in desk.rollout.facts if f.kind is FactKind.JOURNAL_ENTRY]
    if len(entries) >= MOST_ENTRIES:
        reasons += ("The journal holds all the entries that it can.",)
    if reasons:
        raise RefusedError(f"journal of {desk.name}, {site.name}", reasons, "Look at: pps pilot journal.")
    identity = hashlib.sha256("\0".join((site.name, user, text)).encode("utf-8", "replace")).hexdigest()[:16]
    same = [f for f in entries if f.subject == site.name and f.occasion.partition(".")[0] == identity]
    if same and desk.now - same[-1].at < SAME_WITHIN:
        return same[-1]
    occasion = desk.next_occasion(FactKind.JOURNAL_ENTRY, site.name, identity)
    entry = desk.by(f"user {user}").fact(
        FactKind.JOURNAL_ENTRY, site.name, occasion, {"text": text, "user": user, "to": list(to)}
    )
    desk.record(entry, mails=entry_mails(desk, entry, to))
    return entry


def entry_mails(desk: Desk, entry: Fact, to: Sequence[str]) -> list[Mail]:
    """One mail for each recipient; its key sees to it that it goes out once."""
    opened = desk.rollout.opened
    view = {
        "rollout": desk.name,
        "opened": opened,
        "who": entry.subject,
        "user": entry.payload.get("user", ""),
        "at": entry.at,
        "text": entry.payload["text"],
    }
    subject = f"{entry.subject}: {one_line(str(entry.payload['text']), 80)} ({desk.name})"
    return desk.circular("journal_entry", view, key=entry, to=to, subject=subject)


def declare_success(desk: Desk, reason: str, user: str, mine: Collection[str]) -> Fact:
    """End the run before its time, "upon success" (SD 4.1.3, 10); repeating it changes nothing.

    Raises:
        RefusedError: by somebody other than the coordination, without a reason that others understand, or while no
            site runs the pilot.
    """
    pilot = Pilot(desk.rollout)
    if (ended := pilot.run_ended) is not None:
        return ended
    reasons = reasons_against_reason(reason)
    if f"role:{Role.PPS_COORDINATOR}" not in mine:
        reasons += (f"Only the {Role.PPS_COORDINATOR} may declare it.",)
    try:
        rules.may_end_run(pilot, RunOutcome.SUCCESS, desk.now)
    except NotYetAllowedError as error:
        reasons += (error.why[0].upper() + error.why[1:],)
    if reasons:
        raise RefusedError(f"success of {desk.name}", reasons, f"Look at: pps pilot journal {desk.name}")
    return end_run(desk.by(f"user {user}"), RunOutcome.SUCCESS, one_line(reason, 1000), user=user)


def end_run(desk: Desk, outcome: RunOutcome, reason: str, **more: Any) -> Fact:
    """Put on record that this round's run has ended; of two at once the first counts.

    Raises:
        NotYetAllowedError: it has not ended that way.
    """
    pilot = Pilot(desk.rollout)
    rules.may_end_run(pilot, outcome, desk.now)
    occasion = "" if pilot.round == 1 else f"round-{pilot.round}"
    payload = {"outcome": outcome.value, "reason": reason, **more}
    desk.record(desk.fact(FactKind.RUN_ENDED, "", occasion, payload))
    ended = Pilot(desk.look_again()).run_ended
    assert ended is not None  # noqa: S101 (just recorded)
    return ended
