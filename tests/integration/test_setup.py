"""bin/setup: what is installed is what the lock file names, its own installer too."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_an_installer_with_other_bytes_than_the_lock_file_names_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "setup", tmp_path / "bin")
    (uv,) = re.findall(r"^uv==.*(?:\n +--hash.*)+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    (tmp_path / "requirements.lock").write_text(re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", uv) + "\n")
    done = subprocess.run(["sh", "bin/setup", "venv"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "do not match the hashes" in done.stderr.lower().replace("don't", "do not")
    assert not (tmp_path / "venv" / "bin" / "uv").exists()
    assert "Ready" not in done.stderr
