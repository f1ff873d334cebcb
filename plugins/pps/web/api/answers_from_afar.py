"""What `pps` of people reads through the API: the record, the patches, the configuration."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from pps.config.record_documents import FactDocument, MailDocument, RowDocument
from pps.web.api.answers import Answer


class Me(Answer):
    """Who asks."""

    user: str
    roles: list[str]
    addresses: bool
    """whether mail addresses are shown; masked otherwise"""
    files: list[str]
    """of the configuration, that they may read"""


class ConfigurationFile(Answer):
    """A file of the configuration, as it was read."""

    file: str
    content: Any
    """null where the installation has none"""


class TrackerPatches(Answer):
    """Patches as documents, see docs/tracker.md."""

    patches: list[dict[str, Any]]


class TrackerPatch(Answer):
    """A patch as a document."""

    patch: dict[str, Any]
    page: str
    """where people read it in the tracker"""


class Record(Answer):
    """What is on record; which of these keys are there, depends on what was asked."""

    total: int = 0
    """rows in all; of those that follow `after`, up to 1,000 are here"""
    rows: list[RowDocument] = Field(default_factory=list)
    facts: list[FactDocument] = Field(default_factory=list)
    mails: list[MailDocument] = Field(default_factory=list)
    numbers: dict[str, int] = Field(default_factory=dict)
    counts: dict[str, int] = Field(default_factory=dict)
    name: str = ""


class Overruled(Answer):
    """How a patch is classified now."""

    patch: int
    verdict: str
    reason: str
    new: bool


class SamTask(Answer):
    """A task for the monitoring."""

    number: int
    activity: str
    user: str
    what: str
    week: str
    assigned_at: datetime
    assigned_by: str
    done_at: datetime | None
    text: str
    new: bool


class NoMirror(Answer):
    """That a pilot needs no mirror."""

    rollout: str
    reason: str
    new: bool


class RankedSite(Answer):
    """A site that could run a pilot."""

    site: str
    score: float
    reasons: list[str]


class Ranked(Answer):
    """The sites, the best first, and the others with what is against them."""

    rollout: str
    candidates: list[RankedSite]
    excluded: dict[str, list[str]]
    new: bool
