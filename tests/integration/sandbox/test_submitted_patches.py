"""An accepted release in a real tracker: entered once, corrected as the same patch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.front import PATCH
from tests.support.sandbox_grid import RunningGrid, sandbox_grid  # noqa: F401

from pps.activities.packages.submission_entry import entered
from pps.config.release_documents import parse_release, release_document
from pps.domain.base.errors import RefusedError
from pps.domain.packages.advice import Risk, Vulnerability
from pps.domain.packages.patch import Bug, Case, Patch, PatchState, Severity
from pps.domain.packages.submission import UNNUMBERED, Release

CONTACT = "releases@example.org"


def submitted(version: str) -> Patch:
    changes = {"number": UNNUMBERED, "state": PatchState.READY_FOR_CERTIFICATION, "basic_certification_passed": False}
    return replace(
        PATCH, version=version, provider=CONTACT, cves=(Vulnerability("CVE-2026-12345", Risk.HIGH),), **changes
    )


def enter(grid: RunningGrid, patch: Patch, number: int | None = None, comment: str = "Submitted (look 1).") -> int:
    document = release_document(Release(patch, (7,)))
    assert parse_release(document, CONTACT) == Release(patch, (7,))
    return entered(grid.tracker, patch, document, number, comment)


def test_a_release_is_entered_once_and_its_correction_is_the_same_patch(sandbox_grid: RunningGrid) -> None:
    patch, tracker = submitted("9.1.0"), sandbox_grid.tracker
    number = enter(sandbox_grid, patch)
    assert tracker.patch(number) == replace(patch, number=number)
    assert enter(sandbox_grid, patch) == number, "after a crash it is found again"
    assert [c.text for c in tracker.comments(number)].count("Submitted (look 1).") == 1
    tracker.set_state(number, PatchState.WITH_PROVIDER, "A scenario has failed.")
    bugs = (*patch.bugs, Bug(8102, "Slow", Severity.MINOR, "bea@example.org"))
    better = replace(patch, release_notes="Better.", bugs=bugs, test_cases=(Case("renew", "A proxy is renewed"),))
    assert enter(sandbox_grid, better, number, "Submitted (look 2).") == number
    assert tracker.patch(number) == replace(better, number=number)
    assert "Submitted (look 2)." in [c.text for c in tracker.comments(number)]


def test_what_certification_says_of_a_patch_is_not_overwritten_by_its_correction(sandbox_grid: RunningGrid) -> None:
    patch, tracker = submitted("9.2.0"), sandbox_grid.tracker
    number = enter(sandbox_grid, patch)
    tracker.set_state(number, PatchState.IN_CERTIFICATION, "It begins.")
    tracker.set_flag(number, "basic_certification_passed", value=True)
    enter(sandbox_grid, replace(patch, title="Another title"), number)
    now = tracker.patch(number)
    assert (now.title, now.state, now.basic_certification_passed) == (
        "Another title",
        PatchState.IN_CERTIFICATION,
        True,
    )


def test_a_bug_that_the_tracker_knows_with_other_words_is_refused_in_words(sandbox_grid: RunningGrid) -> None:
    enter(sandbox_grid, replace(submitted("9.3.0"), bugs=(Bug(8103, "One", Severity.MAJOR, "ada@example.org"),)))
    with pytest.raises(RefusedError, match="8103 is in the tracker with another title"):
        enter(sandbox_grid, replace(submitted("9.3.1"), bugs=(Bug(8103, "Two", Severity.MAJOR, "ada@example.org"),)))
