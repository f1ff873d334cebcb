"""Why a preview did not arrive well at a site, in few words that never change: what is counted, and compared."""

from __future__ import annotations

from enum import StrEnum

from pps.domain.base.errors import HostKeyError, SiteBusyError, SiteRefusedError, SiteUnreachableError
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import FAILURES, SiteProgress


class FailureClass(StrEnum):
    """Classes of failures, by who can mend them. Shown to programs: never rename."""

    UNREACHABLE = "unreachable"
    """no connection, or it broke: the next night tries again"""
    HOST_KEY = "host key"
    """the site's administrator must confirm it"""
    BUSY = "busy"
    """another installer was at work there"""
    REFUSED = "refused"
    """the site's receiver said no: a full disk, a wrong digest, ..."""
    PROBES = "probes"
    """the preview lies there, and its tests have failed"""
    OTHER = "other"
    """anything else: the rollout's page has the sentence"""


_BY_ERROR = {
    SiteUnreachableError.__name__: FailureClass.UNREACHABLE,
    HostKeyError.__name__: FailureClass.HOST_KEY,
    SiteBusyError.__name__: FailureClass.BUSY,
    SiteRefusedError.__name__: FailureClass.REFUSED,
}


def failure_class(progress: SiteProgress) -> FailureClass | None:
    """The class of a site's failure; None where it has not failed."""
    if progress.state not in FAILURES or progress.fact is None:
        return None
    if progress.fact.kind is FactKind.PROBES_FAILED:
        return FailureClass.PROBES
    return _BY_ERROR.get(str(progress.fact.payload.get("error", "")), FailureClass.OTHER)
