"""What the API answers to providers of software; as `answers`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pps.domain.clients.updates import ClientVerdict
from pps.domain.packages.findings import Weight
from pps.domain.packages.patch import RepositoryKind
from pps.domain.people.adopters import Outcome
from pps.domain.record.submissions import LookState
from pps.web.api.answers import Answer, PatchRollout


class WaivedBy(Answer):
    """Who has waived a fault, and why."""

    role: str
    user: str
    reason: str
    at: datetime


class ReleaseFinding(Answer):
    """One thing that was found in a release."""

    key: str
    """names it, for a waiver"""
    code: str
    """which rule"""
    weight: Weight
    about: str
    """a package, platform, variable, ...; empty: the release as a whole"""
    sentence: str
    remedy: str
    may_be_waived: bool
    """a fault that nobody has waived yet, and that can be"""
    waived: WaivedBy | None


class _Stand(Answer):
    look: str
    """number of the look that counts"""
    state: LookState
    sentence: str
    """the same in words, and what to do next"""
    findings: list[ReleaseFinding]
    """faults first"""
    more: int
    """findings that are not shown"""
    open_faults: int


class ReleaseLook(_Stand):
    """One time that a release was sent."""

    submit: bool
    """false: it was only looked at"""
    by: str
    sent_at: datetime
    ended_at: datetime | None


class WaitsFor(Answer):
    """Something that a patch waits for, and who can act."""

    what: str
    who: list[str]
    until: datetime | None
    sentence: str


class Trouble(Answer):
    """Something that has failed."""

    what: str
    sentence: str
    rollout: str


class TroubleTicket(Answer):
    """A ticket in the tracker, about a failed deployment test or an incident of a pilot."""

    about: str
    page: str
    """where it is read by those whom the tracker lets"""
    opened_at: datetime
    closed_at: datetime | None
    """none: it is open"""


class PatchStanding(Answer):
    """Where a patch is, in short; `/api/v1/patches/{number}` has every condition."""

    patch: int
    metapackage: str
    software_version: str
    title: str
    state: str | None
    """in the tracker; none while it does not answer"""
    tracker: str
    in_production: bool
    answer: str
    """why it is still here, in one sentence"""
    verdict: ClientVerdict | None
    """none: nobody has classified it"""
    rollouts: list[PatchRollout]
    """with what VOs said"""
    tried_by: dict[str, list[str]]
    """rollout -> sites that have it"""
    waits_for: list[WaitsFor]
    troubles: list[Trouble]
    tickets: list[TroubleTicket]
    waived: list[str]


class ReleaseRow(_Stand):
    """A release that was submitted, by the look that counts."""

    release: str
    product: str
    version: str
    provider: str
    patch: int | None
    """its number in the tracker"""
    standing: PatchStanding | None
    """none before it is in the tracker, or where nobody can tell"""
    too_few: str
    """that too few sites and VOs try it early; empty: enough, or it cannot be tried now"""


class SubmittedRelease(ReleaseRow):
    """A release with all that was sent and found."""

    format: Literal[1]
    document: dict[str, Any]
    """as it was sent last"""
    looks: list[ReleaseLook]
    """the newest first"""


class SubmittedReleases(Answer):
    """The releases that whoever asks may see."""

    format: Literal[1]
    releases: list[ReleaseRow]
    older: int
    """releases that were sent earlier; each has its address"""
    others: list[PatchStanding]
    """patches of one's own products that were entered in other ways"""


class EarlyAdopter(Answer):
    """A site or VO that tries a release."""

    party: str
    """`site:<site>`, `vo:<VO>`"""
    patch: int
    product: str
    until: date
    late: bool
    outcome: Outcome | None
    """none: it has not reported yet"""
    text: str
    seen: list[str]
    """what is on record of the release there"""


class ReleaseToTry(Answer):
    """A release with those who try it."""

    patch: int
    product: str
    version: str
    too_few: str
    """empty: it has enough early adopters"""
    adopters: list[EarlyAdopter]
    could_take: list[str]
    """who has a free slot"""


class SlotOffer(Answer):
    """How many releases of a product somebody tries at a time."""

    party: str
    product: str
    slots: int
    free: int


class EarlyAdopters(Answer):
    """Who tries which release, who could, and what whoever asks may speak for."""

    format: Literal[1]
    at_least: int
    """early adopters that a release should have (policies.yaml)"""
    releases: list[ReleaseToTry]
    offers: list[SlotOffer]
    mine: list[str]
    waiting: list[EarlyAdopter]
    """reports that are awaited of whoever asks"""


class PackageNamed(Answer):
    """A package as a release names it."""

    name: str
    version: str
    arch: str


class RepositoryNamed(Answer):
    """A repository as a release names it."""

    kind: RepositoryKind
    url: str
    suite: str
    components: list[str]


class UploadedPackage(Answer):
    """A package that is published now, as a release names it."""

    provider: str
    package: PackageNamed
    repository: RepositoryNamed
    sha256: str
    bytes: int
    new: bool
    """false: this very file was there already"""
