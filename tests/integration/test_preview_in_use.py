"""A preview survives being used: probe, receiver and night have one opinion of what is damage and what is use."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.test_receiver import AtSite, payload
from tests.support.local_shell import LocalShell, kept_sh, target_of
from tests.support.preview import Preview, install_preview, make_site
from tests.support.previews import SMALL, artefacts_in

from pps.activities.clients.probing import probe_site
from pps.activities.ports.sites import SiteLimits
from pps.activities.sites.receiver import Holding, How, Receiver
from pps.domain.sites.probes import ProbeState

pytestmark = pytest.mark.usefixtures("usual_umask")


@pytest.fixture(params=["dash", "busybox", "toybox"])
def path(request: pytest.FixtureRequest) -> str:
    return kept_sh(request.param)


def with_python(tree: Path) -> None:
    for name in ("lib/python/grid", "lib/python/grid/__pycache__"):
        (tree / name).mkdir(parents=True)
    (tree / "lib/python/grid/__init__.py").write_text("import grid.work\n")
    (tree / "lib/python/grid/work.py").write_text("print('worked')\n")
    # as an RPM ships it: of a source that was younger, so Python writes it anew
    (tree / "lib/python/grid/__pycache__" / f"work.{sys.implementation.cache_tag}.pyc").write_bytes(b"stale")
    (tree / "bin/grid-work").write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[0] += '/../lib/python'\nimport grid\n"
    )
    (tree / "bin/grid-work").chmod(0o755)


def run_python(tree: Path) -> None:
    """As its owner does, with nothing that keeps byte code away."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")}
    said = subprocess.run([tree / "bin/grid-work"], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout == "worked\n"
    assert len(list((tree / "lib/python/grid/__pycache__").glob("*.pyc"))) == 2
    assert b"stale" not in [p.read_bytes() for p in tree.rglob("*.pyc")]


def leave(*names: str) -> Callable[[Path], object]:
    def act(tree: Path) -> None:
        for name in names:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text("x")

    return act


def what_they_say(preview: Preview, path: str) -> tuple[ProbeState, Holding, str]:
    """The tree probe, and the look of the night."""
    shell, site = LocalShell(path), preview.site
    probed = asyncio.run(
        probe_site(
            *(site, preview.tarball, "-"),
            **{"target": target_of(site.name), "shell": shell, "limits": SiteLimits(), "probe_s": 8},
        )
    )
    held, why = asyncio.run(Receiver(shell, target_of(site.name), site, SiteLimits()).look_at(preview.tarball))
    return next(r.state for r in probed if r.probe == "tree"), held, why


USE = {
    "python": run_python,
    "python without its shipped byte code": lambda tree: next(tree.rglob("*.pyc")).unlink(),
    "crash": leave("core", "bin/core.4711", "lib/core.gfal-ls.4711", "vgcore.12", "hs_err_pid12.log"),
    "network file system": leave("lib/.nfs0000000001a2b3c400000002", "bin/.fuse_hidden0000000100000002"),
    "editor": leave("share/doc/notes.txt~", "etc/.conf.swp", "etc/profile.d/#grid-env.sh#"),
    "emacs": lambda tree: (tree / "share/.#notes").symlink_to("somebody@host.4711:12"),
    "lock and log": leave("share/.lock", "share/doc/x.lock", "nohup.out", "gfal.log"),
    "a folder of its own": leave("var/results/run.dat"),
}
DAMAGE = {
    "program": lambda tree: (leave("bin/ls")(tree), (tree / "bin/ls").chmod(0o755)),
    "program at the top": lambda tree: (leave("core")(tree), (tree / "core").chmod(0o755)),
    "library": leave("lib/libextra.so.1"),
    "library with a crash's name": leave("lib/core.so.1"),
    "module": leave("lib/python/grid/extra.py"),
    "byte code without its source": leave("lib/python/grid/extra.pyc"),
    "settings": leave("etc/profile.d/extra.sh"),
    "link": lambda tree: (tree / "bin/gfal-cp").symlink_to("gfal-ls"),
    "pipe": lambda tree: os.mkfifo(tree / "share/core"),
    "source": lambda tree: (tree / "lib/python/grid/work.py").write_text("print('changed')\n"),
    "mark that is a link": lambda tree: (
        (tree / ".pps-ok").rename(tree.parent / "elsewhere"),
        (tree / ".pps-ok").symlink_to("../elsewhere"),
    ),
}


@pytest.mark.parametrize("use", USE)
def test_use_is_no_damage_and_nothing_is_withdrawn_or_installed_again(tmp_path: Path, path: str, use: str) -> None:
    preview = install_preview(make_site(tmp_path / "site"), change=with_python)
    (preview.tree / "lib/python/grid/__pycache__").chmod(0o755)

    USE[use](preview.tree)

    assert what_they_say(preview, path) == (ProbeState.OK, Holding.INTACT, "")
    there = Receiver(LocalShell(path), target_of(preview.site.name), preview.site, SiteLimits())

    async def never(held: object) -> tuple[Path, None]:
        raise AssertionError("it wants to install again")

    assert asyncio.run(there.install(preview.tarball, never, thoroughly=True)).how is How.ALREADY


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_nobody_shipped_and_could_be_run_is_damage_for_all(tmp_path: Path, path: str, damage: str) -> None:
    preview = install_preview(make_site(tmp_path / "site"), change=with_python)

    DAMAGE[damage](preview.tree)

    state, held, why = what_they_say(preview, path)
    assert (state, held) == (ProbeState.CRITICAL, Holding.DAMAGED) and why


def test_a_used_preview_is_built_upon_and_removed(tmp_path: Path, path: str) -> None:
    store, site = artefacts_in(tmp_path / "store"), AtSite(tmp_path / "site", path)
    old, new = store.make(SMALL, "1.0"), store.make({**SMALL, "bin/tool": b"3"}, "1.1")
    site.install(old, payload(store, old))
    leave("lib/__pycache__/x.cpython-311.pyc", "core.12", "lib/.nfs00000000001")(site.root / old.name)

    assert site.install(new, payload(store, new, old), old.name)[-1] == f"PPS-INSTALLED {new.name}"
    assert not list((site.root / new.name).rglob("*core*")) + list((site.root / new.name).rglob("*.pyc"))
    assert site.run("remove", old.name, str(site.root)).stdout.splitlines()[-1] == f"PPS-REMOVED {old.name}".encode()
    assert site.look(new) == "PPS-LOOK intact" and site.left_behind() == []


@pytest.mark.needs("root")
def test_what_root_left_in_it_is_no_damage_and_a_removal_that_cannot_delete_it_says_so(open_folder: Path) -> None:
    store = artefacts_in(open_folder / "store")
    tarball = store.make(SMALL, "1.0")
    site = AtSite(open_folder / "site", as_user="setpriv --reuid=65534 --regid=65534 --clear-groups")
    site.root.mkdir(parents=True)
    os.chown(site.root, 65534, 65534)
    site.install(tarball, payload(store, tarball))
    cache = site.root / tarball.name / "lib/__pycache__"
    cache.mkdir(mode=0o700)
    (cache / "x.cpython-311.pyc").write_bytes(b"of root")

    assert site.look(tarball) == "PPS-LOOK intact"
    said = site.run("remove", tarball.name, str(site.root)).stdout.decode().splitlines()[-1]

    assert said.startswith(f"PPS-REFUSE io {tarball.name} is out of its place, but what others wrote into it cannot be")
    assert site.look(tarball) == "PPS-LOOK absent"
