"""Facts: what happened, to whom, on which occasion. Append-only; everything else is a view of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class FactKind(StrEnum):
    """What can happen in a rollout. The value is stored for ever: never rename, only add."""

    # the whole rollout (subject: "")
    ROLLOUT_OPENED = "rollout-opened"
    PATCH_ADMITTED = "patch-admitted"
    TARBALL_BUILT = "tarball-built"
    PLAN_AGREED = "plan-agreed"
    NIGHT_PLANNED = "night-planned"
    """occasion: the night's batch; payload `sites`"""
    GATE_PASSED = "gate-passed"
    ROLLOUT_STOPPED = "rollout-stopped"
    FEEDBACK_DATE_AGREED = "feedback-date-agreed"
    FEEDBACK_ENDED = "feedback-ended"
    RELEASE_NOTES_WRITTEN = "release-notes-written"
    CERTIFICATION_ENDED = "certification-ended"
    RELEASE_REFUSED = "release-refused"
    RELEASED_TO_PRODUCTION = "released-to-production"
    ROLLOUT_CLOSED = "rollout-closed"
    # one site (subject: site)
    PREVIEW_INSTALLED = "preview-installed"
    PROBES_PASSED = "probes-passed"
    PROBES_FAILED = "probes-failed"
    TAG_ADDED = "tag-added"
    TAG_SEEN = "tag-seen"
    TAG_REMOVED = "tag-removed"
    SITE_FAILED = "site-failed"
    SITE_LEFT_OUT = "site-left-out"
    PREVIEW_LOST = "preview-lost"
    SITE_TOLD = "site-told"
    """its contact was told why it failed; occasion: the failure with which the trouble began"""
    # people (subject: VO, ROC or mail address)
    BROADCAST_QUEUED = "broadcast-queued"
    ORIGINATOR_INVITED = "originator-invited"
    VO_INVITED = "vo-invited"
    FEEDBACK_GIVEN = "feedback-given"


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact. (rollout, kind, subject, occasion) is unique: the same fact twice counts once."""

    rollout: str
    kind: FactKind
    subject: str
    occasion: str
    """which time: a run, a week, a digest; "" when it can happen only once"""
    at: datetime
    actor: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    """small, JSON; `v` holds its version where it ever changed"""

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError(f"fact {self.kind} of {self.rollout} has a time without a zone")
