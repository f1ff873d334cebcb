"""A rollout at a site with a kit, beside one without: the same activities, and what the kit does not allow is said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.desks import at_desk
from tests.support.previews import SMALL, FactsInMemory, artefacts_in
from tests.support.sshd import running_sshd

from pps.activities.clients.distribution import distribute, look
from pps.activities.clients.probing import probe_site
from pps.activities.clients.publication import manage_tag
from pps.activities.ports.packages import Tarball
from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget
from pps.activities.sites.batch import Door
from pps.activities.sites.diagnosis import Health
from pps.activities.sites.receiver import Holding, How, Receiver
from pps.activities.trust.kit_shell import KitShell
from pps.activities.trust.kit_state import ask_kit, diagnose_kits, findings_of
from pps.activities.trust.papers import SignedPapers
from pps.adapters.sites.ssh_asyncssh import AsyncsshShell
from pps.adapters.sites.ssh_openssh import OpenSshShell
from pps.domain.base.errors import SiteError, SiteRefusedError
from pps.domain.packages.tags import RunTimeEnvironmentTag
from pps.domain.record.facts import Fact, FactKind
from pps.domain.sites.places import Places
from pps.domain.sites.site import Scheme, Site
from pps.domain.trust.signed import Signed
from pps.domain.trust.statement import withdrawal_of
from pps.sandbox.kit import machine as kit_machine
from pps.sandbox.kit.machine import KitMachine
from pps.sandbox.kit.site import WEEK, People, now

pytestmark = pytest.mark.needs("openssh", "openssl", "sudo", "root", "linux")
LIMITS = SiteLimits(connect_s=30, silence_s=30, total_s=120)
NOON = datetime(2007, 11, 21, 12, tzinfo=UTC)
TAG = RunTimeEnvironmentTag("ops", "PPS-CLIENT-1.0")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KitMachine]:
    folder = tmp_path_factory.mktemp("machine")
    people, store = People(folder / "keys", Scheme.SSH), artefacts_in(folder / "artefacts")
    with kit_machine.running(folder / "site", people, store) as machine:
        machine.inside("sh", "/srv/pps-kit/bin/pps-kit-install", check=False)
        machine.inside("chown", "ppskeep", "/srv/tags/ce.example.org/ops")
        yield machine


@pytest.fixture(scope="module")
def signed(machine: KitMachine) -> list[Signed]:
    """What people have signed so far."""
    return []


def shell(machine: KitMachine, signed: list[Signed], way: SiteShell | None = None) -> KitShell:
    current = machine.current(*machine.statements[-1:], issued=now() + timedelta(seconds=len(signed)))
    return KitShell(way or OpenSshShell(), {"SITE-K": SignedPapers((), current, signed)})


def target(machine: KitMachine) -> SshTarget:
    host_key = " ".join((machine.folder / "host_key.pub").read_text().split()[:2])
    return SshTarget("SITE-K", "127.0.0.1", machine.port, "pps", host_key, key_file=machine.folder / "id")


def sign(machine: KitMachine, signed: list[Signed], tarball: Tarball) -> None:
    statement = machine.statement(tarball, tag=str(TAG))
    machine.statements.append(statement)
    signed.append(machine.signed(statement))


def test_both_kinds_of_sites_are_served_in_one_distribution(
    machine: KitMachine, signed: list[Signed], tmp_path: Path
) -> None:
    tarball = machine.store.make(SMALL, "1.0")
    sign(machine, signed, tarball)
    facts = FactsInMemory()
    payload = {"name": tarball.name, "digest": tarball.digest, "files": dict(tarball.files)}
    facts.record(Fact(facts.name, FactKind.TARBALL_BUILT, "", tarball.name, NOON, "test", payload))
    with running_sshd(tmp_path / "plain") as server:
        plain = server.site("PLAIN")
        targets = {"SITE-K": target(machine), "PLAIN": server.target("PLAIN")}
        door = Door(targets, shell(machine, signed), LIMITS, Places(10), "run-1", "test")
        desk = at_desk(facts.rollout(), facts, clock=lambda: NOON)
        sites = [machine.site, plain]
        outcomes = asyncio.run(
            distribute(desk, tarball, sites, door, artefacts=machine.store, cache=tmp_path / "cache")
        )
        assert [o.receipt and o.receipt.how for o in outcomes] == [How.FULL] * 2, outcomes
        held = asyncio.run(look(tarball, sites, door))
        assert [held[s.name][0] for s in sites] == [Holding.INTACT] * 2


def test_it_is_probed_announced_and_looked_at(machine: KitMachine, signed: list[Signed]) -> None:
    tarball = next(iter(machine.store.tarballs.values()))
    there = {"target": target(machine), "shell": shell(machine, signed), "limits": LIMITS}

    results = asyncio.run(probe_site(machine.site, tarball, "-", probe_s=20, **there))  # type: ignore[arg-type]
    assert results[0].text.endswith("match MANIFEST"), results
    machine.inside("chown", "root", "/srv/tags/ce.example.org/ops")
    with pytest.raises(SiteError, match="cannot be written"):
        asyncio.run(manage_tag("add", machine.site, TAG, **there))  # type: ignore[arg-type]
    machine.inside("chown", "ppskeep", "/srv/tags/ce.example.org/ops")
    assert asyncio.run(manage_tag("add", machine.site, TAG, **there)).word == "added"  # type: ignore[arg-type]
    assert asyncio.run(manage_tag("add", machine.site, TAG, **there)).word == "present"  # type: ignore[arg-type]
    state = asyncio.run(ask_kit(**there))  # type: ignore[arg-type]
    assert state.holds == {tarball.name: tarball.digest}
    heads = {(it.what, it.sequence): it.digest for it in machine.statements}
    assert [f.health for f in findings_of("SITE-K", state, 1, datetime.now(UTC), heads)] == [Health.OK]
    root = machine.people.root()
    place, limits = [(replace(machine.site, kit=Scheme.SSH), there["target"])], LIMITS
    known = {"keys": {Scheme.SSH: root}, "heads": heads}
    told = asyncio.run(diagnose_kits(place, there["shell"], limits, datetime.now(UTC), 5, **known))  # type: ignore[arg-type]
    assert [(f.health, "keys number 1" in f.text) for f in told] == [(Health.OK, True)]
    other = [(replace(machine.site, kit=Scheme.OPENSSL), there["target"])]
    (wrong,) = asyncio.run(diagnose_kits(other, there["shell"], limits, datetime.now(UTC), 5, keys={}, heads={}))  # type: ignore[arg-type]
    assert "checks signatures with ssh; the registry says openssl" in wrong.text
    (stolen,) = findings_of("SITE-K", state, 1, datetime.now(UTC), dict.fromkeys(heads, "0" * 64))
    assert (stolen.health, "not on record here: it was signed for somebody else" in stolen.text) == (Health.FAIL, True)
    later = findings_of("SITE-K", state, 2, datetime.now(UTC) + 2 * WEEK, heads)
    assert [f.text.partition(";")[0] for f in later[:2]] == [
        "its kit believes keys number 1",
        f"its kit has had no news since {state.fresh_until:%Y-%m-%d %H:%M} UTC, and installs and announces nothing.",
    ]


@pytest.mark.parametrize("way", [OpenSshShell, AsyncsshShell])
def test_what_is_not_signed_is_not_sent_and_it_is_said_what_to_do(
    machine: KitMachine, signed: list[Signed], way: type[SiteShell], tmp_path: Path
) -> None:
    name = f"1.{1 + len(machine.store.tarballs)}"
    other = machine.store.make({**SMALL, "bin/tool": name.encode()}, name)

    async def install(site: Site, there: KitShell) -> None:
        async def choose(held: object) -> tuple[Path, str | None]:
            sent = tmp_path / "payload"
            sent.write_bytes(machine.payload(other))
            return sent, None

        await Receiver(there, target(machine), site, LIMITS).install(other, choose, thoroughly=False)

    with pytest.raises(SiteRefusedError, match=r"not signed by two people.*pps sign ROLLOUT"):
        asyncio.run(install(machine.site, shell(machine, signed, way())))
    one = machine.statement(other)
    only_one = [*signed, machine.signed(one, "rm")]
    with pytest.raises(SiteRefusedError, match=r"its kit refused \(signatures\): two people must have signed it"):
        asyncio.run(install(machine.site, replace(shell(machine, only_one, way()))))


def test_a_signed_withdrawal_takes_it_away_and_an_unsigned_one_does_not(
    machine: KitMachine, signed: list[Signed]
) -> None:
    tarball = next(iter(machine.store.tarballs.values()))
    there = {"target": target(machine), "shell": shell(machine, signed), "limits": LIMITS}
    with pytest.raises(SiteRefusedError, match="signed and in force until"):
        asyncio.run(Receiver(there["shell"], target(machine), machine.site, LIMITS).remove(tarball.name))  # type: ignore[arg-type]

    # whoever finds it broken may conceal it at once
    assert asyncio.run(manage_tag("remove", machine.site, TAG, **there)).word == "removed"  # type: ignore[arg-type]
    withdrawal = withdrawal_of(machine.statements[-1], now=now(), holds_for=WEEK)
    machine.statements.append(withdrawal)
    signed.append(machine.signed(withdrawal))
    there = {"target": target(machine), "shell": shell(machine, signed), "limits": LIMITS}
    assert asyncio.run(Receiver(there["shell"], target(machine), machine.site, LIMITS).remove(tarball.name))  # type: ignore[arg-type]
    assert asyncio.run(ask_kit(**there)).holds == {}  # type: ignore[arg-type]
    assert not asyncio.run(Receiver(there["shell"], target(machine), machine.site, LIMITS).remove(tarball.name))  # type: ignore[arg-type]
