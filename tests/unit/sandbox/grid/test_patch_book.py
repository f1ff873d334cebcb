"""The sandbox tracker's rules."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pps.domain.base.errors import ConfigurationError, PackageError
from pps.domain.packages.patch import PackageRef, Patch, PatchState, Repository, RepositoryKind
from pps.domain.sites.site import Platform
from pps.sandbox.grid.patch_book import LEGAL_MOVES, BookError, PatchBook
from pps.sandbox.provider.scenario import demo_patch

PATCH: Patch = demo_patch(
    Repository(RepositoryKind.APT, "http://repository.example.org/apt", "bookworm", ("main",)),
    [PackageRef("voms-clients", "2.1.0~rc3-3", "amd64")],
    platform=Platform("debian12", "amd64"),
)


@pytest.fixture
def book(tmp_path: Path) -> PatchBook:
    book = PatchBook(tmp_path / "book", lambda: datetime(2026, 3, 2, tzinfo=UTC))
    book.create(PATCH)
    return book


@pytest.mark.parametrize("old", PatchState)
def test_only_legal_moves_are_made_and_the_others_are_told_what_is_legal(tmp_path: Path, old: PatchState):
    for new in PatchState:
        book = PatchBook(tmp_path / f"{old.name}-{new.name}")
        book.create(dataclasses.replace(PATCH, state=old))
        if new is old or new in LEGAL_MOVES[old]:
            assert book.move(4711, new, "because").patch.state is new
        else:
            with pytest.raises(BookError, match="allowed:") as refusal:
                book.move(4711, new, "because")
            assert refusal.value.status == 409
            assert book.entry(4711).patch.state is old


def test_the_way_to_production_of_the_service_description_is_open(book: PatchBook):
    for state in (PatchState.CERTIFIED, PatchState.IN_PRODUCTION):
        book.move(4711, state, "")
    assert [e["what"] for e in book.entry(4711).history] == [
        "created",
        '"In certification" -> "Certified"',
        '"Certified" -> "In production"',
    ]


def test_setting_the_state_that_it_has_changes_neither_version_nor_history(book: PatchBook):
    before = book.entry(4711)
    assert book.move(4711, PatchState.IN_CERTIFICATION, "again") == before


def test_an_edit_of_an_older_version_is_refused_and_loses_nothing(book: PatchBook):
    book.edit(4711, {"title": "first"}, 1)
    with pytest.raises(BookError) as refusal:
        book.edit(4711, {"title": "second"}, 1)
    assert refusal.value.status == 412
    assert book.entry(4711).patch.title == "first"


@pytest.mark.parametrize("field", ["state", "number", "basic_certification_passed", "bugs", "nonsense"])
def test_an_edit_does_not_reach_what_has_a_way_of_its_own(book: PatchBook, field: str):
    with pytest.raises(BookError, match="cannot be edited"):
        book.edit(4711, {field: "Certified"}, 1)


def test_an_edit_is_checked_like_a_new_patch(book: PatchBook):
    with pytest.raises(PackageError, match="metapackage"):
        book.edit(4711, {"metapackage": "$(id)"}, 1)


def test_the_same_patch_twice_is_one_patch_also_after_the_workflow_went_on(book: PatchBook):
    book.move(4711, PatchState.CERTIFIED, "")
    entry, new = book.create(PATCH)
    assert not new
    assert entry.patch.state is PatchState.CERTIFIED
    with pytest.raises(BookError, match="other content"):
        book.create(dataclasses.replace(PATCH, version="3.1.24"))


def test_everything_is_still_there_after_a_restart(book: PatchBook, tmp_path: Path):
    book.move(4711, PatchState.CERTIFIED, "comment")
    assert PatchBook(tmp_path / "book").entry(4711) == book.entry(4711)


@pytest.mark.parametrize("text", ["", "{", "[{}]", "{}x", '[{"patch": {"number": 1}}]', "[1]"])
def test_a_damaged_file_is_told_by_name_and_not_overwritten(tmp_path: Path, text: str):
    path = tmp_path / "4711.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"4711\.json"):
        PatchBook(tmp_path)
    assert path.read_text() == text


def test_a_comment_is_added_once_and_leaves_the_patch_as_it_is(book: PatchBook):
    first = book.comment(4711, "scenario wn failed")
    assert book.comment(4711, "scenario wn failed") == first
    assert first.patch == PATCH
    assert [e["what"] for e in first.history] == ["created", "comment"]
