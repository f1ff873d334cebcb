"""Messages as prose: what a template makes of an example is kept in a file that people review."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "unit" / "snapshots"


def matches_snapshot(name: str, text: str) -> None:
    """Compare with `tests/unit/snapshots/<name>`; PPS_SNAPSHOTS=write keeps a new wording."""
    file = FOLDER / name
    if os.environ.get("PPS_SNAPSHOTS") == "write":
        file.write_text(text)
    assert file.exists(), f"{name} has no snapshot; read the text, then keep it with PPS_SNAPSHOTS=write"
    assert text == file.read_text()
