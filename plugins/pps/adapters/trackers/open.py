"""Opens the tracker that tracker.yaml names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pps.activities.ports.tracker import Tracker
from pps.adapters.trackers.http import Secret
from pps.config.tracker_models import TrackerFile, TrackerKind


def open_tracker(file: TrackerFile, secret: Secret, cache: Path) -> Tracker:
    """The adapter of this kind; asks nobody yet.

    Args:
        cache: folder of ours alone for what may be lost at any time.
    """
    # what one user may read is not for another
    whose = hashlib.sha256(f"{file.url} {file.project} {secret.user}".encode()).hexdigest()[:16]
    copy = cache / f"{file.kind}-{whose}.json"
    match file.kind:
        case TrackerKind.ROUNDUP:
            from pps.adapters.trackers.roundup import RoundupTracker

            return RoundupTracker(file, secret, copy=copy)
        case TrackerKind.GITHUB:
            from pps.adapters.trackers.github import GithubTracker

            return GithubTracker(file, secret, copy=copy)
        case TrackerKind.GITLAB:
            from pps.adapters.trackers.gitlab import GitlabTracker

            return GitlabTracker(file, secret, copy=copy)
        case TrackerKind.REQUEST_TRACKER:
            from pps.adapters.trackers.request_tracker import RequestTracker

            return RequestTracker(file, secret, copy=copy)
        case TrackerKind.ZAMMAD:
            from pps.adapters.trackers.zammad import ZammadTracker

            return ZammadTracker(file, secret, copy=copy)
