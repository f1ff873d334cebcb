"""Deployment scenarios, and records of tests that ended in given ways."""

from __future__ import annotations

from dataclasses import replace

from tests.support.histories import DEBIAN, History, a_site

from pps.domain.quality.scenarios import Origin, OriginKind, Scenario, ScenarioResult, scenario_payload
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Infrastructure, Platform

MEMBER = a_site("CNAF-PPS", infrastructure=Infrastructure.PPS)
SITES = {s.name: s for s in (MEMBER, a_site("INFN-T1"))}


def a_scenario(name: str = "wn", **different: object) -> Scenario:
    scenario = Scenario(name, DEBIAN, "WN", "", Origin(OriginKind.REGION, "Italy"))
    return replace(scenario, **different)


def outcome_of(
    *results: tuple[Scenario, ScenarioResult | None], platforms: tuple[Platform, ...] = (DEBIAN,)
) -> Rollout:
    history = History("pre-deployment-4711-1")
    history.facts.clear()
    history.then(
        FactKind.ROLLOUT_OPENED,
        path="pre-deployment",
        patch=4711,
        metapackage="glite-WN",
        platforms=[str(p) for p in platforms],
    )
    history.then(FactKind.SCENARIOS_PLANNED, scenarios=[scenario_payload(s) for s, _ in results])
    for scenario, result in results:
        if result is not None:
            history.then(FactKind.SCENARIO_ENDED, scenario.name, result=result.value, reason="dpkg says no.")
    return history.rollout
