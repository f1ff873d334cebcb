"""Documents that tell of the code are what the code says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.house import MADE, ROOT, SECTIONS, is_there, paths_named, sections, with_block


@pytest.mark.parametrize(("path", "made"), MADE, ids=lambda x: x.name if isinstance(x, Path) else "")
def test_a_document_is_what_the_code_says(path: Path, made: Callable[[], str]) -> None:
    text = path.read_text()
    assert text == with_block(text, made()), f"{path.relative_to(ROOT)} is old; run: make docs"


def test_every_section_with_a_rollout_path_has_rooms_and_tests() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2:5] for row in sections().splitlines()[2:]}
    assert list(rows) == list(SECTIONS)
    for section, cells in rows.items():
        assert all("`" in cell for cell in cells[1:]), section


@pytest.mark.parametrize(
    "path",
    [ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md", *sorted((ROOT / "docs/how-to").glob("*.md"))],
    ids=lambda path: path.name,
)
def test_every_file_that_is_named_to_whoever_changes_the_house_is_there(path: Path) -> None:
    named = paths_named(path.read_text())
    assert named
    assert {name for name in named if not is_there(name)} == set()


def test_a_path_is_told_from_a_place_holder_a_command_and_a_word() -> None:
    inline = "`a/b.py`, `<topic>/b.py`, `x.sh`, `make test T=tests/c.py`, `4.1.1`, `a.b`, `tests/e2e/`, `bb|c`, `a/...`"
    text = f'{inline}\nmake test T="d/e.py f.md"\n'
    assert paths_named(text) == {"a/b.py", "x.sh", "tests/c.py", "tests/e2e/", "d/e.py", "f.md"}
    assert not is_there("docs/how-to/none.md")
    assert is_there("receiver.sh")
