"""Releases as their providers submit them: put on record, looked at, waived, and entered in the tracker.

What was sent, what was found, and who waived what are facts of one record, which only the provider's people and those
who run the service see; that a fault was waived, by which role and why, is shown to everybody at the patch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pps.activities.desk import Office
from pps.activities.packages.advice import note_advice
from pps.activities.packages.submission_entry import entered
from pps.activities.packages.tracker_states import as_on_record
from pps.activities.ports.record import Facts
from pps.activities.ports.tracker import Tracker
from pps.domain.base.errors import NotYetAllowedError, PackageError, RefusedError, ServiceError
from pps.domain.base.texts import as_sentence, reasons_against_reason
from pps.domain.packages.findings import Finding, Waiver, Weight, in_order, reasons_against_waiver
from pps.domain.packages.patch import Patch
from pps.domain.packages.submission import Release, reasons_against_correction
from pps.domain.people.providers import Provider, provider_of, reasons_against_submitting
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath, dossier_name
from pps.domain.record.submissions import RECORD, LookState, Submitted, as_row, releases_in

#: The most that one fact keeps; faults come first, and the number beside them counts all.
FINDINGS_AT_MOST = 300
_WAIVER = Role.RELEASE_MANAGER
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who submits, and for whom."""

    user: str
    mine: Collection[str]
    """all names under which they are known (`domain.people.roles.identities`)"""
    providers: Sequence[Provider]
    """of people.yaml"""

    def of(self, product: str) -> str:
        """The name of a product's provider; "" if it has none."""
        provider = provider_of(self.providers, product)
        return provider.name if provider else ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one provider may ask for (policies.yaml, `submission`)."""

    look_within: timedelta
    looks_per_hour: int


def all_releases(facts: Facts) -> Mapping[str, Submitted]:
    """Every release that was submitted, by key."""
    return releases_in(facts.standing([RECORD])[RECORD].facts)


def release_of(facts: Facts, key: str) -> Submitted | None:
    """One release, if it was ever submitted."""
    return releases_in(facts.about([RECORD], key)[RECORD].facts).get(key)


def must_be_allowed(facts: Facts, sender: Sender, release: Release, patch_of: Callable[[int], Patch]) -> None:
    """Raise unless this sender may submit this release now; asks the tracker where it has the release.

    Raises:
        RefusedError: it is somebody else's product, or what the tracker has is closed to corrections.
    """
    product = release.patch.metapackage
    if reasons := reasons_against_submitting(product, sender.providers, sender.mine):
        raise RefusedError(release.name, reasons, "Nothing was looked at.")
    known = release_of(facts, release.key)
    if known is not None and known.patch is not None:
        with suppress(ServiceError):  # it is asked again before anything is changed there
            _must_be_correctable(patch_of(known.patch), release.name)


def _must_be_correctable(patch: Patch, name: str) -> None:
    if reasons := reasons_against_correction(patch.state, patch.number):
        raise RefusedError(name, reasons, "Submit it as a new version.")


def offer(
    office: Office, sender: Sender, release: Release, document: Mapping[str, Any], *, submit: bool, terms: Terms
) -> Fact:
    """Put a release on record as it was sent; the look follows. While one is looked at, the same again is that one.

    Args:
        document: `config.release_documents.release_document(release)`.
        submit: enter it if no fault is open; else it is only looked at.

    Raises:
        RefusedError: see `must_be_allowed`; or too many looks in the last hour.
        NotYetAllowedError: another document of this release is being looked at.
    """
    must_be_allowed(office.facts, sender, release, office.patch_of)
    open_record(office)
    provider = sender.of(release.patch.metapackage)
    said = {"document": dict(document), "submit": submit, "provider": provider, "user": sender.user}
    while True:
        known = release_of(office.facts, release.key)
        if known and known.state(office.now, terms.look_within) is LookState.LOOKING:
            if dict(known.newest.offered.payload) == said:
                return known.newest.offered
            since = f"{known.newest.offered.at:%H:%M} UTC"
            raise NotYetAllowedError(release.name, f"is being looked at since {since}.", "Wait for what is found.")
        recent = office.facts.facts_of_kind((FactKind.RELEASE_OFFERED,), since=office.now - _HOUR)
        if sum(f.payload["provider"] == provider for f in recent) >= terms.looks_per_hour:
            why = f"{terms.looks_per_hour} looks in an hour are enough for {provider}."
            raise RefusedError(release.name, (why,), "Try again later.")
        number = str(len(known.looks) + 1 if known else 1)
        fact = Fact(RECORD, FactKind.RELEASE_OFFERED, release.key, number, office.now, office.actor, said)
        if office.facts.record(fact):
            return fact
        # somebody else has sent one in this instant


def conclude(office: Office, key: str, number: str, findings: Sequence[Finding]) -> Fact:
    """Put on record what a look has found."""
    found = in_order(findings)
    payload = {"findings": [as_row(f) for f in found[:FINDINGS_AT_MOST]], "in_all": len(found)}
    return _ended(office, key, number, payload)


def break_off(office: Office, key: str, number: str, why: str) -> Fact:
    """Put on record that a look came to no end; nothing is concluded from it."""
    return _ended(office, key, number, {"failed": why})


def _ended(office: Office, key: str, number: str, payload: Mapping[str, Any]) -> Fact:
    fact = Fact(RECORD, FactKind.RELEASE_LOOKED_AT, key, number, office.clock(), office.actor, payload)
    office.facts.record(fact)
    return fact


# --- waivers


def waive(
    office: Office,
    key: str,
    finding: str,
    reason: str,
    *,
    user: str,
    mine: Collection[str],
    providers: Sequence[Provider],
) -> Fact:
    """The Release Manager lets a release go on with a fault. It stands for ever: what is found anew is another finding.

    Args:
        finding: its key.
        providers: of people.yaml: nobody waives what is their own.

    Raises:
        RefusedError: not theirs to waive, nothing to waive, or no reason.
    """
    release = release_of(office.facts, key)
    found = next((f for f in release.newest.findings if f.key == finding), None) if release else None
    reasons: tuple[str, ...] = ()
    if f"role:{_WAIVER}" not in mine:
        reasons = (f"Only the {_WAIVER} waives what was found.",)
    elif not reasons_against_submitting(key.partition("/")[0], providers, mine):
        reasons = ("Nobody waives what was found in a release of their own.",)
    reasons = reasons or (
        *reasons_against_waiver(found, release.waivers if release else {}),
        *reasons_against_reason(reason),
    )
    if reasons or found is None:
        raise RefusedError(f"waiver for {key[:80]}", reasons, "Nothing was changed.")
    said = {
        "finding": finding,
        "sentence": found.sentence,
        "reason": as_sentence(reason),
        "role": _WAIVER.value,
        "user": user,
    }
    fact = Fact(RECORD, FactKind.FINDING_WAIVED, key, finding, office.now, office.actor, said)
    office.facts.record(fact)
    return fact


# --- the tracker


def enter(office: Office, tracker: Tracker, release: Release, number: str, within: timedelta) -> int | None:
    """Enter an accepted release in the tracker; a corrected one becomes the same patch. None if it is not accepted, or
    the tracker does not take it, which is then on record.

    It may be repeated: what the tracker has is found again.

    Raises:
        ServiceError: the tracker does not answer; the release stays accepted, and `waiting` names it.
    """
    known = release_of(office.facts, release.key)
    if known is None or known.newest.number != number or known.state(office.now, within) is not LookState.ACCEPTED:
        return None
    try:
        if known.patch is not None:
            _must_be_correctable(as_on_record(office.facts, tracker.patch(known.patch))[0], release.name)
        patch = entered(tracker, release.patch, known.newest.document, known.patch, _comment(release, known))
    except (RefusedError, PackageError) as error:  # it will say the same tomorrow
        said = {"why": f"{error.why} {error.next_step}".strip()}
        refusal = Fact(RECORD, FactKind.RELEASE_NOT_ENTERED, release.key, number, office.clock(), office.actor, said)
        office.facts.record(refusal)
        return None
    note_advice(office, replace(release.patch, number=patch))
    fact = Fact(RECORD, FactKind.RELEASE_ENTERED, release.key, number, office.clock(), office.actor, {"patch": patch})
    office.facts.record(fact)
    _tell_everybody(office, known, patch)
    return patch


def _tell_everybody(office: Office, release: Submitted, patch: int) -> None:
    """What was waived stands in the patch's dossier, too, by role and reason: there it is for anybody to see."""
    name = dossier_name(patch)
    for found, waiver in _waived(release):
        said = {"finding": found.key, "sentence": found.sentence, "reason": waiver.reason, "role": waiver.role}
        at = datetime.fromisoformat(waiver.at)
        fact = Fact(name, FactKind.FINDING_WAIVED, "", found.key, at, f"user {waiver.user}", said)
        office.facts.record_in_dossier(patch, fact)


def _waived(release: Submitted) -> list[tuple[Finding, Waiver]]:
    """The faults with which a release goes on, each with its waiver."""
    faults = [f for f in release.newest.findings if f.weight is Weight.FAULT]
    return [(f, release.waivers[f.key]) for f in faults if f.key in release.waivers]


def waiting(facts: Facts, now: datetime, within: timedelta) -> tuple[Submitted, ...]:
    """Releases that are accepted, and not in the tracker yet."""
    return tuple(r for r in all_releases(facts).values() if r.state(now, within) is LookState.ACCEPTED)


def _comment(release: Release, known: Submitted) -> str:
    lines = [f"Submitted by its provider (look {known.newest.number})."]
    if release.depends_on:
        lines.append(f"Depends on the patches {', '.join(map(str, release.depends_on))}.")
    lines += [f"Waived by the {w.role}: {f.sentence} Reason: {w.reason}" for f, w in _waived(known)]
    return "\n".join(lines)[:4000]


def open_record(office: Office) -> None:
    """Have the record in the register; it is never closed."""
    payload = {"path": RECORD, "patch": 0}
    opened = Fact(RECORD, FactKind.ROLLOUT_OPENED, "", "", office.now, office.actor, payload)
    office.facts.open(RolloutPath.RELEASES, 0, opened, RECORD)
