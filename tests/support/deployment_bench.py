"""A deployment test on a store, its scenarios run in roots that pretend."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.clean_roots import CommentingTracker, PretendedRepositories, PretendedRoots
from tests.support.examples import NOW, PATCH, templates
from tests.support.scenarios import a_scenario

from pps.activities.quality import deployment_tests
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.domain.packages.patch import Patch
from pps.domain.quality.scenarios import Scenario, ScenarioResult
from pps.domain.record.rollouts import Rollout

AUTOMATIC, OF_SITE = a_scenario(), a_scenario("wn-torque", system="torque", runner="CNAF-PPS", mandatory=False)
TABLE = (AUTOMATIC, OF_SITE)


def opened(store: FactStore, patch: Patch = PATCH, table: Iterable[Scenario] = TABLE, run: str = "r/1") -> Rollout:
    name = deployment_tests.open_deployment_test(store, patch, table, run=run, now=NOW, actor="pps")
    deployment_tests.plan_scenarios(store.rollout(name), store, patch, table, NOW, "pps")
    return store.rollout(name)


class Bench:
    """Runs scenarios of one test against pretended roots."""

    def __init__(self, store: FactStore, folder: Path, patch: Patch = PATCH) -> None:
        self.store, self.folder, self.patch = store, folder, patch
        self.name = opened(store, patch).name
        self.roots, self.repositories, self.tracker = PretendedRoots(), PretendedRepositories(), CommentingTracker()

    @property
    def record(self) -> Rollout:
        return self.store.rollout(self.name)

    def run(self, scenario: str = "wn", patch: Patch | None = None) -> ScenarioResult:
        return deployment_tests.run_scenario(
            self.record,
            self.store,
            scenario,
            patch or self.patch,
            self.roots,
            self.repositories,
            publication=PublishedFolder(self.folder),
            now=lambda: NOW,
            actor="pps",
        )

    def site_answers(self, result: ScenarioResult, report: str = "", log: str = "") -> None:
        facts = deployment_tests.ended_at_site(
            self.record, "wn-torque", result, report, log, publication=PublishedFolder(self.folder), user="ada", at=NOW
        )
        self.store.record(*facts)

    def tell(self) -> int:
        return deployment_tests.tell_provider(
            self.record,
            self.store,
            self.patch,
            self.tracker,
            templates(),
            publication=PublishedFolder(self.folder),
            fall_back="pps-support@example.org",
            now=NOW,
            actor="pps",
        )

    def close(self) -> Any:
        return deployment_tests.close_deployment_test(
            self.record, self.store, publication=PublishedFolder(self.folder), now=NOW, actor="pps"
        )

    def log(self, scenario: str = "wn") -> str:
        return (self.folder / deployment_tests.log_name(self.name, scenario)).read_text()
