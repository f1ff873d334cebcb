"""Documents that tell of the code are what the code says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.house import MADE, ROOT, SECTIONS, sections, with_block


@pytest.mark.parametrize(("path", "made"), MADE, ids=lambda x: x.name if isinstance(x, Path) else "")
def test_a_document_is_what_the_code_says(path: Path, made: Callable[[], str]) -> None:
    text = path.read_text()
    assert text == with_block(text, made()), f"{path.relative_to(ROOT)} is old; run: make docs"


def test_every_section_with_a_rollout_path_has_rooms_and_tests() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2:5] for row in sections().splitlines()[2:]}
    assert list(rows) == list(SECTIONS)
    for section, cells in rows.items():
        assert all("`" in cell for cell in cells[1:]), section
