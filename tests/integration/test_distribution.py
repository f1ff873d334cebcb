"""Distribution to real SSH servers: every outcome is a fact, and a bad site harms no other (SD 4.1.1, step 2)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout
from tests.support.chaos_proxy import chaos_proxy
from tests.support.desks import at_desk
from tests.support.previews import SMALL, FactsInMemory, artefacts_in
from tests.support.sshd import SshServer, login_through, new_key, public_key, running_sshd, sshd  # noqa: F401

from pps.activities.clients.distribution import SiteOutcome, distribute, look
from pps.activities.ports.packages import Tarball
from pps.activities.ports.sites import SiteLimits, SshTarget
from pps.activities.sites.batch import Door
from pps.activities.sites.receiver import Holding, How, Receiver
from pps.adapters.sites.ssh_asyncssh import AsyncsshShell
from pps.adapters.sites.ssh_openssh import OpenSshShell
from pps.domain.base.errors import PackageError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.site_states import SiteState
from pps.domain.record.wishes import RECORD
from pps.domain.sites.places import Places
from pps.domain.sites.site import Site

pytestmark = [pytest.mark.needs("openssh"), pytest.mark.sd("4.1.1", step=2)]
LIMITS = SiteLimits(connect_s=15, silence_s=15, total_s=60)
NOON = datetime(2007, 11, 21, 12, tzinfo=UTC)


class World:
    """A store of tarballs, facts, and sites of one server."""

    def __init__(self, tmp_path: Path, server: SshServer) -> None:
        self.store = artefacts_in(tmp_path / "store")
        self.facts = FactsInMemory()
        self.cache = tmp_path / "cache"
        self.server = replace(server, folder=tmp_path / "sites")

    def sites(self, *names: str) -> list[Site]:
        return [self.server.site(n) for n in names]

    def targets(self, sites: Sequence[Site], **changes: object) -> dict[str, SshTarget]:
        return {s.name: self.server.target(s.name, **changes) for s in sites}

    def door(self, targets: Mapping[str, SshTarget]) -> Door:
        return Door(targets, OpenSshShell(), LIMITS, Places(10), "run-1", "test")

    def distribute(
        self, tarball: Tarball, sites: Sequence[Site], targets: Mapping[str, SshTarget] | None = None, **changes: object
    ) -> tuple[SiteOutcome, ...]:
        progress = {"progress": changes.pop("progress")} if "progress" in changes else {}
        door = replace(self.door(self.targets(sites) if targets is None else targets), **changes)  # type: ignore[arg-type]
        self.put_on_record(tarball)
        return asyncio.run(
            distribute(
                at_desk(self.facts.rollout(), self.facts, clock=lambda: NOON),
                tarball,
                sites,
                door,
                artefacts=self.store,
                cache=self.cache,
                **progress,
            )
        )

    def put_on_record(self, tarball: Tarball) -> None:
        payload = {"name": tarball.name, "digest": tarball.digest, "files": dict(tarball.files)}
        name = self.facts.name
        self.facts.record(Fact(name, FactKind.TARBALL_BUILT, "", tarball.name, NOON, "test", payload))

    def look(self, tarball: Tarball, sites: Sequence[Site], **changes: object) -> list[Holding]:
        found = asyncio.run(look(tarball, sites, self.door(self.targets(sites, **changes))))
        return [found[s.name][0] for s in sites]

    def states(self, sites: Sequence[Site]) -> list[SiteState]:
        return [self.facts.rollout().progress(s.name).state for s in sites]


@pytest.fixture
def world(tmp_path: Path, sshd: SshServer) -> World:
    return World(tmp_path, sshd)


def test_a_tarball_reaches_all_sites_and_each_is_a_fact(world: World) -> None:
    tarball = world.store.make(SMALL, "1.0")
    sites = world.sites("A", "B", "C")
    seen: list[SiteOutcome] = []

    outcomes = world.distribute(tarball, sites, progress=seen.append)

    assert [o.receipt and o.receipt.how for o in outcomes] == [How.FULL] * 3
    assert {o.site for o in seen} == {s.name for s in sites}
    assert world.look(tarball, sites) == [Holding.INTACT] * 3
    facts = world.facts.of(FactKind.PREVIEW_INSTALLED)
    assert {f.subject for f in facts} == {s.name for s in sites}
    assert all(
        f.payload["tarball"] == tarball.name and f.payload["production_before"].startswith("names:") for f in facts
    )
    assert all(f.payload["bytes"] > 0 and f.occasion == "run-1" and f.at == NOON for f in facts)


def test_a_site_outside_its_window_is_not_even_logged_in_to(world: World) -> None:
    tarball = world.store.make(SMALL, "1.0")
    sites = world.sites("A", "B")
    opened = {"path": "bc-client", "patch": 1, "platforms": [], "metapackage": "client", "version": "1.0"}
    window = {"days": ["sat"], "begins": "08:00", "ends": "18:00"}
    world.facts.record(
        Fact(world.facts.name, FactKind.ROLLOUT_OPENED, "", "", NOON, "test", opened),
        Fact(RECORD, FactKind.SITE_WINDOW_SET, sites[0].name, "1", NOON, "user ana", window),
    )

    first, second = world.distribute(tarball, sites, targets=world.targets(sites[1:]))

    assert "its window opens on Sat 24 Nov 2007, 08:00" in first.put_off and first.error is None, "no login is needed"
    assert second.receipt is not None
    assert world.states(sites) == [SiteState.PLANNED, SiteState.INSTALLED]
    assert world.look(tarball, sites) == [Holding.ABSENT, Holding.INTACT]


def test_it_works_without_an_openssh_client(world: World) -> None:
    tarball = world.store.make({**SMALL, "bin/big": os.urandom(3_000_000)}, "1.0")
    sites = world.sites("A", "B")

    outcomes = world.distribute(tarball, sites, shell=AsyncsshShell())

    assert [o.receipt and o.receipt.how for o in outcomes] == [How.FULL] * 2
    assert world.look(tarball, sites) == [Holding.INTACT] * 2


def test_a_second_run_only_looks_and_makes_no_fact_even_after_the_tag(world: World) -> None:
    tarball = world.store.make(SMALL, "1.0")
    [site] = world.sites("A")
    world.distribute(tarball, [site])
    world.facts.record(Fact(world.facts.name, FactKind.TAG_SEEN, site.name, "run-1", NOON, "test"))
    before = list(world.facts.facts)

    [outcome] = world.distribute(tarball, [site], occasion="night-2")

    assert outcome.receipt is not None and outcome.receipt.how is How.ALREADY
    assert world.facts.facts == before
    assert world.states([site]) == [SiteState.AVAILABLE]


def test_the_next_version_is_built_upon_the_one_that_is_there(world: World) -> None:
    big = os.urandom(300_000)
    old = world.store.make({**SMALL, "lib/big": big}, "1.0")
    new = world.store.make({**SMALL, "lib/big": big, "bin/tool": b"new"}, "1.1")
    sites = world.sites("A", "B")
    world.distribute(old, sites[:1])

    first, second = world.distribute(new, sites)

    assert first.receipt is not None and first.receipt.how is How.DELTA
    assert first.receipt.bytes_sent < 5000 < 300_000 < second.receipt.bytes_sent  # type: ignore[union-attr]
    assert world.look(new, sites) == [Holding.INTACT] * 2


def test_the_best_of_several_bases_is_chosen(world: World) -> None:
    big, other = os.urandom(300_000), os.urandom(200_000)
    near = world.store.make({"lib/big": big}, "1.0")
    far = world.store.make({"lib/other": other}, "1.1")
    new = world.store.make({"lib/big": big, "lib/other": other}, "1.2")
    [site] = world.sites("A")
    world.distribute(near, [site])
    world.distribute(far, [site])

    [outcome] = world.distribute(new, [site])

    assert outcome.receipt is not None and outcome.receipt.how is How.DELTA
    assert outcome.receipt.bytes_sent < 250_000


def test_a_damaged_base_makes_it_send_everything_once(world: World) -> None:
    old, new = world.store.make(SMALL, "1.0"), world.store.make({**SMALL, "bin/tool": b"new"}, "1.1")
    [site] = world.sites("A")
    world.distribute(old, [site])
    (Path(site.preview_root) / old.name / "lib/libtool.so.1").write_bytes(b"LIBRARY" * 1000)

    [outcome] = world.distribute(new, [site])

    assert outcome.receipt is not None and outcome.receipt.how is How.FULL
    assert world.look(new, [site]) == [Holding.INTACT]
    assert world.look(old, [site]) == [Holding.DAMAGED]


def test_names_of_previews_that_are_not_ours_are_ignored(world: World) -> None:
    tarball = world.store.make(SMALL, "1.0")
    [site] = world.sites("A")
    for name in ("theirs", "..evil", "$(touch x)"):
        folder = Path(site.preview_root) / name
        folder.mkdir(parents=True)
        (folder / ".pps-ok").write_text("../../etc/passwd\n")

    [outcome] = world.distribute(tarball, [site])

    assert outcome.receipt is not None and outcome.receipt.how is How.FULL


def test_a_lost_or_damaged_preview_is_seen_and_comes_back(world: World) -> None:
    tarball = world.store.make(SMALL, "1.0")
    sites = world.sites("A", "B", "C")
    world.distribute(tarball, sites)
    shutil.rmtree(Path(sites[0].preview_root) / tarball.name)
    # Same size: only the content tells.
    (Path(sites[1].preview_root) / tarball.name / "bin/tool").write_bytes(b"#!/bin/sh\necho 9\n")

    assert world.look(tarball, sites) == [Holding.ABSENT, Holding.DAMAGED, Holding.INTACT]
    for site in sites[:2]:
        world.facts.record(Fact(world.facts.name, FactKind.PREVIEW_LOST, site.name, "night-1", NOON, "test"))
    outcomes = world.distribute(tarball, sites, occasion="night-1")

    assert [o.receipt and o.receipt.how for o in outcomes] == [How.FULL, How.FULL, How.ALREADY]
    assert outcomes[1].receipt is not None and "another content" in outcomes[1].receipt.replaced
    assert world.look(tarball, sites) == [Holding.INTACT] * 3
    assert world.states(sites) == [SiteState.INSTALLED] * 3


def test_each_kind_of_bad_site_fails_alone_with_a_reason_and_the_others_go_on(world: World, tmp_path: Path) -> None:
    tarball = world.store.make({**SMALL, "bin/big": os.urandom(500_000)}, "1.0")
    names = ["tarpit", "hang", "closed", "key", "endless", "full", "unlisted", "readonly", "fine", "well"]
    sites = dict(zip(names, world.sites(*names), strict=True))
    limits = SiteLimits(connect_s=6, silence_s=4, total_s=20)
    endless = login_through(tmp_path, "endless.sh", "exec yes")
    small = login_through(tmp_path, "small.sh", 'ulimit -f 200; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"')
    sites["readonly"] = replace(sites["readonly"], preview_root="/proc/previews")
    with ExitStack() as stack:
        server = world.server
        targets = world.targets(list(sites.values()))

        def point(name: str, **changes: object) -> None:
            targets[sites[name].name] = replace(targets[sites[name].name], **changes)  # type: ignore[arg-type]

        point("tarpit", port=stack.enter_context(chaos_proxy(1, tarpit=True)).port)
        point("hang", port=stack.enter_context(chaos_proxy(server.port, hang_at=100_000)).port)
        point("closed", port=1)
        point("key", host_key=public_key(new_key(tmp_path / "other")))
        for name, login in (("endless", endless), ("full", small)):
            other = stack.enter_context(running_sshd(tmp_path / name, force_command=login))
            point(name, port=other.port, host_key=other.host_key, key_file=other.key_file)
        del targets[sites["unlisted"].name]

        began = time.monotonic()
        outcomes = world.distribute(tarball, list(sites.values()), targets, limits=limits)

    assert time.monotonic() - began < 40
    reasons = {o.site: str(o.error) for o in outcomes if o.error}
    assert set(reasons) == set(names) - {"fine", "well"}
    for name, reason in {
        "tarpit": "no answer within 6 s",
        "hang": "nothing moved for 4 s",
        "closed": "Connection refused",
        "key": "shows another host key",
        "endless": "was cut off",
        "full": "quota or disk full",
        "unlisted": "there is no Connection",
        "readonly": "the receiver refused (io)",
    }.items():
        assert reason in reasons[name], reasons[name]
    failed = world.facts.of(FactKind.SITE_FAILED)
    assert {f.subject: f.payload["reason"] for f in failed} == {o.site: str(o.error) for o in outcomes if o.error}
    assert {f.occasion for f in failed} == {"run-1/distribute"} and {f.payload["step"] for f in failed} == {
        "distribute"
    }
    classes = {f.subject: f.payload["error"] for f in failed}
    assert (classes["tarpit"], classes["key"], classes["full"]) == (
        "SiteUnreachableError",
        "HostKeyError",
        "SiteRefusedError",
    )
    assert len(world.facts.of(FactKind.PREVIEW_INSTALLED)) == 2


def test_a_connection_that_breaks_once_is_tried_again(world: World) -> None:
    tarball = world.store.make({**SMALL, "bin/big": os.urandom(500_000)}, "1.0")
    [site] = world.sites("A")
    with chaos_proxy(world.server.port, reset_at=100_000, only_first=True) as proxy:
        [outcome] = world.distribute(tarball, [site], world.targets([site], port=proxy.port))

    assert proxy.connections == 2
    assert outcome.receipt is not None
    assert world.facts.of(FactKind.SITE_FAILED) == []


def test_a_failure_counts_once_in_a_run_and_again_in_the_next(world: World) -> None:
    tarball = world.store.make(SMALL, "1.0")
    [site] = world.sites("A")
    nowhere = world.targets([site], port=1)
    for occasion in ("run-1", "run-1", "night-1"):
        world.distribute(tarball, [site], nowhere, occasion=occasion)

    assert [f.occasion for f in world.facts.of(FactKind.SITE_FAILED)] == ["run-1/distribute", "night-1/distribute"]


def test_a_success_after_a_later_failure_in_the_same_run_is_not_swallowed(world: World) -> None:
    tarball = world.store.make(SMALL, "1.0")
    [site] = world.sites("A")
    world.distribute(tarball, [site])
    world.distribute(tarball, [site], world.targets([site], port=1))
    assert world.states([site]) == [SiteState.FAILED]

    world.distribute(tarball, [site])
    world.distribute(tarball, [site])

    assert world.states([site]) == [SiteState.INSTALLED]
    assert [f.occasion for f in world.facts.of(FactKind.PREVIEW_INSTALLED)] == ["run-1", "run-1.2"]


def test_a_broken_tarball_is_no_sites_fault(world: World) -> None:
    tarball = world.store.make(SMALL, "1.0")
    world.store.local(tarball.name, "client-PPS-1.0.tar.gz").write_bytes(b"broken")

    with pytest.raises(PackageError):
        world.distribute(tarball, world.sites("A", "B"))
    assert {f.kind for f in world.facts.facts} == {FactKind.TARBALL_BUILT}


def test_at_the_end_of_the_tasks_time_the_connections_end_and_the_next_try_converges(world: World) -> None:
    tarball = world.store.make({**SMALL, "bin/big": os.urandom(500_000)}, "1.0")
    [quick] = world.sites("A")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        [slow] = world.sites("B")
        targets = world.targets([quick]) | world.targets([slow], port=silent.getsockname()[1])
        seen: list[str] = []

        def served(outcome: SiteOutcome) -> None:
            seen.append(outcome.site)
            signal.raise_signal(signal.SIGALRM)  # the time is over when the quick site has its preview

        with pytest.raises(AirflowTaskTimeout), timeout(3600):
            world.distribute(tarball, [quick, slow], targets, progress=served)
    assert seen == ["A"]
    assert [p for p in psutil.Process().children(recursive=True) if p.name() == "ssh"] == []
    assert world.states([quick, slow]) == [SiteState.INSTALLED, SiteState.PLANNED], "what is not known is not said"
    world.distribute(tarball, [quick, slow])
    assert world.states([quick, slow]) == [SiteState.INSTALLED] * 2


def test_never_more_sites_at_once_than_agreed(world: World) -> None:
    tarball = world.store.make(SMALL, "1.0")
    sites = world.sites(*"ABCDEFGH")
    open_now, most = 0, 0

    class Counting(OpenSshShell):
        def open(self, *arguments: object) -> object:  # type: ignore[override]
            from contextlib import asynccontextmanager

            @asynccontextmanager
            async def counted():  # type: ignore[no-untyped-def]
                nonlocal open_now, most
                open_now += 1
                most = max(most, open_now)
                try:
                    async with OpenSshShell.open(self, *arguments) as channel:  # type: ignore[arg-type]
                        yield channel
                finally:
                    open_now -= 1

            return counted()

    world.distribute(tarball, sites, shell=Counting(), places=Places(3))

    assert most == 3


def test_two_distributions_at_once_install_once_and_both_end_well(world: World) -> None:
    tarball = world.store.make({**SMALL, "bin/big": os.urandom(2_000_000)}, "1.0")
    sites = world.sites("A", "B", "C")

    async def twice() -> list[tuple[SiteOutcome, ...]]:
        return await asyncio.gather(
            *(
                distribute(
                    at_desk(world.facts.rollout(), world.facts, clock=lambda: NOON),
                    tarball,
                    sites,
                    world.door(world.targets(sites)),
                    artefacts=world.store,
                    cache=world.cache,
                )
                for _ in range(2)
            )
        )

    first, second = asyncio.run(twice())

    assert all(o.receipt for o in first + second)
    assert sum(o.receipt.how is How.FULL for o in first + second if o.receipt) == 3
    assert len(world.facts.of(FactKind.PREVIEW_INSTALLED)) == 3


def test_removing_tells_whether_it_was_there(world: World) -> None:
    tarball = world.store.make(SMALL, "1.0")
    [site] = world.sites("A")
    world.distribute(tarball, [site])
    there = Receiver(OpenSshShell(), world.server.target(site.name), site, LIMITS)

    assert [asyncio.run(there.remove(tarball.name)) for _ in range(2)] == [True, False]
    assert world.look(tarball, [site]) == [Holding.ABSENT]
    assert world.look(tarball, [site], port=1) == [Holding.UNREACHABLE]


def test_a_controller_that_is_killed_leaves_no_part_and_the_rerun_converges(world: World, tmp_path: Path) -> None:
    tarball = world.store.make({**SMALL, "bin/big": os.urandom(20_000_000)}, "1.0")
    sites = world.sites("A", "B", "C", "D")
    world.distribute(tarball, [])  # nothing to do is no error
    program = tmp_path / "controller.py"
    program.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.integration.test_distribution import *\n"
        "server = SshServer(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))\n"
        "world = World(Path(sys.argv[5]), server)\n"
        "[tarball] = [world.store.find(folder.name) for folder in world.store.folder.iterdir()]\n"
        "sites = world.sites('A', 'B', 'C', 'D')\n"
        "world.distribute(tarball, sites, places=Places(2), progress=lambda o: print(o.text, flush=True))\n"
    )
    server = world.server
    arguments = [str(server.folder), str(server.port), server.host_key, str(server.key_file), str(tmp_path)]
    paths = os.pathsep.join(["plugins", ".", *sys.path])
    process = subprocess.Popen(
        [sys.executable, str(program), *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
    )
    assert process.stdout is not None
    assert "full" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert set(world.look(tarball, sites)) <= {Holding.ABSENT, Holding.INTACT}
    deadline = time.monotonic() + 15
    while any(
        o.error for o in world.distribute(tarball, sites)
    ):  # the site notices the broken connection at once, or soon
        assert time.monotonic() < deadline
    assert world.look(tarball, sites) == [Holding.INTACT] * 4
    assert world.states(sites) == [SiteState.INSTALLED] * 4
