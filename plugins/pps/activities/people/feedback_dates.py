"""Until when VOs are asked: agreed once, moved by those in charge, and never in the past when the asking begins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from pps.activities.desk import Desk
from pps.domain.base.conditions import moment
from pps.domain.base.errors import RefusedError
from pps.domain.base.texts import as_sentence, reasons_against_reason
from pps.domain.people import feedback as rules
from pps.domain.people.embargo import advice_in
from pps.domain.people.feedback_dates import reasons_against_date, reasons_against_extending
from pps.domain.record.facts import Fact, FactKind


def agree_feedback_date(desk: Desk, due: datetime, *, otherwise: timedelta | None = None) -> datetime:
    """Agree once on the date until which feedback counts; a retry returns the date that is on record.

    VOs hear of a patch under embargo when that has ended, and are asked for as long from then on.

    Args:
        otherwise: so long VOs are asked where `due` has passed meanwhile: sites, or we, were down for longer than
            anybody thought, and nobody can answer in the past.

    Raises:
        RefusedError: `due` is not after `now`, and there is no `otherwise`.
        ValueError: `due` has no time zone.
    """
    agreed = rules.feedback_due(desk.rollout)
    if agreed is not None:
        return agreed
    if due.tzinfo is None:
        raise ValueError("the date for feedback has no time zone")
    payload = {}
    if moved := desk.rollout.the(FactKind.FEEDBACK_DATE_MOVED):
        due = datetime.fromisoformat(moved.payload["due"])
    begins = max(desk.now, advice_in(desk.facts.dossier(desk.rollout.patch_number).facts).embargo_until or desk.now)
    if due <= begins or (begins > desk.now and otherwise and due < begins + otherwise):
        if otherwise is None:
            raise RefusedError(
                desk.name, (f"The date for feedback, {due.isoformat()}, has passed already.",), "Give a later one."
            )
        payload = {"instead_of": due.astimezone(UTC).isoformat()}
        due = begins + otherwise
    desk.record(desk.fact(FactKind.FEEDBACK_DATE_AGREED, "", "", {"due": due.astimezone(UTC).isoformat(), **payload}))
    # read again: of two at once, one was first
    agreed = rules.feedback_due(desk.look_again())
    assert agreed is not None  # noqa: S101 (just recorded)
    return agreed


def ask_in_time(desk: Desk, open_for: timedelta) -> None:
    """Move the date if it has passed before any VO was asked; else all would be silent who had no chance to speak."""
    record = desk.rollout
    if rules.invited_vos(record) or record.is_over or not rules.time_is_up(record, desk.now):
        return
    was = rules.feedback_due(record)
    until = (desk.now + open_for).astimezone(UTC)
    reason = "The date had passed before anybody was asked."
    desk.record(_moved(desk, until, {"was": was.isoformat() if was else None, "reason": reason}))


def extend_feedback(
    desk: Desk,
    until: datetime,
    reason: str,
    user: str,
    mine: Collection[str],
    recipients: Sequence[str],
    *,
    at_most: timedelta,
) -> Fact:
    """Ask for longer, once, and tell everybody who was asked; the same date again is the same fact.

    Before the date is agreed on (the sites are being served) it is the one that will be.

    Args:
        mine: all names under which `user` is known (`roles.identities`).
        at_most: so long from now (policies.yaml, `certification.wait_at_most`).

    Raises:
        RefusedError: somebody else's business, a date that is no extension, or nothing is asked any more.
    """
    record, until = desk.rollout, until.astimezone(UTC)
    newest = record.the(FactKind.FEEDBACK_DATE_MOVED)
    against = reasons_against_extending(record, mine)
    if not against and newest and newest.payload["due"] == until.isoformat():
        return newest
    against = against or reasons_against_date(record, until, desk.now, at_most=at_most)
    if reason:
        against = (*against, *reasons_against_reason(reason))
    if against:
        raise RefusedError(f"extension of {desk.name}", against, f"Look at: pps rollout show {desk.name}")
    desk = desk.by(f"user {user}")
    was, words = rules.feedback_due(record), as_sentence(reason) if reason else ""
    fact = _moved(desk, until, {"was": was.isoformat() if was else None, "reason": words, "user": user})
    opened = record.opened
    view = {"rollout": desk.name, "opened": opened, "until": until, "was": was, "reason": words}
    subject = f"Until {moment(until)}: {opened['metapackage']} {opened['version']} (patch {opened['patch']})"
    mails = desk.circular("feedback_extended", view, key=fact, to=recipients, subject=subject) if was else []
    desk.record(fact, mails=mails)
    # of two at once the first counts
    return next(f for f in desk.rollout.facts if (f.kind, f.occasion) == (fact.kind, fact.occasion))


def _moved(desk: Desk, until: datetime, about: dict[str, str | None]) -> Fact:
    kind = FactKind.FEEDBACK_DATE_MOVED
    return desk.fact(kind, "", desk.next_occasion(kind), {"due": until.isoformat(), **about})
