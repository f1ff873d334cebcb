"""Tags of a whole batch: added after the probes, seen in a real information system, withdrawn with a reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.support.desks import at_desk
from tests.support.local_shell import LocalShell, target_of
from tests.support.memory_facts import MemoryFacts
from tests.support.preview import NOW, make_site

from pps.activities.clients.publication import manage_tag, probe_publication, publish_tags, tags_seen, withdraw_tags
from pps.activities.ports.sites import SiteLimits
from pps.activities.sites.batch import Door
from pps.adapters.services.bdii import Bdii
from pps.adapters.services.classads import ClassAdMatchmaker
from pps.domain.base.errors import ServiceError, SiteRefusedError
from pps.domain.packages.tags import RunTimeEnvironmentTag, jdl_requirement
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.site_states import SiteState
from pps.domain.sites.places import Places
from pps.domain.sites.probes import ProbeState
from pps.domain.sites.site import Site
from pps.sandbox.grid.information_system import SandboxInformationSystem

REASON = "The patch was rejected."
TAG = RunTimeEnvironmentTag("ops", "PPS-GLITE-WN-3.1.23")


def fact(kind: FactKind, site: str, occasion: str = "run-1") -> Fact:
    return Fact("r", kind, site, occasion, NOW, "test")


@pytest.fixture
def sites(tmp_path: Path) -> list[Site]:
    return [make_site(tmp_path / f"s{n}", f"SITE-{n}") for n in range(4)]


class Grid:
    """Sites with facts, and the activities called as the orchestration calls them."""

    def __init__(self, sites: list[Site], shell: LocalShell, facts: MemoryFacts) -> None:
        self.sites, self.shell, self.facts = sites, shell, facts
        self.targets = {s.name: target_of(s.name) for s in sites}

    def door(self, occasion: str) -> Door:
        return Door(self.targets, self.shell, SiteLimits(), Places(4), occasion, "test")

    def publish(self, occasion: str = "run-1") -> list[str]:
        done = publish_tags(at_desk(self.facts.rollout("r"), self.facts, now=NOW), TAG, self.sites, self.door(occasion))
        return [f"{f.subject} {f.kind.value}" for f in asyncio.run(done)]

    def withdraw(self, occasion: str = "run-1") -> list[str]:
        done = withdraw_tags(
            at_desk(self.facts.rollout("r"), self.facts, now=NOW), TAG, self.sites, self.door(occasion), reason=REASON
        )
        return [f"{f.subject} {f.kind.value}" for f in asyncio.run(done)]

    def states(self) -> list[str]:
        record = self.facts.rollout("r")
        return [record.progress(s.name).state.value for s in self.sites]

    def lists(self) -> list[str]:
        return [f.read_text() if (f := self.list_of(s)).exists() else "" for s in self.sites]

    @staticmethod
    def list_of(site: Site) -> Path:
        return Path(site.tag_dir) / site.subcluster / "ops/ops.list"


@pytest.fixture
def grid(sites: list[Site]) -> Grid:
    """SITE-0 and SITE-1 are tested; SITE-2 is only installed; SITE-3's probes have failed."""
    facts = MemoryFacts(*(fact(FactKind.PREVIEW_INSTALLED, s.name) for s in sites))
    facts.record(
        fact(FactKind.PROBES_PASSED, "SITE-0"),
        fact(FactKind.PROBES_PASSED, "SITE-1"),
        fact(FactKind.PROBES_FAILED, "SITE-3"),
    )
    return Grid(sites, LocalShell(), facts)


@pytest.mark.sd("4.1.1", step=4)
def test_only_sites_whose_probes_passed_get_the_tag(grid: Grid) -> None:
    assert grid.publish() == ["SITE-0 tag-added", "SITE-1 tag-added"]
    assert grid.lists() == [f"{TAG}\n", f"{TAG}\n", "", ""]
    assert grid.states() == ["tagged", "tagged", "installed", "installed, not announced"]
    assert len(grid.shell.runs) == 2, "nobody else was even asked"


@pytest.mark.sd("4.1.1", step=4)
def test_publishing_twice_advertises_the_tag_once(grid: Grid) -> None:
    grid.publish()
    assert grid.publish() == []
    assert grid.publish("another night") == []
    assert grid.lists()[0] == f"{TAG}\n"


def test_a_tag_whose_fact_was_lost_in_a_crash_is_recorded_by_the_retry(grid: Grid) -> None:
    file = grid.list_of(grid.sites[0])
    file.parent.mkdir(parents=True)
    file.write_text(f"{TAG}\n")
    assert "SITE-0 tag-added" in grid.publish()
    added = grid.facts.rollout("r").progress("SITE-0").fact
    assert added is not None and added.payload == {"tag": str(TAG), "changed": False}


def test_a_tag_that_somebody_removed_is_added_again(grid: Grid) -> None:
    grid.publish()
    grid.facts.record(fact(FactKind.TAG_SEEN, "SITE-0"))
    grid.list_of(grid.sites[0]).write_text("")
    assert grid.publish("next night") == ["SITE-0 tag-added"]
    assert grid.states()[0] == "tagged"


def test_an_available_site_stays_available_when_nothing_is_to_be_done(grid: Grid) -> None:
    grid.publish()
    grid.facts.record(fact(FactKind.TAG_SEEN, "SITE-0"))
    grid.shell.unreachable.add("SITE-0")
    assert grid.publish("next night") == []
    assert grid.states()[0] == "available"


def test_a_bad_site_does_not_keep_its_neighbours_from_being_published(grid: Grid) -> None:
    grid.shell.unreachable.add("SITE-0")
    assert grid.publish() == ["SITE-0 site-failed", "SITE-1 tag-added"]
    failed = grid.facts.rollout("r").progress("SITE-0").fact
    assert failed is not None and failed.payload["step"] == "publish tag"


def test_a_site_without_tag_directory_is_told_so(grid: Grid) -> None:
    Path(grid.sites[0].tag_dir).rmdir()
    assert grid.publish() == ["SITE-0 site-failed", "SITE-1 tag-added"]
    assert "there is no tag directory" in grid.facts.rollout("r").progress("SITE-0").reason


def test_withdrawing_removes_the_tag_everywhere_also_where_its_fact_was_lost(grid: Grid) -> None:
    grid.publish()
    orphan = grid.list_of(grid.sites[2])
    orphan.parent.mkdir(parents=True)
    orphan.write_text(f"other {TAG}\n")
    assert grid.withdraw() == ["SITE-0 tag-removed", "SITE-1 tag-removed", "SITE-2 tag-removed"]
    assert grid.lists() == ["", "", "other\n", ""]
    assert grid.states() == ["withdrawn", "withdrawn", "withdrawn", "installed, not announced"]
    assert grid.facts.rollout("r").progress("SITE-0").reason == REASON
    assert grid.withdraw("again") == []


def test_a_tag_that_is_gone_already_is_recorded_as_withdrawn(grid: Grid) -> None:
    grid.publish()
    grid.list_of(grid.sites[0]).write_text("")
    assert "SITE-0 tag-removed" in grid.withdraw()


def test_an_answer_that_is_none_is_the_sites_failure(sites: list[Site]) -> None:
    class Liar(LocalShell):
        def open(self, target, script, arguments, limits):  # type: ignore[no-untyped-def]
            return super().open(target, "echo PPS-VOTAG-END added", arguments, limits)

    with pytest.raises(SiteRefusedError, match="gave no answer"):
        asyncio.run(manage_tag("add", sites[0], TAG, target=target_of("SITE-0"), shell=Liar(), limits=SiteLimits()))


def test_tags_of_a_site_can_be_listed(sites: list[Site]) -> None:
    file = Grid.list_of(sites[0])
    file.parent.mkdir(parents=True)
    file.write_text(f"a {TAG}\n")
    done = manage_tag("list", sites[0], TAG, target=target_of("SITE-0"), shell=LocalShell(), limits=SiteLimits())
    assert asyncio.run(done).tags == {"a", str(TAG)}


# --- seen in the information system ------------------------------------------------------------------


@pytest.fixture
def information_system(tmp_path: Path, sites: list[Site]) -> Iterator[SandboxInformationSystem]:
    published = [
        (s.name, s.subcluster, Path(s.tag_dir), s.platform, 0.0, s.name == "SITE-1")  # SITE-1's provider is dead
        for s in sites
    ]
    with SandboxInformationSystem(tmp_path / "is", published, ["ops", "atlas"]) as system:
        yield system


@pytest.mark.sd("4.1.1", step=4)
@pytest.mark.needs("slapd")
def test_a_tag_is_seen_where_the_information_system_shows_it(
    grid: Grid, information_system: SandboxInformationSystem
) -> None:
    assert information_system.kind == "slapd"
    bdii = Bdii(information_system.url)
    grid.publish()
    deadline = time.monotonic() + 20
    while True:
        missing = tags_seen(
            at_desk(grid.facts.rollout("r"), grid.facts, now=NOW, actor="t"),
            bdii,
            grid.sites,
            TAG,
            occasion="run-1",
            matchmaker=ClassAdMatchmaker(),
        )
        if "SITE-0" not in missing or time.monotonic() > deadline:
            break
    assert missing == {"SITE-1": f"ce.site-1.example.org does not show {TAG} yet"}
    assert grid.states() == ["available", "tagged", "installed", "installed, not announced"], (
        "installed, not published: no failure"
    )
    seen = grid.facts.rollout("r").progress("SITE-0").fact
    assert seen is not None and seen.payload["probe"]["state"] == "OK"


class Answer:
    """An information system that says what the test wants."""

    def __init__(self, tags: Mapping[str, frozenset[str]]) -> None:
        self.tags = tags
        self.asked: list[list[str]] = []

    def tags_of(self, subclusters: Iterable[str]) -> Mapping[str, frozenset[str]]:
        self.asked.append(list(subclusters))
        return self.tags


def look(grid: Grid, answer: Answer) -> dict[str, str]:
    return tags_seen(
        at_desk(grid.facts.rollout("r"), grid.facts, now=NOW, actor="t"), answer, grid.sites, TAG, occasion="run-1"
    )


def test_all_waiting_sites_are_looked_up_in_one_query_and_nobody_else(grid: Grid) -> None:
    grid.publish()
    answer = Answer({})
    assert set(look(grid, answer)) == {"SITE-0", "SITE-1"}
    assert answer.asked == [["ce.site-0.example.org", "ce.site-1.example.org"]]


def test_nobody_is_asked_when_nobody_waits(grid: Grid) -> None:
    answer = Answer({})
    assert look(grid, answer) == {}
    assert answer.asked == []


def test_a_dead_information_system_is_an_error_and_changes_no_state(grid: Grid) -> None:
    grid.publish()
    with pytest.raises(ServiceError):
        tags_seen(
            at_desk(grid.facts.rollout("r"), grid.facts, now=NOW, actor="t"),
            Bdii("ldap://127.0.0.1:9"),
            grid.sites,
            TAG,
            occasion="x",
        )
    assert grid.states()[:2] == [SiteState.TAGGED.value] * 2


# --- probe 9 -------------------------------------------------------------------------------------------


def test_probe_nine_judges_the_tag_and_the_jdl(sites: list[Site]) -> None:
    site, matchmaker = sites[0], ClassAdMatchmaker()
    shown = {site.subcluster: frozenset({str(TAG), "other"})}
    assert probe_publication(site, TAG, shown, matchmaker).state is ProbeState.OK
    assert (
        probe_publication(site, TAG, {site.subcluster: frozenset({str(TAG).upper()})}, matchmaker).state
        is ProbeState.OK
    )
    assert (
        probe_publication(site, TAG, {site.subcluster: frozenset({f"{TAG}.1"})}, matchmaker).state
        is ProbeState.CRITICAL
    )
    assert probe_publication(site, TAG, {}, matchmaker).state is ProbeState.CRITICAL
    without = probe_publication(site, TAG, shown, None)
    assert without.state is ProbeState.WARNING and "no ClassAd library" in without.text


def test_a_jdl_that_does_not_match_is_critical(sites: list[Site]) -> None:
    class Blind:
        def matches(self, requirement: str, tags: object) -> bool:
            return False

    shown = {sites[0].subcluster: frozenset({str(TAG)})}
    assert "the JDL does not match" in probe_publication(sites[0], TAG, shown, Blind()).text


@pytest.mark.parametrize(
    ("requirement", "matches"),
    [
        (jdl_requirement(TAG), True),
        (jdl_requirement(RunTimeEnvironmentTag("ops", "PPS-GLITE-WN-3.1.2")), False),
        ("Requirements = Member(", False),
        ("Requirements = undefined;", False),
        ("Something = true;", False),
        ("", False),
    ],
)
def test_requirements_are_evaluated_by_the_classad_library(requirement: str, matches: bool) -> None:
    assert ClassAdMatchmaker().matches(requirement, [str(TAG), 'a"b\\']) is matches
