"""What is peculiar to Request Tracker: it answers with success also where it did not do what was asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.examples import PATCH
from tests.support.request_tracker import PASSWORD, USER, RunningRt

from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.request_tracker import RequestTracker
from pps.config.tracker_models import TrackerFile, TrackerKind
from pps.domain.base.errors import ConfigurationError, PatchNotFoundError, RefusedError
from pps.domain.packages.patch import PatchState

pytestmark = pytest.mark.needs("request-tracker")
OURS = Secret(PASSWORD, USER)


def opened(rt: RunningRt, queue: str, secret: Secret = OURS, **more: object) -> RequestTracker:
    return RequestTracker(TrackerFile(kind=TrackerKind.REQUEST_TRACKER, url=rt.url, project=queue, **more), secret)


def test_a_move_that_the_lifecycle_does_not_allow_is_refused_and_not_believed(rt: RunningRt) -> None:
    tracker = opened(rt, rt.queue("unmoved"))
    number = tracker.enter(PATCH, submission="1")
    with pytest.raises(RefusedError, match="'In certification' to 'Certified'"):
        tracker.set_state(number, PatchState.CERTIFIED, "x")
    assert tracker.patch(number).state is PatchState.IN_CERTIFICATION


def test_a_custom_field_that_is_missing_is_named(rt: RunningRt) -> None:
    queue = rt.queue()
    tracker = opened(rt, queue, attributes={"packages": "RPMs", "version": "Version of it"})
    with pytest.raises(ConfigurationError, match="does not keep RPMs, Version of it"):
        tracker.enter(PATCH, submission="1")


def test_a_title_that_would_be_cut_is_refused(rt: RunningRt) -> None:
    tracker = opened(rt, rt.queue())
    with pytest.raises(RefusedError, match="201 characters"):
        tracker.enter(replace(PATCH, title="x" * 201), submission="1")
    assert tracker.patches() == ()


def test_a_ticket_of_another_queue_is_no_patch_of_ours(rt: RunningRt) -> None:
    number = opened(rt, rt.queue()).enter(PATCH, submission="1")
    other = opened(rt, rt.queue())
    assert other.patches() == ()
    with pytest.raises(PatchNotFoundError, match="no ticket of queue"):
        other.patch(number)


def test_a_wrong_password_is_told_as_such(rt: RunningRt) -> None:
    with pytest.raises(ConfigurationError, match="refuses us"):
        opened(rt, rt.queue(), Secret("wrong", USER)).patches()


def test_when_all_is_read_again_custom_fields_are_asked_for_of_what_has_changed_alone(
    rt: RunningRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, later = rt.queue(), datetime.now(UTC)

    def again() -> RequestTracker:
        file = TrackerFile(kind=TrackerKind.REQUEST_TRACKER, url=rt.url, project=queue)
        return RequestTracker(file, OURS, copy=tmp_path / "copy.json", clock=lambda: later)

    first, second, third = (again().enter(PATCH, submission=str(n)) for n in range(3))
    assert len(again().patches()) == 3
    later += timedelta(hours=7)
    rt.root().edit_ticket(first, CustomFields={"version": "9.9"})
    rt.root().edit_ticket(third, Status="deleted")
    read: list[str] = []
    of = RequestTracker._of
    monkeypatch.setattr(
        RequestTracker, "_of", lambda self, ticket, *more: read.append(ticket["id"]) or of(self, ticket, *more)
    )
    assert [(p.number, p.version) for p in again().patches()] == [(second, PATCH.version), (first, "9.9")]
    assert list(map(int, read)) == [first]
