"""What a site says of itself, and what we make of it. The script runs in the shells of this machine."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.front import NOW, site
from tests.support.local_shell import kept_sh, make_sh

from pps.activities.ports.sites import SiteLimits, SshTarget
from pps.activities.sites.diagnosis import Health, diagnose_sites, findings_at, site_check_script
from pps.config.site_models import SiteModel
from pps.domain.base.errors import HostKeyError, SiteUnreachableError
from pps.domain.sites.site import Site

GOOD = [
    "site-check 1",
    "tool sh",
    "preview_root writable",
    "tag_dir writable",
    "production_root readable",
    "profile_d readable",
    "free_kib 20000000",
    f"clock {int(NOW.timestamp())}",
    "end 1",
]


def a_site(name: str = "PIC", **changes: object) -> Site:
    return SiteModel.model_validate(site(name, **changes)).to_domain()


def said(**changes: str) -> list[str]:
    lines = dict(line.split(" ", 1) for line in GOOD) | changes
    return [f"{key} {value}" for key, value in lines.items()]


def test_a_site_without_complaint_is_one_line() -> None:
    (finding,) = findings_at(a_site(), GOOD, NOW)
    assert finding.health is Health.OK
    assert "ppsadm@ui.pic.example.org takes previews, 19,531 MiB free." in finding.text


@pytest.mark.parametrize(
    ("changes", "health", "part"),
    [
        ({"no-tool": "sha256sum"}, Health.FAIL, "has no sha256sum"),
        ({"preview_root": "not-writable"}, Health.FAIL, "preview_root /opt/pps is not writable"),
        ({"preview_root": "full"}, Health.FAIL, "raise the quota of ppsadm"),
        ({"tag_dir": "not-writable"}, Health.FAIL, "without tags no job finds"),
        ({"production_root": "missing"}, Health.FAIL, "Correct production_root"),
        ({"production_root": "not-readable"}, Health.FAIL, "production_root /opt/glite is not readable"),
        ({"profile_d": "missing"}, Health.WARN, "inherit no local settings"),
        ({"free_kib": "2048"}, Health.WARN, "only 2 MiB are free"),
        ({"clock": str(int(NOW.timestamp()) + 3600)}, Health.WARN, "3600 s ahead"),
        ({"clock": str(int((NOW - timedelta(hours=1)).timestamp()))}, Health.WARN, "3600 s behind"),
    ],
)
def test_each_complaint_says_what_to_do(changes: dict[str, str], health: Health, part: str) -> None:
    (finding,) = findings_at(a_site(), said(**changes), NOW)
    assert finding.health is health
    assert part in f"{finding.text} {finding.next_step}"
    assert finding.next_step


@pytest.mark.parametrize("lines", [[], GOOD[:-1], GOOD[1:], ["\ufffd" * 50], ["site-check 2", "end 1"]])
def test_a_site_that_says_something_else_has_failed(lines: list[str]) -> None:
    (finding,) = findings_at(a_site(), lines, NOW)
    assert finding.health is Health.FAIL


def test_missing_numbers_are_no_complaint() -> None:
    (finding,) = findings_at(a_site(), said(free_kib="unknown", clock="?"), NOW)
    assert finding.health is Health.OK


class Channel:
    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = iter(lines)

    async def read_line(self) -> str | None:
        return next(self._lines, None)

    async def finish(self) -> int:
        return 0


class Shell:
    """Answers by site; counts how many conversations run at once."""

    def __init__(self, answers: dict[str, object]) -> None:
        self.answers, self.now, self.most = answers, 0, 0

    @asynccontextmanager
    async def open(
        self, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits
    ) -> AsyncIterator[Channel]:
        answer = self.answers.get(target.site, GOOD)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        try:
            if isinstance(answer, Exception):
                raise answer
            yield Channel(answer)
        finally:
            self.now -= 1


def test_a_bad_site_spoils_no_other_and_the_order_stays() -> None:
    names = [f"S{n}" for n in range(30)]
    shell = Shell(
        {
            "S3": SiteUnreachableError("S3", "no answer on port 22 in 20 s."),
            "S7": HostKeyError("S7", "shows another key."),
        }
    )
    pairs = [(a_site(n), SshTarget(n, "h", 22, "u", "k")) for n in names]
    found = asyncio.run(diagnose_sites(pairs, shell, SiteLimits(), NOW, at_once=5, tag_vo="ops"))
    assert [f.subject for f in found] == names
    assert {f.subject for f in found if f.health is Health.FAIL} == {"S3", "S7"}
    assert "admin@s3.example.org" in found[3].next_step
    assert "by another way than this connection" in found[7].next_step
    assert shell.most == 5


# --- the script itself, in real shells

SHELLS = [name for name in ("dash", "bash", "busybox", "toybox") if shutil.which(name)]


def run(path: str, folder: Path, *, shell: Sequence[str] = ("/bin/sh",), **kwargs: object) -> dict[str, str]:
    roots = [str(folder / name) for name in ("preview", "production", "profile.d", "tags")]
    result = subprocess.run(
        [*shell, "-s", "--", *roots, "ce.example.org", "ops"],
        **{"input": site_check_script(), "capture_output": True, "text": True, "check": True, "env": {"PATH": path}},
        **kwargs,
    )
    assert result.stderr == ""
    return dict(line.split(" ", 1) for line in result.stdout.splitlines() if not line.startswith("tool "))


@pytest.fixture
def home(open_folder: Path) -> Path:
    for name in ("preview", "production", "profile.d", "tags"):
        (open_folder / name).mkdir()
    return open_folder


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_finds_a_good_site_good_and_leaves_nothing_behind(
    shell: str, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = sorted(home.rglob("*"))
    values = run(kept_sh(shell), home)
    assert values["preview_root"] == values["tag_dir"] == "writable"
    assert values["production_root"] == values["profile_d"] == "readable"
    assert values["free_kib"].isdecimal()
    assert values["site-check"] == values["end"] == "1"
    assert "no-tool" not in values
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("shell", SHELLS)
def test_missing_folders_are_told_apart(shell: str, home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (home / "preview").rmdir()
    (home / "production").rmdir()
    values = run(kept_sh(shell), home)
    assert values["preview_root"] == "to-be-made"
    assert values["production_root"] == "missing"
    assert not (home / "preview").exists()


def test_folders_of_somebody_else_are_not_writable(home: Path) -> None:
    (home / "production").chmod(0)
    for name in ("preview", "tags"):
        (home / name).chmod(0o555)
    nobody = {"user": pwd.getpwnam("nobody").pw_uid, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        values = run(os.environ["PATH"], home, **nobody)
    finally:
        (home / "production").chmod(0o755)
    assert values["preview_root"] == values["tag_dir"] == "not-writable"
    assert values["production_root"] == "not-readable"


def test_a_quota_that_is_used_up_is_seen(home: Path) -> None:
    # a limit on the size of files fails the same write as a quota does
    shell = ["/bin/sh", "-c", "trap '' XFSZ; ulimit -f 8; exec /bin/sh \"$@\"", "sh"]
    values = run(os.environ["PATH"], home, shell=shell)
    assert values["preview_root"] == "full"
    assert not list((home / "preview").iterdir())


def test_a_tool_that_is_missing_is_named(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    tools = tmp_path_factory.mktemp("tools")
    path = make_sh(tools, "dash")
    (tools / "sha256sum").unlink()
    assert run(path, home)["no-tool"] == "sha256sum"


def test_a_preview_root_that_others_may_write_fails_with_what_to_do(home: Path) -> None:
    (home / "preview").chmod(0o1777)
    values = run(os.environ["PATH"], home)
    (finding,) = findings_at(
        a_site(), [*GOOD[:-1], f"preview_root_unsafe {values['preview_root_unsafe']}", GOOD[-1]], NOW
    )
    assert finding.health is Health.FAIL
    assert f"everybody may write to {home / 'preview'} (drwxrwxrwt): chmod o-w" in finding.text
    assert finding.next_step == "Ask admin@pic.example.org to do that; until then nothing is installed there."
