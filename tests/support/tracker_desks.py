"""Each tracker that we speak to, real or a stand-in, empty, with what the tests do there as people would."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from roundup import date, instance
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
    again: Callable[..., Tracker]
    """the same tracker for another process, with the same copy"""
    age: Callable[[], None]
    """all that is there was changed last a day before, by the tracker's clock"""
    leave: Callable[[int], None]
    """somebody makes it something else than a patch, or moves it elsewhere"""
    remove: Callable[[int], None]
    """somebody deletes it"""
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
        hub.touch(number)

    def leave(number: int) -> None:
        issue = hub.issues[number]
        issue["labels"] = [label for label in issue["labels"] if label["name"] != "patch"]
        hub.touch(number)

    with served(hub):
        file = TrackerFile(kind=TrackerKind.GITHUB, url=hub.url, project=REPOSITORY)
        again = partial(GithubTracker, file, Secret("a-token"), page=2, pause_s=0, copy=folder / "copy.json")
        yield Desk(again(), spoil, again, hub.a_day_later, leave, hub.issues.pop)
    assert hub.wrong == []


@contextmanager
def gitlab(folder: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    from tests.support.gitlab import PROJECT, GitlabStandIn

    from pps.adapters.trackers.gitlab import GitlabTracker

    lab = GitlabStandIn()

    def spoil(number: int) -> None:
        body = lab.issues[number]["description"]
        lab.issues[number]["description"] = body.replace("### packages\n\n", "### packages\n\n; rm -rf /\n")
        lab.touch(number)

    def leave(number: int) -> None:
        lab.issues[number]["labels"].remove("patch")
        lab.touch(number)

    with served(lab):
        states = {state: f"state::{state.value}" for state in PatchState}
        file = TrackerFile(kind=TrackerKind.GITLAB, url=lab.url, project=PROJECT, states=states)
        again = partial(GitlabTracker, file, Secret("a-token"), page=2, copy=folder / "copy.json")
        yield Desk(again(), spoil, again, lab.a_day_later, leave, lab.issues.pop)
    assert lab.wrong == []


@contextmanager
def roundup(folder: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    from tests.support.roundup import real_roundup

    from pps.adapters.trackers.roundup import RoundupTracker

    with real_roundup(folder / "tracker") as (url, secret):
        file = TrackerFile(kind=TrackerKind.ROUNDUP, url=url)
        again = partial(RoundupTracker, file, secret, page=2, copy=folder / "copy.json")
        tracker = again()

        def spoil(number: int) -> None:
            item, etag = tracker._for_writing(number)
            assert tracker._change(item, etag, {"packages": "; rm -rf"})

        def retire(number: int) -> None:
            _in_roundup(
                folder / "tracker", lambda db: db.patch.retire(db.patch.filter(None, {"number": str(number)})[0])
            )

        def age() -> None:
            # it is the past that changes here, which no copy can follow
            (folder / "copy.json").unlink(missing_ok=True)
            then = date.Date(time.gmtime(time.time() - 86400)).serialise()
            for klass in ("patch", "bug", "case"):
                _in_roundup(folder / "tracker", lambda db, k=klass: db.sql(f"update _{k} set _activity=?", (then,)))

        yield Desk(tracker, spoil, again, age, retire, retire, numbers_itself=False, trims=True)


def _in_roundup(home: Path, act: Callable[[Any], object]) -> None:
    db = instance.open(str(home)).open("admin")
    try:
        act(db)
        db.commit()
    finally:
        db.close()


@contextmanager
def request_tracker(folder: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    from tests.support.request_tracker import PASSWORD, USER, RunningRt

    from pps.adapters.trackers.request_tracker import RequestTracker

    rt: RunningRt = request.getfixturevalue("rt")

    def spoil(number: int) -> None:
        rt.root().edit_ticket(number, CustomFields={"packages": "; rm -rf /"})

    elsewhere = rt.queue()

    def age() -> None:
        (folder / "copy.json").unlink(missing_ok=True)
        rt.a_day_later()

    file = TrackerFile(kind=TrackerKind.REQUEST_TRACKER, url=rt.url, project=rt.queue())
    again = partial(RequestTracker, file, Secret(PASSWORD, USER), copy=folder / "copy.json")
    yield Desk(
        again(),
        spoil,
        again,
        age,
        lambda number: rt.root().edit_ticket(number, Queue=elsewhere),
        lambda number: rt.root().edit_ticket(number, Status="deleted"),
    )


@contextmanager
def zammad(folder: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    from tests.support.zammad import GROUP, ZammadStandIn

    from pps.adapters.trackers.zammad import ZammadTracker

    desk = ZammadStandIn()

    def spoil(number: int) -> None:
        desk._change(number, {"packages": "; rm -rf /"})

    with served(desk):
        file = TrackerFile(kind=TrackerKind.ZAMMAD, url=desk.url, project=GROUP)
        again = partial(ZammadTracker, file, Secret("a-token"), page=2, copy=folder / "copy.json")
        leave = partial(desk._change, body={"group": "Users"})
        yield Desk(again(), spoil, again, desk.a_day_later, leave, desk.tickets.pop)
    assert desk.wrong == []


#: Kind -> group of outside parts, and the tracker.
DESKS: dict[TrackerKind, tuple[str, Callable[[Path, pytest.FixtureRequest], AbstractContextManager[Desk]]]] = {
    TrackerKind.GITHUB: ("github-openapi", github),
    TrackerKind.GITLAB: ("", gitlab),
    TrackerKind.ROUNDUP: ("", roundup),
    TrackerKind.REQUEST_TRACKER: ("request-tracker", request_tracker),
    TrackerKind.ZAMMAD: ("", zammad),
}
