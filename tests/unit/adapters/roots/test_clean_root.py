"""The folders in which clean roots live."""

from __future__ import annotations

from pathlib import Path

import pytest

from pps.adapters.roots import clean_root
from pps.domain.base.errors import CleanRootError
from pps.domain.sites.site import Platform


def test_what_a_killed_removal_leaves_is_removed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(clean_root, "_remove", lambda folder: None)
        with clean_root._work_folder(tmp_path) as left:
            (left / "root").mkdir()
    assert left.exists()
    with clean_root._work_folder(tmp_path) as folder:
        assert not left.exists()
        assert folder.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".door"]


def test_a_root_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    with clean_root._work_folder(tmp_path) as mine, clean_root._work_folder(tmp_path) as other:
        assert mine.exists()
        assert other.exists()


def test_no_base_is_made_of_a_platform_that_nobody_here_can_make(tmp_path: Path) -> None:
    with pytest.raises(CleanRootError, match="does not know sl5"):
        clean_root.DebianRoots(tmp_path / "cache").prepare(Platform("sl5", "x86_64"))
    assert not (tmp_path / "cache").exists()
