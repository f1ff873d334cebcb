"""Sites and VOs offer slots for a product's releases, accept a release with a date, and report on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pps.activities.desk import Office
from pps.activities.ports.record import Facts
from pps.domain.base.errors import RefusedError
from pps.domain.base.texts import clean_text, one_line
from pps.domain.people import adopters as rules
from pps.domain.people.adopters import RECORD, Adopters, Outcome, Party, PartyKind, adopters_in
from pps.domain.people.feedback import answers
from pps.domain.people.roles import reasons_against_speaking_for_site, reasons_against_speaking_for_vo
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout, RolloutPath
from pps.domain.sites.site import Site

LONGEST_TEXT = 4000
_MOST_SEEN = 30


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks, and for whom they may."""

    user: str
    mine: Collection[str]
    """all names under which they are known (`domain.people.roles.identities`)"""
    sites: Mapping[str, Site]
    representatives: Mapping[str, Sequence[str]]
    """VO -> user names"""

    def reasons_against(self, party: Party) -> tuple[str, ...]:
        """Say why they may not speak for a party; no reasons means that they may."""
        if party.kind is PartyKind.VO:
            if party.name not in self.representatives:
                return (f"The VO {party.name[:60]!r} is not in people.yaml.",)
            return reasons_against_speaking_for_vo(party.name, self.representatives[party.name], self.mine)
        site = self.sites.get(party.name)
        if site is None:
            return (f"The site registry has no site {party.name[:60]!r}.",)
        return reasons_against_speaking_for_site(site.name, site.administrators, "adopt releases for it", self.mine)

    @property
    def parties(self) -> tuple[Party, ...]:
        """All that they may speak for."""
        known = [Party(PartyKind.SITE, name) for name in self.sites]
        known += [Party(PartyKind.VO, name) for name in self.representatives]
        return tuple(party for party in sorted(known) if not self.reasons_against(party))


def all_adopters(facts: Facts) -> Adopters:
    """What is offered, accepted and reported."""
    return adopters_in(facts.standing([RECORD])[RECORD].facts)


def offer(office: Office, by: Speaker, party: Party, product: str, slots: int, known: Collection[str]) -> bool:
    """Offer slots for a product; 0 takes them back. False if it is so already.

    Args:
        known: products of people.yaml's providers.

    Raises:
        RefusedError: not theirs to offer, no such product, or not such a number.
    """
    _check(party, (*by.reasons_against(party), *rules.reasons_against_offer(product, slots, known)))
    _open(office)
    while True:
        record = office.facts.standing([RECORD])[RECORD]
        if adopters_in(record.facts).slots.get((party, product), 0) == slots:
            return False
        number = 1 + sum(f.kind is FactKind.SLOTS_OFFERED and f.subject == party.key for f in record.facts)
        said = {"product": product, "slots": slots, "user": by.user}
        if _record(office, FactKind.SLOTS_OFFERED, party, str(number), said):
            return True


def accept(office: Office, by: Speaker, party: Party, patch: int, product: str, until: date) -> None:
    """Accept a release: it will have been tried by that date.

    Raises:
        RefusedError: not theirs to accept, no slot, or no such date.
    """
    now = all_adopters(office.facts)
    against = rules.reasons_against_accepting(now, party, patch, product, until, office.now.date())
    _check(party, by.reasons_against(party) or against)
    said = {"patch": patch, "product": product, "until": until.isoformat(), "user": by.user}
    if not _record(office, FactKind.RELEASE_ADOPTED, party, str(patch), said):
        raise RefusedError(f"{party}", (f"{party} has accepted it already.",))


def report(office: Office, by: Speaker, party: Party, patch: int, outcome: Outcome, text: str) -> None:
    """Report on a release. What is on record of it there is put beside what is said.

    Raises:
        RefusedError: not theirs to report, not accepted, or nothing said of a problem.
    """
    text = clean_text(text).strip()
    reasons = [*rules.reasons_against_reporting(all_adopters(office.facts), party, patch)]
    if len(text) > LONGEST_TEXT:
        reasons.append(f"The report has {len(text)} characters; at most {LONGEST_TEXT} are kept.")
    if outcome is Outcome.PROBLEM and not text:
        reasons.append("Say what the problem is: its provider reads it.")
    _check(party, by.reasons_against(party) or tuple(reasons))
    seen = list(seen_of(office.facts, party, patch))
    said = {"patch": patch, "outcome": outcome.value, "text": text, "seen": seen, "user": by.user}
    if not _record(office, FactKind.ADOPTION_REPORTED, party, str(patch), said):
        raise RefusedError(f"{party}", (f"{party} has reported on patch {patch} already.",))


def seen_of(facts: Facts, party: Party, patch: int) -> tuple[str, ...]:
    """What is on record of a release at a party, a sentence each: receipts, probes, what the VO has answered."""
    names = [row.name for row in facts.rollouts(patch=patch)]
    found: list[str] = []
    for record in facts.about(names, party.name).values():
        mine = [f for f in record.facts if f.subject == party.name]
        if party.kind is PartyKind.VO:
            found += _answered(record, party.name)
        elif record.has(FactKind.ROLLOUT_OPENED) and record.path in PREVIEWS:
            found += [sentence for fact in mine if (sentence := _sentence(fact))]
    return tuple(found[-_MOST_SEEN:])


def _answered(record: Rollout, vo: str) -> list[str]:
    return [f"{a.at:%Y-%m-%d %H:%M} UTC: the VO answered “{a.opinion}”." for a in answers(record) if a.vo == vo]


def _sentence(fact: Fact) -> str:
    says: Mapping[str, Any] = fact.payload
    when = f"{fact.at:%Y-%m-%d %H:%M} UTC"
    match fact.kind:
        case FactKind.PREVIEW_INSTALLED:
            took = f" in {says['seconds']:.0f} s" if isinstance(says.get("seconds"), int | float) else ""
            what = one_line(str(says.get("tarball") or "it"))
            return f"{when}: {what} was installed{took}."
        case FactKind.PROBES_PASSED:
            return f"{when}: all probes passed."
        case FactKind.PROBES_FAILED | FactKind.SITE_FAILED:
            return f"{when}: {one_line(str(says.get('reason') or 'probes failed'), 300)}"
        case FactKind.TAG_SEEN:
            return f"{when}: its tag was seen in the information system."
    return ""


def _check(party: Party, reasons: tuple[str, ...]) -> None:
    if reasons:
        raise RefusedError(f"early adopter {party.key[:80]}", reasons, "Nothing was changed.")


def _record(office: Office, kind: FactKind, party: Party, occasion: str, said: Mapping[str, Any]) -> bool:
    return bool(office.facts.record(Fact(RECORD, kind, party.key, occasion, office.now, office.actor, said)))


def _open(office: Office) -> None:
    opened = Fact(RECORD, FactKind.ROLLOUT_OPENED, "", "", office.now, office.actor, {"path": RECORD, "patch": 0})
    office.facts.open(RolloutPath.ADOPTERS, 0, opened, RECORD)
