"""Releases that providers have submitted, as a view of the record that holds them: looks, waivers, the patch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pps.domain.packages.findings import Finding, Waiver, Weight, open_faults
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath

#: Name of the one record, which is never closed.
RECORD = RolloutPath.RELEASES.value


class LookState(StrEnum):
    """How far a look has come. Part of the API: never rename."""

    LOOKING = "looking"
    BROKEN_OFF = "broken off"
    """it did not come to an end: nothing was found out"""
    CHECKED = "checked"
    """only looked at, as was asked for"""
    REFUSED = "refused"
    """faults were open, or the tracker did not take it"""
    ACCEPTED = "accepted"
    """and not in the tracker yet"""
    ENTERED = "entered"
    """it is in the tracker"""


@dataclass(frozen=True, slots=True)
class Look:
    """One time that a release was sent, and what was found."""

    number: str
    offered: Fact
    ended: Fact | None = None
    entered: Fact | None = None
    not_taken: str = ""
    """why the tracker did not take it"""

    @property
    def document(self) -> Mapping[str, Any]:
        """As the provider has sent it."""
        found: Mapping[str, Any] = self.offered.payload["document"]
        return found

    @property
    def is_submission(self) -> bool:
        """Tell whether it is to be entered, not only looked at."""
        return bool(self.offered.payload["submit"])

    @property
    def failed(self) -> str:
        """Why it came to no end; "" if it did."""
        return str(self.ended.payload.get("failed", "")) if self.ended else ""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, faults first; at most as many as a fact keeps."""
        rows = self.ended.payload.get("findings", ()) if self.ended else ()
        return tuple(_finding(row) for row in rows)

    @property
    def more(self) -> int:
        """How many further findings there were."""
        return int(self.ended.payload.get("in_all", 0)) - len(self.findings) if self.ended and not self.failed else 0


@dataclass(frozen=True, slots=True)
class Submitted:
    """A release with its history."""

    key: str
    provider: str
    """as people.yaml called it when it was sent last"""
    looks: tuple[Look, ...] = ()
    """oldest first"""
    waivers: Mapping[str, Waiver] = field(default_factory=dict)
    """by the finding's key"""
    patch: int | None = None
    """its number in the tracker"""

    @property
    def newest(self) -> Look:
        """The look that counts."""
        return self.looks[-1]

    @property
    def product(self) -> str:
        """The metapackage."""
        return self.key.partition("/")[0]

    @property
    def version(self) -> str:
        """Of the release."""
        return self.key.partition("/")[2]

    def open_faults(self, look: Look | None = None) -> tuple[Finding, ...]:
        """What keeps it out, by a look (the newest) and all waivers."""
        return _open_faults(look or self.newest, self.waivers)

    def state(self, now: datetime, within: timedelta, look: Look | None = None) -> LookState:
        """How far a look (the newest) has come.

        Args:
            within: a look that takes longer has been lost with the process that did it.
        """
        look = look or self.newest
        if look.entered is not None:
            return LookState.ENTERED
        if look.ended is None:
            return LookState.LOOKING if now < look.offered.at + within else LookState.BROKEN_OFF
        if look.failed:
            return LookState.BROKEN_OFF
        if not look.is_submission:
            return LookState.CHECKED
        # a waiver that came later does not take back the refusal: what is there now may be something else
        before = {key: w for key, w in self.waivers.items() if datetime.fromisoformat(w.at) <= look.ended.at}
        return LookState.REFUSED if look.not_taken or _open_faults(look, before) else LookState.ACCEPTED


def _open_faults(look: Look, waivers: Mapping[str, Waiver]) -> tuple[Finding, ...]:
    found = look.findings
    # faults come first: where the last one kept is one, others may not have been kept, and are not mended by that
    cut = found[-1:] if look.more and found and found[-1].weight is Weight.FAULT else ()
    return open_faults(found, waivers) or cut


def releases_in(facts: Iterable[Fact]) -> Mapping[str, Submitted]:
    """Key -> release, in the order in which they were first sent."""
    of_release: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.subject:
            of_release.setdefault(fact.subject, []).append(fact)
    return {key: found for key, mine in of_release.items() if (found := _release(key, mine)).looks}


def _release(key: str, facts: list[Fact]) -> Submitted:
    offered: dict[str, Fact] = {}
    ended: dict[str, Fact] = {}
    entered: dict[str, Fact] = {}
    not_taken: dict[str, str] = {}
    waivers: dict[str, Waiver] = {}
    for fact in facts:
        says = fact.payload
        match fact.kind:
            case FactKind.RELEASE_OFFERED:
                offered[fact.occasion] = fact
            case FactKind.RELEASE_LOOKED_AT:
                ended[fact.occasion] = fact
            case FactKind.RELEASE_ENTERED:
                entered[fact.occasion] = fact
            case FactKind.RELEASE_NOT_ENTERED:
                not_taken[fact.occasion] = str(says["why"])
            case FactKind.FINDING_WAIVED:
                waiver = Waiver(says["finding"], says["reason"], says["role"], says["user"], fact.at.isoformat())
                waivers[waiver.key] = waiver
    looks = tuple(
        Look(number, fact, ended.get(number), entered.get(number), not_taken.get(number, ""))
        for number, fact in offered.items()
    )
    patch = next((int(fact.payload["patch"]) for fact in reversed(entered.values())), None)
    provider = str(looks[-1].offered.payload["provider"]) if looks else ""
    return Submitted(key, provider, looks, waivers, patch)


def as_row(finding: Finding) -> dict[str, Any]:
    """A finding as a fact keeps it."""
    return {
        "code": finding.code,
        "weight": finding.weight.value,
        "about": finding.about,
        "sentence": finding.sentence,
        "remedy": finding.remedy,
        "may_be_waived": finding.may_be_waived,
    }


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(
        row["code"], Weight(row["weight"]), row["about"], row["sentence"], row["remedy"], bool(row["may_be_waived"])
    )
