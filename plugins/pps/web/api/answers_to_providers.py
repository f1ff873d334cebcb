"""What the API answers to providers of software; as `answers`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pps.domain.packages.submission import Weight
from pps.domain.record.submissions import LookState
from pps.web.api.answers import Answer


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


class ReleaseRow(_Stand):
    """A release that was submitted, by the look that counts."""

    release: str
    product: str
    version: str
    provider: str
    patch: int | None
    """its number in the tracker"""


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
