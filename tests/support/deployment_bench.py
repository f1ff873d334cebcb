"""A deployment test on a store, its scenarios run in roots that pretend."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.clean_roots import CommentingTracker, PretendedRepositories, PretendedRoots
from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, PATCH, templates
from tests.support.scenarios import a_scenario

from pps.activities.quality import deployment_tests
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.domain.packages.patch import Patch
from pps.domain.people.questions import Given
from pps.domain.quality.scenarios import Scenario, ScenarioResult
from pps.domain.record.rollouts import Rollout

AUTOMATIC, OF_SITE = a_scenario(), a_scenario("wn-torque", system="torque", runner="CNAF-PPS", mandatory=False)
TABLE = (AUTOMATIC, OF_SITE)


def opened(store: FactStore, patch: Patch = PATCH, table: Iterable[Scenario] = TABLE, run: str = "r/1") -> Rollout:
    name = deployment_tests.open_deployment_test(at_office(store, now=NOW, actor="pps"), patch, table, run=run)
    deployment_tests.plan_scenarios(at_desk(store.rollout(name), store, patch=patch, now=NOW, actor="pps"), table)
    return store.rollout(name)


class Bench:
    """Runs scenarios of one test against pretended roots."""

    def __init__(self, store: FactStore, folder: Path, patch: Patch = PATCH, run: str = "r/1") -> None:
        self.store, self.folder, self.patch = store, folder, patch
        self.name = opened(store, patch, run=run).name
        self.roots, self.repositories, self.tracker = PretendedRoots(), PretendedRepositories(), CommentingTracker()

    @property
    def record(self) -> Rollout:
        return self.store.rollout(self.name)

    def run(self, scenario: str = "wn", patch: Patch | None = None) -> ScenarioResult:
        return deployment_tests.run_scenario(
            at_desk(self.record, self.store, patch=patch or self.patch, actor="pps", clock=lambda: NOW),
            scenario,
            self.roots,
            self.repositories,
            publication=PublishedFolder(self.folder),
        )

    def site_answers(self, result: ScenarioResult, report: str = "", log: str = "") -> None:
        said = Given(result.capitalize(), {"report": report, "log": log}, "ada", NOW)
        facts = deployment_tests.ended_at_site(
            at_desk(self.record, self.store), "wn-torque", said, PublishedFolder(self.folder)
        )
        self.store.record(*facts)

    def tell(self) -> int:
        return deployment_tests.tell_provider(
            at_desk(self.record, self.store, templates=templates(), patch=self.patch, now=NOW, actor="pps"),
            self.tracker,
            publication=PublishedFolder(self.folder),
            fall_back="pps-support@example.org",
        )

    def close(self) -> Any:
        return deployment_tests.close_deployment_test(
            at_desk(self.record, self.store, now=NOW, actor="pps"), publication=PublishedFolder(self.folder)
        )

    def log(self, scenario: str = "wn") -> str:
        return (self.folder / deployment_tests.log_name(self.name, scenario)).read_text()
