"""The look of the night at previews as they are at sites: used by people, damaged, or left by an older receiver."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.test_receiver_races import EVERYBODYS_PYTHON
from tests.support.desks import at_office
from tests.support.local_shell import make_sh
from tests.support.previews import SMALL, Tree
from tests.support.withdrawals import LIMITS, World, world  # noqa: F401

from pps.activities.clients.nightly import Night, plan_another_try, plan_the_night
from pps.activities.sites.script import load_script
from pps.domain.base.errors import RefusedError, TamperedError
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import SiteState
from pps.domain.sites.places import Places

pytestmark = [pytest.mark.needs("shells"), pytest.mark.usefixtures("usual_umask"), pytest.mark.sd("4.1.1", step=2)]

SITE_ACCOUNT = 65534
TAG = "import sys; print(sys.implementation.cache_tag, end='')"
CACHED = f"lib/python/grid/__pycache__/work.{subprocess.check_output([EVERYBODYS_PYTHON, '-c', TAG], text=True)}.pyc"
PYTHON: Tree = {
    **SMALL,
    "bin/grid-work": f"#!{EVERYBODYS_PYTHON}\nimport sys\nsys.path[0] += '/../lib/python'\nimport grid.work\n".encode(),
    "lib/python/grid/__init__.py": b"",
    "lib/python/grid/work.py": b"import more\nprint('worked')\n",
    "lib/python/more.py": b"",
    CACHED: b"of a source that was younger",
}


def night_at(world: World) -> Night:
    given = world.services
    return Night(
        *(
            at_office(given.facts, clock=lambda: world.clock, actor="airflow"),
            world.sites,
            world.targets,
            world.shell,
            given.artefacts,
            given.information_system,
        ),
        *(LIMITS, Places(4)),
    )


def night(world: World) -> list[dict[str, str]]:
    return asyncio.run(plan_the_night(night_at(world)))


def another_try(world: World, name: str, *sites: str, run: str = "retry_sites/1") -> list[dict[str, str]]:
    return asyncio.run(plan_another_try(night_at(world), name, sites, run))


def out(world: World, tree: Tree) -> str:
    """A preview at all sites whose distribution has ended: from here on the nights keep it there."""
    name = world.out(tree, "1.0")
    due = world.clock + timedelta(weeks=2)
    world.facts.record(world.fact(name, FactKind.FEEDBACK_DATE_AGREED, due=due.isoformat()))
    return name


def verbs(world: World) -> set[str]:
    """What was asked of the sites since."""
    asked = {arguments[0] for _, arguments in world.shell.runs}
    world.shell.runs.clear()
    return asked


def tree_at(world: World, name: str, site: str) -> Path:
    return Path(world.sites[site].preview_root) / world.tarball(name)


def run_program(tree: Path, umask: int, *account: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [*account, "/bin/sh", "-c", f"umask {umask:03o}; exec {tree}/bin/grid-work"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd="/")
    assert said.stdout == "worked\n"


@pytest.fixture
def tmp_path(open_folder: Path) -> Path:
    return open_folder


@pytest.fixture
def theirs(world: World, tmp_path: Path) -> World:
    """Sites whose account is another one than root: all that is installed there belongs to it."""
    tools = tmp_path / "tools"
    make_sh(tools, "dash")
    (tools / "sh").unlink()
    as_account = f"setpriv --reuid={SITE_ACCOUNT} --regid={SITE_ACCOUNT} --clear-groups"
    (tools / "sh").write_text(
        f'#!/bin/dash\n[ "$(id -u)" != 0 ] || exec {as_account} /bin/dash "$@"\nexec /bin/dash "$@"\n'
    )
    (tools / "sh").chmod(0o755)
    world.shell.path = str(tools)
    for site in world.sites.values():
        above = Path(site.preview_root).parent
        for path in (above, *above.rglob("*")):
            os.chown(path, SITE_ACCOUNT, SITE_ACCOUNT)
    return world


@pytest.mark.needs("root")
def test_a_preview_that_its_owner_and_root_use_is_available_night_after_night(theirs: World) -> None:
    world = theirs
    name = out(world, PYTHON)
    trees = {site: tree_at(world, name, site) for site in "ABC"}
    assert {tree.stat().st_uid for tree in trees.values()} == {SITE_ACCOUNT}
    before = world.record(name).facts
    verbs(world)

    run_program(trees["A"], 0o022)
    (trees["B"] / CACHED).parent.chmod(0o755)
    (trees["B"] / CACHED).unlink()
    run_program(trees["B"], 0o077)
    own = f"setpriv --reuid={SITE_ACCOUNT} --regid={SITE_ACCOUNT} --clear-groups".split()
    run_program(trees["C"], 0o022, *own)
    for left in ("core.4711", "lib/.nfs0000000001a2b3c400000002"):
        (trees["C"] / left).write_text("x")
    written = {site: tree / CACHED for site, tree in trees.items()}
    assert [len(list((tree / "lib/python/__pycache__").iterdir())) for tree in trees.values()] == [1, 1, 1]
    assert [p.read_bytes() == PYTHON[CACHED] for p in written.values()] == [False] * 3
    assert [(p.stat().st_uid, p.stat().st_mode & 0o77) for p in written.values()] == [
        (0, 0o44),
        (0, 0),
        (SITE_ACCOUNT, 0o44),
    ]

    for _ in range(3):
        assert night(world) == []
        world.clock += timedelta(days=1)

    assert verbs(world) == {"look"}, "nothing is installed again, and no list of tags is touched"
    assert world.record(name).facts == before
    assert world.states(name) == [SiteState.AVAILABLE] * 3 and world.tags_at(name) == "ABC"


@pytest.mark.needs("root")
def test_a_used_preview_that_is_damaged_as_well_is_mended_there_and_nowhere_else(theirs: World) -> None:
    world = theirs
    name = out(world, PYTHON)
    for site in "ABC":
        run_program(tree_at(world, name, site), 0o022)
    (tree_at(world, name, "B") / "lib/libtool.so.1").write_bytes(b"LIBRARY" * 1000)

    (planned,) = night(world)

    assert world.of(name, FactKind.NIGHT_PLANNED)[-1].payload["sites"] == ["B"]
    assert [f.subject for f in world.of(name, FactKind.PREVIEW_LOST)] == ["B"]
    assert "lib/libtool.so.1 has another content" in world.of(name, FactKind.PREVIEW_LOST)[0].payload["reason"]
    assert world.tags_at(name) == "AC", "no job goes there meanwhile"
    used = {site: (tree_at(world, name, site) / CACHED).stat().st_ino for site in "AC"}

    asyncio.run(world.distribute(name, "B"))

    assert planned["rollout"] == name
    assert (tree_at(world, name, "B") / "lib/libtool.so.1").read_bytes() == PYTHON["lib/libtool.so.1"]
    assert used == {site: (tree_at(world, name, site) / CACHED).stat().st_ino for site in "AC"}


def as_an_older_receiver_left_it(root: Path, *, killed: bool) -> None:
    """Its .pps was open to be read; its locks did not say when their owner began; killed, it left its stage."""
    pps = root / ".pps"
    pps.chmod(0o755)
    for path in pps.iterdir():
        path.unlink()
    ended = subprocess.Popen(["true"])
    ended.wait()
    (pps / "lock.7").symlink_to(f"{os.uname().nodename}:{ended.pid}:{int(time.time()) + 3000}")
    if not killed:
        (pps / "free.7").symlink_to("done")
        return
    base = next(p.name for p in root.iterdir() if p.name != ".pps")
    (pps / "stage.7/.pps-new/lib").mkdir(parents=True)
    (pps / "stage.7/base").symlink_to(f"../../{base}")
    (pps / "stage.7/.pps-new/lib/libtool.so.1").hardlink_to(root / base / "lib/libtool.so.1")
    (pps / "stage.7/.pps-new/lib").chmod(0o555)


@pytest.mark.parametrize("killed", [False, True])
def test_previews_of_an_older_receiver_are_looked_at_built_upon_and_withdrawn(world: World, killed: bool) -> None:
    """As it left them at a folder that is ours, and (C) at one where others may write, which it did not mind."""
    assert "$(started $$):$$:" in load_script("receiver.sh"), "locks say more than the older one's, below"
    name = out(world, SMALL)
    roots = {site: Path(world.sites[site].preview_root) for site in "ABC"}
    for root in roots.values():
        as_an_older_receiver_left_it(root, killed=killed)
    roots["C"].chmod(0o1777)
    before = world.record(name).facts
    verbs(world)

    assert night(world) == []
    assert verbs(world) == {"look"} and world.record(name).facts == before
    assert [world.looks(name, site) for site in "ABC"] == ["intact"] * 3

    newer = world.out({**SMALL, "bin/tool": b"3"}, "1.1", patch=4712, sites="AB")
    assert {f.payload["how"] for f in world.of(newer, FactKind.PREVIEW_INSTALLED)} == {"delta"}

    world.withdraws(name)

    assert (world.at_sites(name), world.tags_at(name)) == ("", "")
    assert [world.looks(newer, site) for site in "AB"] == ["intact"] * 2
    left = {p.name.split(".")[0] for root in roots.values() for p in (root / ".pps").iterdir()}
    assert left <= {"lock", "free"} and not [p for p in roots["C"].iterdir() if p.name != ".pps"]


def test_somebody_has_failed_sites_tried_again_by_the_rules_of_a_night_and_the_same_run_twice_plans_once(
    world: World,
) -> None:
    name = out(world, SMALL)
    world.facts.record(
        *(world.fact(name, FactKind.SITE_FAILED, site, reason=f"{site}: no room.", step="distribute") for site in "BC")
    )
    shutil.rmtree(tree_at(world, name, "C"))
    verbs(world)

    assert another_try(world, name) == [{"rollout": name, "batch": "retry-1"}]

    assert world.record(name).batch("retry-1") == ("B", "C")
    assert {site for site, _ in world.shell.runs} == {"B", "C"}, "A is fine, and not asked"
    assert verbs(world) == {"look", "remove"}, "the tag goes where the preview is gone"
    assert world.tags_at(name) == "AB"
    assert [f.subject for f in world.of(name, FactKind.PREVIEW_LOST)] == ["C"]
    before = world.record(name).facts
    assert another_try(world, name) == [{"rollout": name, "batch": "retry-1"}]
    assert world.record(name).facts == before and verbs(world) == set()
    assert another_try(world, name, "C", run="retry_sites/2") == [{"rollout": name, "batch": "retry-2"}]
    assert world.record(name).batch("retry-2") == ("C",)
    assert world.record(name).reached_sites == ("A", "B", "C")


def test_a_night_leaves_a_paused_preview_alone_and_makes_up_for_it_when_it_goes_on(world: World) -> None:
    name = out(world, SMALL)
    shutil.rmtree(tree_at(world, name, "C"))
    world.facts.record(world.fact(name, FactKind.ROLLOUT_PAUSED, reason="We look into the logs."))
    verbs(world)
    assert night(world) == []
    assert verbs(world) == set(), "no site is even asked"
    with pytest.raises(RefusedError, match=r"It is paused\. We look into the logs\."):
        another_try(world, name)
    world.facts.record(world.fact(name, FactKind.ROLLOUT_RESUMED, reason="It was the site."))
    (planned,) = night(world)
    assert world.record(name).batch(planned["batch"]) == ("C",)


def test_nothing_is_tried_again_that_is_fine_was_withdrawn_or_is_not_what_was_built(world: World) -> None:
    name = out(world, SMALL)
    world.facts.record(world.fact(name, FactKind.SITE_FAILED, "B", reason="B: no room.", step="distribute"))
    with pytest.raises(RefusedError, match="A has the preview, and it is available"):
        another_try(world, name, "A", "B")
    tarball = world.artefacts.tarballs[world.tarball(name)]
    kept = world.artefacts.local(tarball.name, next(n for n in tarball.files if n.endswith(".tar.gz")))
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + b"x")
    with pytest.raises(TamperedError):
        another_try(world, name)
    kept.write_bytes(whole)
    world.asks(name)
    with pytest.raises(RefusedError, match="was withdrawn"):
        another_try(world, name)
    assert world.of(name, FactKind.RETRY_PLANNED) == []
