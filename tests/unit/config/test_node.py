"""Who we are among the nodes: a digest of each file that is configuration, and of nothing else."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pps import __version__
from pps.config.loader import Configuration
from pps.config.node import changed_at, this_node

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def test_a_change_of_any_file_of_the_configuration_shows_and_what_is_a_node_s_own_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPS_NODE", "worker-1")
    (tmp_path / "keys").mkdir()
    for name in (
        "sites.yaml",
        "pps-archive-keyring.asc",
        "keys/provider.gpg",
        "pps.env",
        ".sites.yaml.part",
        ".x.yaml",
    ):
        (tmp_path / name).write_text("before")
    configuration = Configuration(tmp_path)
    before = this_node(configuration, NOW)
    assert (before.name, before.version, before.seen_at) == ("worker-1", __version__, NOW)
    assert set(before.files) == {"sites.yaml", "pps-archive-keyring.asc", "keys/provider.gpg"}
    (tmp_path / "pps.env").write_text("AIRFLOW_CONN_PPS_STORE=...")
    assert this_node(configuration, NOW) == before
    for name in before.files:
        (tmp_path / name).write_text("after")
        after = this_node(configuration, NOW)
        assert after.files[name] != before.files[name]
    for file in tmp_path.rglob("*.*"):
        os.utime(file, (0, 1_000_000_000))
    os.utime(tmp_path / "keys" / "provider.gpg", (0, 1_700_000_000))
    os.utime(tmp_path / "pps.env", (0, 1_800_000_000))
    assert changed_at(configuration).timestamp() == 1_700_000_000


def test_an_empty_folder_has_no_files_and_never_changed(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path / "missing")
    assert this_node(configuration, NOW).files == {}
    assert changed_at(configuration).year == 1970
