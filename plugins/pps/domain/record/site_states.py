"""Where a preview stands at one site, as the newest fact about it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pps.domain.record.facts import Fact, FactKind


class SiteState(StrEnum):
    """Where a preview stands at one site, for the live map and the bulletin."""

    PLANNED = "planned"
    INSTALLED = "installed"
    CONFIGURED = "configured"
    """the site's own people have done the local configuration (SD 4.1.2, 3)"""
    TESTED = "tested"
    TAGGED = "tagged"
    """the tag is in the site's tag directory, not yet seen in the information system"""
    AVAILABLE = "available"
    """the tag is seen in the information system: jobs can select the preview"""
    NOT_ANNOUNCED = "installed, not announced"
    """the preview lies there without its tag: its probes have failed, so no job is sent to it"""
    FAILED = "failed"
    LEFT_OUT = "left out"
    LOST = "lost"
    WITHDRAWN = "withdrawn"


#: Jobs can be sent to the preview there, or will be as soon as the information system shows its tag.
OFFERED = (SiteState.TAGGED, SiteState.AVAILABLE)
#: The preview lies there, as far as the newest fact tells.
REACHED = (SiteState.INSTALLED, SiteState.CONFIGURED, SiteState.TESTED, *OFFERED, SiteState.NOT_ANNOUNCED)
#: What needs somebody, and counts against the failure budget: a preview that fails its probes did not arrive well.
FAILURES = (SiteState.FAILED, SiteState.NOT_ANNOUNCED)

#: The newest of these facts about a site decides its state.
STATE_AFTER: Mapping[FactKind, SiteState] = {
    FactKind.PREVIEW_INSTALLED: SiteState.INSTALLED,
    FactKind.SITE_CONFIGURED: SiteState.CONFIGURED,
    FactKind.PROBES_PASSED: SiteState.TESTED,
    FactKind.PROBES_FAILED: SiteState.NOT_ANNOUNCED,
    FactKind.TAG_ADDED: SiteState.TAGGED,
    FactKind.TAG_SEEN: SiteState.AVAILABLE,
    FactKind.TAG_REMOVED: SiteState.WITHDRAWN,
    FactKind.SITE_FAILED: SiteState.FAILED,
    FactKind.SITE_LEFT_OUT: SiteState.LEFT_OUT,
    FactKind.PREVIEW_LOST: SiteState.LOST,
    FactKind.PREVIEW_REMOVED: SiteState.WITHDRAWN,
    FactKind.SITE_PUT_OFF: SiteState.PLANNED,
    FactKind.SITE_KEEPS_WAITING: SiteState.PLANNED,
}

#: Kinds of facts that tell a site's state.
STATE_KINDS = tuple(STATE_AFTER)

#: Programs record these for hundreds of sites. Where only a site's state is asked for, all but its newest may be left
#: out: their payloads name nobody, so the names that must be hidden from the public are found without them.
OVERTAKEN_KINDS = (
    FactKind.PREVIEW_INSTALLED,
    FactKind.PROBES_PASSED,
    FactKind.PROBES_FAILED,
    FactKind.TAG_ADDED,
    FactKind.TAG_SEEN,
    FactKind.SITE_FAILED,
    FactKind.SITE_PUT_OFF,
    FactKind.SITE_KEEPS_WAITING,
)


@dataclass(frozen=True, slots=True)
class SiteProgress:
    """One site's part in a rollout."""

    site: str
    state: SiteState
    reason: str = ""
    """why it failed, was left out, lost or withdrawn; a sentence for its administrator"""
    fact: Fact | None = None

    @property
    def is_put_off(self) -> bool:
        """Tell whether it was not written at yet because its window was closed; says nothing about the preview."""
        return self.fact is not None and self.fact.kind is FactKind.SITE_PUT_OFF


def progress_at(site: str, newest: Fact | None) -> SiteProgress:
    """Where it stands by the newest fact of a kind in `STATE_AFTER`; None: there is none."""
    if newest is None:
        return SiteProgress(site, SiteState.PLANNED)
    state = STATE_AFTER[newest.kind]
    if state is SiteState.NOT_ANNOUNCED and newest.payload.get("announced"):
        state = SiteState.FAILED  # a tag from before that could not be taken away: nobody may say that there is none
    return SiteProgress(site, state, str(newest.payload.get("reason", "")), newest)
