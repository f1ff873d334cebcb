"""Previews at sites that are folders of this machine, and the very steps of Airflow that withdraw them.

The receiver, the tag script, the store of facts and the templates are the real ones; the information
system shows what stands in the sites' tag lists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.desks import at_desk, is_over
from tests.support.examples import sqlite_store
from tests.support.front import MemoryServices, write_config
from tests.support.local_shell import LocalChannel, LocalShell, target_of
from tests.support.preview import make_site
from tests.support.previews import Tree, artefacts_in
from tests.support.tasks import tasks_work_with
from upath import UPath

from pps.activities.clients import distribution, publication, withdrawal
from pps.activities.ports.packages import Tarball
from pps.activities.ports.people import Mail
from pps.activities.ports.sites import SiteLimits, SshTarget
from pps.activities.sites.batch import Door
from pps.adapters.packages.folders import PublishedFolder
from pps.domain.base.errors import ServiceError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.record.site_states import SiteState
from pps.domain.sites.places import Places
from pps.domain.sites.site import Site
from pps.orchestration.steps import clients as steps
from pps.orchestration.steps import withdrawal as steps_withdrawal

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
REASON = "The new client corrupts files larger than 2 GB."
LIMITS = SiteLimits(connect_s=20, silence_s=20, total_s=60)


@dataclass
class HookedShell(LocalShell):
    """A local shell in which a test can do something at the instant before a script starts, or a file is sent."""

    before: Callable[[str, tuple[str, ...]], Awaitable[None]] | None = None
    before_answer: Callable[[str], Awaitable[None]] | None = None
    """before an installer is told what comes: it does not hold the lock yet"""
    before_file: Callable[[str], Awaitable[None]] | None = None
    """before the file is sent: the installer takes, or has, the lock"""

    @asynccontextmanager
    async def open(self, target, script, arguments, limits):  # type: ignore[no-untyped-def]
        if self.before:
            await self.before(target.site, tuple(arguments))
        async with super().open(target, script, arguments, limits) as channel:
            yield _HookedChannel(channel, target.site, self)


@dataclass
class _HookedChannel:
    channel: LocalChannel
    site: str
    shell: HookedShell

    async def read_line(self) -> str | None:
        return await self.channel.read_line()

    async def finish(self) -> int:
        return await self.channel.finish()

    async def write(self, text: str) -> None:
        if self.shell.before_answer:
            await self.shell.before_answer(self.site)
        await self.channel.write(text)

    async def send_file(self, path: Path) -> None:
        if self.shell.before_file:
            await self.shell.before_file(self.site)
        await self.channel.send_file(path)


@dataclass
class TagLists:
    """The information system: what stands in the sites' lists, unless it is down or behind the time."""

    sites: Mapping[str, Site]
    down: bool = False
    stale: set[str] = field(default_factory=set)
    """sites whose provider is dead: what they showed last is shown for ever"""
    last: dict[str, frozenset[str]] = field(default_factory=dict)

    def tags_of(self, subclusters: Iterable[str]) -> Mapping[str, frozenset[str]]:
        if self.down:
            raise ServiceError("the information system", "does not answer in 10 s.", "Look at the BDII.")
        wanted = set(subclusters)
        for site in self.sites.values():
            if site.name not in self.stale or site.subcluster not in self.last:
                lists = Path(site.tag_dir).glob("*/*/*.list")
                self.last[site.subcluster] = frozenset(tag for file in lists for tag in file.read_text().split())
        return {name: tags for name, tags in self.last.items() if name in wanted}


class Postbox:
    """A mail server that takes everything."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def send(self, mails: Sequence[Mail], accepted: Callable[[str], None] = lambda key: None) -> Mapping[str, str]:
        for mail in mails:
            self.mails.append(mail)
            accepted(mail.key)
        return {}


class World:
    """Sites A, B and C, and a clock that a test turns."""

    def __init__(self, folder: Path) -> None:
        self.clock = START
        self.facts = sqlite_store(folder)
        self.artefacts = artefacts_in(folder / "store")
        self.cache = folder / "cache"
        self.shell = HookedShell()
        self.postbox = Postbox()
        made = [make_site(folder / name, name) for name in "ABC"]
        config = write_config(folder / "config", [_entry(site) for site in made])
        self.sites = config.sites
        self.information_system = TagLists(self.sites)
        given = {
            "clock": lambda: self.clock,
            "facts": self.facts,
            "artefacts": self.artefacts,
            "information_system": self.information_system,
            "mailer": self.postbox,
            "shell": self.shell,
            "publication_folder": PublishedFolder(UPath(config.folder / "publication_folder")),
        }
        self.services = MemoryServices(config, lambda _: None, given)

    # --- what happened before

    def opens(self, tree: Tree | Tarball, version: str, patch: int = 4711) -> str:
        """A rollout with a tarball and a plan; a tarball that is there already may be given."""
        name = self.facts.next_name("bc-client", patch)
        opened = {
            "path": "bc-client", "patch": patch, "title": "Clients", "metapackage": "client", "version": version,
            "platforms": ["debian12-amd64"], "tag": f"VO-ops-PPS-CLIENT-{version}", "tag_vo": "ops", "run": name,
        }  # fmt: skip
        self.facts.open("bc-client", patch, self.fact(name, FactKind.ROLLOUT_OPENED, **opened), name)
        tarball = tree if isinstance(tree, Tarball) else self.artefacts.make(tree, version)
        self.facts.record(
            self.fact(
                name,
                FactKind.TARBALL_BUILT,
                name=tarball.name,
                digest=tarball.digest,
                files=dict(tarball.files),
                size=1,
            ),
            self.fact(name, FactKind.PLAN_AGREED, batches={"canary": ["A"], "fleet-1": ["B", "C"]}),
        )
        return name

    def fact(self, rollout: str, kind: FactKind, subject: str = "", **payload: object) -> Fact:
        return Fact(rollout, kind, subject, "run", self.clock, "test", payload)

    def out(self, tree: Tree | Tarball, version: str, patch: int = 4711, sites: str = "ABC") -> str:
        """A preview that is installed, tested, tagged and seen at these sites; VO and originator were told."""
        name = self.opens(tree, version, patch)
        asyncio.run(self.distribute(name, sites))
        self.facts.record(*(self.fact(name, FactKind.PROBES_PASSED, site) for site in sites))
        self.publish(name, sites)
        self.facts.record(
            *(self.fact(name, FactKind.TAG_SEEN, site) for site in sites),
            self.fact(name, FactKind.VO_INVITED, "atlas", to="atlas@example.org"),
            self.fact(name, FactKind.ORIGINATOR_INVITED, "ada@example.org"),
        )
        return name

    def ends(self, name: str, outcome: str = "released") -> None:
        self.facts.close(self.fact(name, FactKind.ROLLOUT_CLOSED, outcome=outcome))

    async def distribute(self, name: str, sites: str = "ABC") -> tuple[distribution.SiteOutcome, ...]:
        record = self.record(name)
        tarball = self.artefacts.tarballs[self.tarball(name)]
        return await distribution.distribute(
            at_desk(record, self.facts, clock=lambda: self.clock),
            tarball,
            self.these(sites),
            self.door,
            artefacts=self.artefacts,
            cache=self.cache,
        )

    def publish(self, name: str, sites: str) -> None:
        record = self.record(name)
        asyncio.run(
            publication.publish_tags(
                at_desk(record, self.facts, now=self.clock), record.tag, self.these(sites), self.door
            )
        )

    @property
    def door(self) -> Door:
        return Door(self.targets(), self.shell, LIMITS, Places(4), "run", "test")

    def these(self, sites: str) -> list[Site]:
        return [self.sites[name] for name in sites]

    def targets(self, sites: Iterable[Site] = ()) -> dict[str, SshTarget]:
        return {name: target_of(name) for name in self.sites}

    # --- what is done

    def asks(self, name: str, reason: str = REASON) -> None:
        withdrawal.ask_for_withdrawal(
            at_desk(self.record(name), self.facts, now=self.clock, actor="coordinator"), reason
        )

    def withdraws(self, name: str, reason: str = REASON, wait: timedelta = timedelta(minutes=1)) -> None:
        """The DAG `withdraw_rollout`, step by step."""
        self.asks(name, reason)
        steps_withdrawal.withdraw_tags.function(name)
        self.clock += wait
        assert is_over(self.services, "tags_are_gone", rollout=name)
        steps_withdrawal.remove_previews.function(name)
        steps_withdrawal.tell_of_withdrawal.function(name)

    def night(self, after: timedelta = timedelta(days=1)) -> list[str]:
        """The way out of the DAG `nightly_distribution`; returns the rollouts that it worked on."""
        self.clock += after
        retired = steps_withdrawal.withdraw_retired_tags.function()
        self.clock += timedelta(minutes=1)
        if not is_over(self.services, "retired_tags_are_gone", rollouts=retired):
            self.clock += timedelta(hours=1)
            assert is_over(self.services, "retired_tags_are_gone", rollouts=retired)
        steps_withdrawal.remove_retired_previews.function(retired)
        return retired

    # --- what is so

    def record(self, name: str) -> Rollout:
        return self.facts.rollout(name)

    def tarball(self, name: str) -> str:
        return str(self.record(name).need(FactKind.TARBALL_BUILT, "").payload["name"])

    def at_sites(self, name: str) -> str:
        """The sites on whose disks the preview is."""
        folders = {n: Path(site.preview_root) / self.tarball(name) for n, site in self.sites.items()}
        return "".join(n for n, folder in sorted(folders.items()) if folder.exists())

    def tags_at(self, name: str) -> str:
        """The sites in whose lists the tag is."""
        tag = str(self.record(name).tag)
        lists = {n: list(Path(site.tag_dir).glob("*/*/*.list")) for n, site in self.sites.items()}
        return "".join(n for n, files in sorted(lists.items()) if any(tag in f.read_text().split() for f in files))

    def states(self, name: str) -> list[SiteState]:
        return [self.record(name).progress(site).state for site in self.sites]

    def looks(self, name: str, site: str) -> str:
        """What the site's receiver says of the preview, every file's content checked."""
        tarball = self.artefacts.tarballs[self.tarball(name)]
        look = distribution.look(tarball, self.these(site), replace(self.door, shell=LocalShell()))
        return asyncio.run(look)[site][0].value

    def of(self, name: str, kind: FactKind) -> list[Fact]:
        return [f for f in self.record(name).facts if f.kind is kind]


def _entry(site: Site) -> dict[str, object]:
    return {
        "name": site.name,
        "roc": "North",
        "platform": "debian12-amd64",
        "ssh": {"host": "localhost", "user": "ppsadm", "host_key": "ssh-ed25519 " + "A" * 68},
        "preview_root": site.preview_root,
        "production_root": site.production_root,
        "profile_d": site.profile_d,
        "tag_dir": site.tag_dir,
        "subcluster": site.subcluster,
        "contact": f"admin-{site.name.lower()}@example.org",
    }


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The steps' own world is replaced: services, clock, and the way to the sites."""
    made = World(tmp_path)
    tasks_work_with(monkeypatch, lambda: made.services, lambda: made.clock)
    monkeypatch.setattr(steps, "_targets", made.targets)
    yield made
    made.facts.dispose()
