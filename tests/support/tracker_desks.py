"""Each tracker that we speak to, real or a stand-in, empty, with what the tests do there as people would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.stand_in import served

from pps.activities.ports.tracker import Tracker
from pps.adapters.trackers.http import Secret
from pps.config.tracker_models import TrackerFile, TrackerKind
from pps.domain.packages.patch import PatchState


@dataclass
class Desk:
    """A tracker with patches."""

    tracker: Tracker
    spoil: Callable[[int], None]
    """somebody writes nonsense where the packages of a patch are"""
    numbers_itself: bool = True
    """a patch cannot be entered with a number of our choice"""
    trims: bool = False
    """it does not keep blanks and lines around a text"""


@contextmanager
def github(folder: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
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


@contextmanager
def gitlab(folder: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    from tests.support.gitlab import PROJECT, GitlabStandIn

    from pps.adapters.trackers.gitlab import GitlabTracker

    lab = GitlabStandIn()

    def spoil(number: int) -> None:
        body = lab.issues[number]["description"]
        lab.issues[number]["description"] = body.replace("### packages\n\n", "### packages\n\n; rm -rf /\n")

    with served(lab):
        states = {state: f"state::{state.value}" for state in PatchState}
        file = TrackerFile(kind=TrackerKind.GITLAB, url=lab.url, project=PROJECT, states=states)
        yield Desk(GitlabTracker(file, Secret("a-token"), page=2), spoil)
    assert lab.wrong == []


@contextmanager
def roundup(folder: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    from tests.support.roundup import real_roundup

    from pps.adapters.trackers.roundup import RoundupTracker

    with real_roundup(folder / "tracker") as (url, secret):
        tracker = RoundupTracker(TrackerFile(kind=TrackerKind.ROUNDUP, url=url), secret, page=2)

        def spoil(number: int) -> None:
            item, etag = tracker._for_writing(number)
            assert tracker._change(item, etag, {"packages": "; rm -rf"})

        yield Desk(tracker, spoil, numbers_itself=False, trims=True)


@contextmanager
def request_tracker(folder: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    from tests.support.request_tracker import PASSWORD, USER, RunningRt

    from pps.adapters.trackers.request_tracker import RequestTracker

    rt: RunningRt = request.getfixturevalue("rt")

    def spoil(number: int) -> None:
        rt.root().edit_ticket(number, CustomFields={"packages": "; rm -rf /"})

    file = TrackerFile(kind=TrackerKind.REQUEST_TRACKER, url=rt.url, project=rt.queue())
    yield Desk(RequestTracker(file, Secret(PASSWORD, USER)), spoil)


@contextmanager
def zammad(folder: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    from tests.support.zammad import GROUP, ZammadStandIn

    from pps.adapters.trackers.zammad import ZammadTracker

    desk = ZammadStandIn()

    def spoil(number: int) -> None:
        desk._change(number, {"packages": "; rm -rf /"})

    with served(desk):
        file = TrackerFile(kind=TrackerKind.ZAMMAD, url=desk.url, project=GROUP)
        yield Desk(ZammadTracker(file, Secret("a-token"), page=2), spoil)
    assert desk.wrong == []


#: Kind -> group of outside parts, and the tracker.
DESKS: dict[TrackerKind, tuple[str, Callable[[Path, pytest.FixtureRequest], AbstractContextManager[Desk]]]] = {
    TrackerKind.GITHUB: ("github-openapi", github),
    TrackerKind.GITLAB: ("", gitlab),
    TrackerKind.ROUNDUP: ("", roundup),
    TrackerKind.REQUEST_TRACKER: ("request-tracker", request_tracker),
    TrackerKind.ZAMMAD: ("", zammad),
}
