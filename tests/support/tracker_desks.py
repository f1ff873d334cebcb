"""Each tracker that we speak to, real or a stand-in, empty, with what the tests do there as people would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.stand_in import served

from pps.activities.ports.tracker import Tracker
from pps.adapters.trackers.http import Secret
from pps.config.tracker_models import TrackerFile, TrackerKind


@dataclass
class Desk:
    """A tracker with patches."""

    tracker: Tracker
    spoil: Callable[[int], None]
    """somebody writes nonsense where the packages of a patch are"""
    numbers_itself: bool = True
    """a patch cannot be entered with a number of our choice"""


@contextmanager
def github(folder: Path) -> Iterator[Desk]:
    from tests.support.github import REPOSITORY, GithubStandIn

    from pps.adapters.trackers.github import GithubTracker

    hub = GithubStandIn()

    def spoil(number: int) -> None:
        body = hub.issues[number]["body"]
        hub.issues[number]["body"] = body.replace("### packages\n\n", "### packages\n\n; rm -rf /\n")

    with served(hub):
        file = TrackerFile(kind=TrackerKind.GITHUB, url=hub.url, project=REPOSITORY)
        yield Desk(GithubTracker(file, Secret("a-token"), page=2, pause_s=0), spoil)
    assert hub.wrong == []


#: Kind -> group of outside parts, and the tracker.
DESKS: dict[TrackerKind, tuple[str, Callable[[Path], AbstractContextManager[Desk]]]] = {
    TrackerKind.GITHUB: ("github-openapi", github),
}
