"""Early adopters: sites and VOs that try a product's releases before others do, as a view of the record that holds it.

Source: seed "Software providers perspective": partners of a provider "can serve as 'very early' adopters" and are
customers as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from pps.domain.base.names import is_name
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath

#: Name of the one record, which is never closed.
RECORD = RolloutPath.ADOPTERS.value
MOST_SLOTS = 9
_AHEAD = timedelta(days=90)
"""a date further away says nothing to whoever waits for it"""


class PartyKind(StrEnum):
    """Who can be one. Stored: never rename."""

    SITE = "site"
    VO = "vo"


class Outcome(StrEnum):
    """What an early adopter says in the end. Stored: never rename."""

    WORKS = "works"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, order=True)
class Party:
    """One site or VO."""

    kind: PartyKind
    name: str

    @property
    def key(self) -> str:
        """As facts name it: `site:PIC`."""
        return f"{self.kind}:{self.name}"

    @classmethod
    def read(cls, key: str) -> Party:
        """From its key; `ValueError` for what is none."""
        kind, _, name = key.partition(":")
        return cls(PartyKind(kind), name)

    def __str__(self) -> str:
        return self.name if self.kind is PartyKind.SITE else f"VO {self.name}"


@dataclass(frozen=True, slots=True)
class Adoption:
    """A party tries a release."""

    party: Party
    patch: int
    product: str
    until: date
    """when it will have tried it"""
    outcome: Outcome | None = None
    """None: it has not reported yet"""
    text: str = ""
    seen: tuple[str, ...] = ()
    """what is on record of the release there, when it reported"""

    @property
    def is_open(self) -> bool:
        """Tell whether its report is awaited."""
        return self.outcome is None

    def is_late(self, today: date) -> bool:
        """Tell whether its date has passed without a report."""
        return self.is_open and today > self.until


@dataclass(frozen=True, slots=True)
class Adopters:
    """All that is offered, accepted and reported."""

    slots: Mapping[tuple[Party, str], int] = field(default_factory=dict)
    """(party, product) -> how many of its releases it tries at a time; none are 0"""
    adoptions: tuple[Adoption, ...] = ()

    def of_patch(self, patch: int) -> tuple[Adoption, ...]:
        """Who tries a release, or has tried it."""
        return tuple(a for a in self.adoptions if a.patch == patch)

    def free(self, party: Party, product: str) -> int:
        """How many releases of a product it could take now."""
        busy = sum(a.is_open for a in self.adoptions if (a.party, a.product) == (party, product))
        return max(0, self.slots.get((party, product), 0) - busy)

    def could_take(self, patch: int, product: str) -> tuple[Party, ...]:
        """Who has a slot for a release, and has not accepted it yet."""
        taken = {a.party for a in self.of_patch(patch)}
        parties = sorted({party for party, offered in self.slots if offered == product} - taken)
        return tuple(party for party in parties if self.free(party, product))


def adopters_in(facts: Iterable[Fact]) -> Adopters:
    """What stands, by the facts of the record."""
    slots: dict[tuple[Party, str], int] = {}
    adoptions: dict[tuple[str, int], Adoption] = {}
    for fact in facts:
        says = fact.payload
        if fact.kind is FactKind.SLOTS_OFFERED:
            slots[Party.read(fact.subject), says["product"]] = int(says["slots"])
        elif fact.kind is FactKind.RELEASE_ADOPTED:
            key = (fact.subject, int(says["patch"]))
            until = date.fromisoformat(says["until"])
            adoptions[key] = Adoption(Party.read(fact.subject), key[1], says["product"], until)
        elif fact.kind is FactKind.ADOPTION_REPORTED and (key := (fact.subject, int(says["patch"]))) in adoptions:
            was = adoptions[key]
            adoptions[key] = Adoption(
                was.party,
                was.patch,
                was.product,
                was.until,
                Outcome(says["outcome"]),
                says["text"],
                tuple(says["seen"]),
            )
    return Adopters({key: number for key, number in slots.items() if number}, tuple(adoptions.values()))


def reasons_against_offer(product: str, slots: int, known: Iterable[str]) -> tuple[str, ...]:
    """Say why slots cannot be offered; no reasons means that they can.

    Args:
        known: products of people.yaml's providers.
    """
    products = sorted(known)
    reasons = []
    if not is_name(product) or product not in products:
        reasons.append(f"{product[:60]!r} is no product of a provider: {', '.join(products) or 'there are none'}.")
    if not 0 <= slots <= MOST_SLOTS:
        reasons.append(f"0 to {MOST_SLOTS} slots can be offered; 0 takes the offer back.")
    return tuple(reasons)


def reasons_against_accepting(
    now: Adopters, party: Party, patch: int, product: str, until: date, today: date
) -> tuple[str, ...]:
    """Say why a party cannot accept a release; no reasons means that it can."""
    reasons = []
    if any(a.party == party for a in now.of_patch(patch)):
        reasons.append(f"{party} has accepted it already.")
    elif not now.slots.get((party, product)):
        reasons.append(f"{party} offers no slot for {product}: offer one first.")
    elif not now.free(party, product):
        reasons.append(f"All slots of {party} for {product} are taken: report on what it tries, or offer more.")
    if not today <= until <= today + _AHEAD:
        reasons.append(f"The date must be from today to {today + _AHEAD}.")
    return tuple(reasons)


def reasons_against_reporting(now: Adopters, party: Party, patch: int) -> tuple[str, ...]:
    """Say why a party cannot report; no reasons means that it can."""
    mine = next((a for a in now.of_patch(patch) if a.party == party), None)
    if mine is None:
        return (f"{party} has not accepted patch {patch}.",)
    return () if mine.is_open else (f"{party} has reported on patch {patch} already.",)


def too_few(now: Adopters, patch: int, product: str, at_least: int, today: date) -> str:
    """Say that a release has too few early adopters, before it stalls; "" if it has enough."""
    counted = [a for a in now.of_patch(patch) if not a.is_late(today)]
    late = [str(a.party) for a in now.of_patch(patch) if a.is_late(today)]
    if len(counted) >= at_least:
        return ""
    could = [str(party) for party in now.could_take(patch, product)]
    have = f"{len(counted)} of {at_least} early adopters"
    silent = f" {', '.join(late)} said a date that has passed, and nothing since." if late else ""
    then = (
        f" {', '.join(could)} could take it."
        if could
        else f" Nobody else offers a slot for {product}: without more it will stall."
    )
    return f"It has {have}.{silent}{then}"
