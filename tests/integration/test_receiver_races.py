"""The receiver against another account of the same machine, which acts at the very instants that matter.

Some of the receiver's tools wait, each time, until the other account has tried everything; no round is luck.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.test_receiver import AtSite, payload
from tests.support.local_shell import make_sh
from tests.support.previews import SMALL, FolderArtefacts, artefacts_in

from pps.activities.ports.packages import Tarball

pytestmark = [pytest.mark.needs("root", "shells"), pytest.mark.usefixtures("usual_umask")]

OURS, OTHER = 65534, 1
#: One that lies where also other accounts may look.
EVERYBODYS_PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
EVIL = b"#!/bin/sh\necho evil\n"

#: Before and after, the tool is the real one. It waits ten seconds at most, should the other account die.
WAITING = """#!/bin/sh
n=0
: >{meet}/now.{tool}.$$
while ! [ -e {meet}/done.{tool}.$$ ] && [ $n -lt 1000 ]; do n=$((n + 1)); /bin/sleep 0.01; done
/bin/rm -f {meet}/now.{tool}.$$ {meet}/done.{tool}.$$
exec /bin/{tool} "$@"
"""

#: What the other account does whenever a tool waits, until `over` is there. A try that is not allowed is no error.
ATTACKER = """
import contextlib, os, pathlib, shutil, sys, time

root, name, evil, meet, private = map(pathlib.Path, sys.argv[1:6])
way = sys.argv[6]
os.umask(0)
away = 0

def swap(path, make):
    global away
    away += 1
    with contextlib.suppress(FileNotFoundError):
        path.rename(path.with_name(f".away.{away}"))
    make(path)
    with (meet / "swapped").open("a") as log:
        log.write(f"{path}\\n")

def evil_stage(stage):
    stage.mkdir()
    shutil.copytree(evil, stage / ".pps-new", symlinks=True)
    (stage / ".pps-new").chmod(0o777)

def evil_pps(pps):
    pps.mkdir()
    for n in range(1, 4):
        evil_stage(pps / f"stage.{n}")
    (pps / "lock.1").symlink_to("x")

def tries(tool):
    yield lambda: swap(root, lambda path: path.mkdir()) if not root.exists() else None
    if tool == "sync":
        for stage in [*(root / ".pps").glob("stage.*")]:
            yield lambda: swap(stage, evil_stage)
    if way == "link":
        yield lambda: swap(root / ".pps", lambda path: path.symlink_to(private))
    elif tool == "sync" and not os.access(root / ".pps", os.W_OK):
        yield lambda: swap(root / ".pps", evil_pps)
    if (root / name).exists():
        yield lambda: swap(root / name, lambda path: path.symlink_to(private))
    yield lambda: (private / "notes").read_text() and (meet / "swapped").write_text("read")

print("ready", flush=True)
while not (meet / "over").exists():
    for waiting in meet.glob("now.*"):
        for attempt in tries(waiting.name.split(".")[1]):
            with contextlib.suppress(OSError):
                attempt()
        with (meet / "tried").open("a") as log:
            log.write("x")
        waiting.with_name(waiting.name.replace("now", "done")).touch()
    time.sleep(0.002)
"""


@dataclass
class Arena:
    """A site of the account OURS, with tools that wait, and the other account beside it."""

    folder: Path
    site: AtSite
    store: FolderArtefacts
    tarball: Tarball
    meet: Path
    private: Path

    @contextmanager
    def attacked(self, way: str = "folder") -> Iterator[None]:
        evil = self.folder / "evil"
        (evil / "bin").mkdir(parents=True)
        (evil / "bin/tool").write_bytes(EVIL)
        (evil / "bin/tool").chmod(0o755)
        (evil / ".pps-ok").write_text(f"{self.tarball.digest}\n")
        (evil / ".pps-site").write_text("/etc/profile.d\n")
        shutil.copy(self.store.local(self.tarball.name, "MANIFEST"), evil / "MANIFEST")
        where = [str(p) for p in (self.site.root, self.tarball.name, evil, self.meet, self.private)]
        command = [*as_account(OTHER), EVERYBODYS_PYTHON, "-I", "-c", ATTACKER, *where, way]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attacker:
            try:
                assert attacker.stdout is not None and attacker.stdout.readline() == "ready\n"
                yield
            finally:
                (self.meet / "over").touch()
                assert attacker.wait(20) == 0

    def told(self, what: str) -> str:
        path = self.meet / what
        return path.read_text() if path.exists() else ""

    def foreign(self) -> list[Path]:
        """What in the preview's place is not what was sent, or belongs to somebody else."""
        tree = self.site.root / self.tarball.name
        below = [p for p in (tree, *tree.rglob("*")) if os.path.lexists(p)]
        return [p for p in below if p.lstat().st_uid != OURS or (p.is_file() and p.read_bytes() == EVIL)]

    def content(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.private)): p.read_bytes() for p in self.private.rglob("*") if p.is_file()}


def as_account(number: int) -> list[str]:
    return ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups"]


@pytest.fixture(params=["dash", "bash"])
def arena(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Arena]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        meet, private, tools = folder / "meet", folder / "private", folder / "tools"
        meet.mkdir()
        meet.chmod(0o777)
        (private / "stage.5").mkdir(parents=True)
        for file in ("notes", "stage.5/work", "lock.9.db"):
            (private / file).write_text("ours alone")
        for path in (private, *private.rglob("*")):
            os.chown(path, OURS, OURS)
        private.chmod(0o700)
        path = make_sh(tools, request.param)
        for tool in ("tar", "sync", "mv", "mkdir", "rm", "date"):
            (tools / tool).unlink()
            (tools / tool).write_text(WAITING.format(meet=meet, tool=tool))
            (tools / tool).chmod(0o755)
        (folder / "site").mkdir()
        site = AtSite(folder / "site", path, as_user=" ".join(as_account(OURS)))
        store = artefacts_in(tmp_path / "store")
        yield Arena(folder, site, store, store.make(SMALL, "1.0"), meet, private)


def owned(path: Path, owner: int, group: int, mode: int) -> None:
    path.mkdir(exist_ok=True)
    os.chown(path, owner, group)
    path.chmod(mode)


def made_first(root: Path) -> None:
    owned(root, OURS, OURS, 0o1777)
    owned(root / ".pps", OTHER, OTHER, 0o777)


#: In whose hands the folder is: in these our account must not write at all.
SHARED: dict[str, Callable[[Path], None]] = {
    "everybody's": lambda root: owned(root, OURS, OURS, 0o777),
    "everybody's and sticky, .pps made by the other": made_first,
    "a group's": lambda root: owned(root, OURS, OTHER, 0o775),
    "the other's": lambda root: owned(root, OTHER, OTHER, 0o777),
    "below everybody's": lambda root: (owned(root.parent, OURS, OURS, 0o777), owned(root, OURS, OURS, 0o755)),  # type: ignore[dict-item,return-value]
    "not there yet, below everybody's and sticky": lambda root: owned(root.parent, OURS, OURS, 0o1777),
}
ALONE: dict[str, Callable[[Path], None]] = {
    "ours": lambda root: owned(root, OURS, OURS, 0o755),
    "ours, below everybody's and sticky": lambda root: (  # type: ignore[dict-item,return-value]
        owned(root.parent, 0, 0, 0o1777),
        owned(root, OURS, OURS, 0o755),
    ),
}


@pytest.mark.parametrize("whose", SHARED)
def test_who_may_write_to_the_folder_gets_nothing_installed_whatever_is_swapped_when(arena: Arena, whose: str) -> None:
    SHARED[whose](arena.site.root)
    before = arena.content()

    with arena.attacked():
        said = arena.site.install(arena.tarball, payload(arena.store, arena.tarball))[-1]

    assert said.startswith("PPS-REFUSE unsafe "), said
    assert not os.path.lexists(arena.site.root / arena.tarball.name)
    assert arena.content() == before and arena.told("swapped") != "read"
    mine = [
        p for p in arena.folder.glob("site/**/*") if p.name not in ("previews", ".pps") and p.lstat().st_uid == OURS
    ]
    assert mine == [], "nothing of ours is written there"


@pytest.mark.parametrize("whose", ALONE)
def test_in_a_folder_that_is_ours_alone_the_other_can_swap_nothing_and_the_preview_is_whole(
    arena: Arena, whose: str
) -> None:
    ALONE[whose](arena.site.root)

    with arena.attacked():
        said = arena.site.install(arena.tarball, payload(arena.store, arena.tarball))[-1]
        looked = arena.site.look(arena.tarball)

    assert (said, looked) == (f"PPS-INSTALLED {arena.tarball.name}", "PPS-LOOK intact")
    assert len(arena.told("tried")) >= 5, "the other was at work at each instant"
    assert (arena.told("swapped"), arena.foreign()) == ("", [])


@pytest.mark.parametrize("way", ["folder", "link"])
@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_a_removal_deletes_nothing_of_ours_elsewhere_and_says_no_more_than_what_is_so(
    arena: Arena, mode: int, way: str
) -> None:
    owned(arena.site.root, OURS, OURS, 0o755)
    quick = AtSite(arena.site.folder, as_user=arena.site.as_user)
    assert quick.install(arena.tarball, payload(arena.store, arena.tarball))[-1].startswith("PPS-INSTALLED")
    arena.site.root.chmod(mode)
    before = arena.content()

    with arena.attacked(way):
        said = arena.site.run("remove", arena.tarball.name, str(arena.site.root)).stdout.decode().splitlines()[-1]

    assert arena.content() == before
    if mode == 0o755:
        assert (said, arena.told("swapped")) == (f"PPS-REMOVED {arena.tarball.name}", "")
    if said.startswith("PPS-REMOVED"):
        assert not os.path.lexists(arena.site.root / arena.tarball.name)
