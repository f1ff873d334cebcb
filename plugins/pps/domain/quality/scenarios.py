"""Deployment scenarios: what an update is installed on before it goes out, and what the results allow (SD 4.2).

SD 4.2.1: "set requirements for deployment scenarios coming from the sites and local VOs" (regions) and "from
middleware development/certification and global VOs" (coordination). SD 4.2.2 is a heading only: see docs/adr/0009.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pps.domain.base.errors import ConfigurationError, NotYetAllowedError
from pps.domain.base.names import checked_name
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Infrastructure, Platform, Site

#: The runner that needs no site: it installs in a clean root of its own.
AUTOMATIC = "automatic"
#: The node type of a scenario that fits every metapackage.
ANY_NODE = "any"


class OriginKind(StrEnum):
    """Who can ask for a scenario (SD 4.2.1, tasks for regions and for the coordination)."""

    REGION = "region"
    SITE = "site"
    VO = "vo"
    DEVELOPER = "developer"
    COORDINATION = "coordination"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked for a scenario: a ROC, site or VO by its name, a developers' team, the coordination."""

    kind: OriginKind
    name: str

    def __post_init__(self) -> None:
        checked_name(self.name, f"{self.kind} that a scenario comes from")

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class ScenarioResult(StrEnum):
    """How one scenario ended. Inconclusive is an outcome of its own: nothing was learnt about the update."""

    PASS = "pass"  # noqa: S105 (no password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One combination on which the update's deployment is tried, by whom, and who asked for it."""

    name: str
    platform: Platform
    node_type: str
    """e.g. `WN` for the metapackage glite-WN, or `any`"""
    system: str
    """batch or storage system, e.g. `torque` or `dpm`; may be empty"""
    origin: Origin
    runner: str = AUTOMATIC
    """`automatic`, or the name of a PPS member site"""
    mandatory: bool = True
    """without its pass, the platform does not go out"""

    def __post_init__(self) -> None:
        checked_name(self.name, "scenario")
        checked_name(self.node_type, f"node type of scenario {self.name}")
        checked_name(self.runner, f"runner of scenario {self.name}")
        if self.system:
            checked_name(self.system, f"batch or storage system of scenario {self.name}")

    @property
    def is_automatic(self) -> bool:
        """Tell whether our own runner does it, not a site."""
        return self.runner == AUTOMATIC

    @property
    def combination(self) -> tuple[Platform, str, str]:
        """What is tried, whatever it is called and whoever asked for it."""
        return self.platform, self.node_type.casefold(), self.system.casefold()

    def fits(self, metapackage: str) -> bool:
        """Tell whether the node type is the metapackage's: WN is that of glite-WN, any fits all."""
        wanted = self.node_type.casefold()
        whole = metapackage.casefold()
        return wanted in (ANY_NODE, whole, whole.partition("-")[2])


def applicable(scenarios: Iterable[Scenario], patch: Patch) -> tuple[Scenario, ...]:
    """The scenarios that an update has to go through: on a platform of the patch, for its node type."""
    return tuple(s for s in scenarios if s.platform in patch.platforms and s.fits(patch.metapackage))


def contradictions(
    scenarios: Iterable[Scenario],
    sites: Mapping[str, Site],
    *,
    rocs: Collection[str] = (),
    vos: Collection[str] = (),
) -> tuple[str, ...]:
    """Say what in a table of scenarios cannot be true at once, or cannot be carried out; none means it can.

    Args:
        rocs: those that are known besides those of the sites.
        vos: those that are known.
    """
    table = tuple(scenarios)
    known: Mapping[OriginKind, tuple[Collection[str], str]] = {
        OriginKind.REGION: ({*rocs, *(site.roc for site in sites.values())}, "ROC"),
        OriginKind.SITE: (sites.keys(), "site"),
        OriginKind.VO: (vos, "VO"),
    }
    found = [f"{name}: the name is used {count} times." for name, count in _counts(s.name.casefold() for s in table)]
    for scenario in table:
        names, word = known.get(scenario.origin.kind, ((scenario.origin.name,), ""))
        if scenario.origin.name not in names:
            found.append(f"{scenario.name}: it comes from {scenario.origin.name}, which is no {word} that we know.")
        if not scenario.is_automatic:
            found += _against_runner(scenario, sites.get(scenario.runner))
    for same in _groups(table, lambda s: s.combination):
        names = ", ".join(s.name for s in same)
        what = f"{same[0].platform}, {same[0].node_type}{f', {same[0].system}' if same[0].system else ''}"
        if len(runners := dict.fromkeys(s.runner for s in same)) > 1:
            found.append(f"{names}: the same combination ({what}) is given to {' and to '.join(runners)}.")
        if len({s.mandatory for s in same}) > 1:
            found.append(f"{names}: the same combination ({what}) is mandatory in one of them, and not in another.")
    return tuple(found)


def _against_runner(scenario: Scenario, site: Site | None) -> tuple[str, ...]:
    if site is None:
        return (f"{scenario.name}: its runner {scenario.runner} is neither {AUTOMATIC} nor a site that we know.",)
    reasons = []
    if site.infrastructure is not Infrastructure.PPS:
        reasons.append(
            f"{scenario.name}: its runner {site.name} is no PPS member site ({site.infrastructure}), "
            "and only these install what is not released."
        )
    if site.platform != scenario.platform:
        reasons.append(f"{scenario.name}: its runner {site.name} runs {site.platform}, not {scenario.platform}.")
    return tuple(reasons)


def _counts(names: Iterable[str]) -> list[tuple[str, int]]:
    count: dict[str, int] = {}
    for name in names:
        count[name] = count.get(name, 0) + 1
    return [(name, n) for name, n in count.items() if n > 1]


def _groups(table: tuple[Scenario, ...], key: Callable[[Scenario], Any]) -> list[list[Scenario]]:
    groups: dict[Any, list[Scenario]] = {}
    for scenario in table:
        groups.setdefault(key(scenario), []).append(scenario)
    return [group for group in groups.values() if len(group) > 1]


# --- a test of an update, as its facts tell it ------------------------------------------------


def scenario_payload(scenario: Scenario) -> dict[str, Any]:
    """A scenario as it stands in the fact that plans it."""
    return {
        "name": scenario.name,
        "platform": str(scenario.platform),
        "node_type": scenario.node_type,
        "system": scenario.system,
        "origin": {"kind": scenario.origin.kind.value, "name": scenario.origin.name},
        "runner": scenario.runner,
        "mandatory": scenario.mandatory,
    }


def planned_scenarios(record: Rollout) -> tuple[Scenario, ...]:
    """The scenarios of this test, as agreed when it began; empty before."""
    plan = record.the(FactKind.SCENARIOS_PLANNED)
    if plan is None:
        return ()
    return tuple(
        Scenario(
            s["name"],
            Platform.parse(s["platform"]),
            s["node_type"],
            s["system"],
            Origin(OriginKind(s["origin"]["kind"]), s["origin"]["name"]),
            s["runner"],
            s["mandatory"],
        )
        for s in plan.payload["scenarios"]
    )


def planned_scenario(record: Rollout, name: str) -> Scenario:
    """One of them; `NotYetAllowedError` if it was not planned."""
    record.need(FactKind.SCENARIOS_PLANNED, "Plan the scenarios first.")
    for scenario in planned_scenarios(record):
        if scenario.name == name:
            return scenario
    raise NotYetAllowedError(record.name, f"its plan has no scenario {name!r}.", "Look at: pps deployment-test show.")


def scenario_end(record: Rollout, name: str) -> Fact | None:
    """The newest fact of how a scenario ended, or None while it has not."""
    for fact in reversed(record.facts):
        if fact.kind is FactKind.SCENARIO_ENDED and fact.subject == name:
            return fact
    return None


def scenario_result(record: Rollout, name: str) -> ScenarioResult | None:
    """How a scenario ended, or None while it has not."""
    fact = scenario_end(record, name)
    return None if fact is None else ScenarioResult(fact.payload["result"])


def reasons_against_platforms(record: Rollout) -> Mapping[Platform, tuple[str, ...]]:
    """Say for each platform of the update why it may not go out; no reasons means that it may.

    At least one of its scenarios has passed, and none of its mandatory ones failed or taught us nothing.
    """
    scenarios = planned_scenarios(record)
    platforms = {Platform.parse(p) for p in record.opened["platforms"]} | {s.platform for s in scenarios}
    return {platform: _against(record, platform, scenarios) for platform in sorted(platforms)}


def _against(record: Rollout, platform: Platform, scenarios: tuple[Scenario, ...]) -> tuple[str, ...]:
    mine = [s for s in scenarios if s.platform == platform]
    if not mine:
        return (f"{platform}: no deployment scenario covers it.",)
    reasons = []
    for scenario in mine:
        if not scenario.mandatory:
            continue
        match scenario_result(record, scenario.name):
            case None:
                reasons.append(f"{platform}: scenario {scenario.name} has not ended.")
            case ScenarioResult.FAIL:
                reasons.append(f"{platform}: scenario {scenario.name} failed: {_why(record, scenario)}")
            case ScenarioResult.INCONCLUSIVE:
                reasons.append(f"{platform}: scenario {scenario.name} is inconclusive: {_why(record, scenario)}")
    if not any(scenario_result(record, s.name) is ScenarioResult.PASS for s in mine):
        reasons.append(f"{platform}: none of its scenarios has passed.")
    return tuple(reasons)


def _why(record: Rollout, scenario: Scenario) -> str:
    fact = scenario_end(record, scenario.name)
    return str(fact.payload.get("reason") or "no reason is on record.") if fact else ""


class DeploymentOutcome(StrEnum):
    """How the deployment test of an update ended."""

    PASSED = "passed"
    """on at least one platform; the release is limited to those"""
    FAILED = "failed"
    """on none, and at least one scenario failed"""
    INCONCLUSIVE = "inconclusive"
    """on none, and none failed either"""


@dataclass(frozen=True, slots=True)
class DeploymentVerdict:
    """What the deployment test says of the release."""

    outcome: DeploymentOutcome
    platforms: tuple[Platform, ...] = ()
    """on which it passed; the release may go out for these and no others"""
    reasons: tuple[str, ...] = field(default_factory=tuple)
    """why the other platforms stay behind"""
    optional_failed: tuple[str, ...] = ()
    """scenarios that failed and hold nothing back: whoever reads "passed" must know of them"""

    @property
    def in_words(self) -> str:
        """The outcome for people: `passed; optional scenario wn-torque failed`."""
        if self.outcome is not DeploymentOutcome.PASSED or not self.optional_failed:
            return self.outcome.value
        scenarios = "scenario" if len(self.optional_failed) == 1 else "scenarios"
        return f"{self.outcome.value}; optional {scenarios} {' and '.join(self.optional_failed)} failed"


def deployment_verdict(record: Rollout) -> DeploymentVerdict:
    """Judge a whole deployment test by the results of its scenarios (SD 4.1.1, 4.1.2, 4.2.2).

    What has passed on one platform may go out there: a release is limited to platforms, not held back by the others.
    """
    against = reasons_against_platforms(record)
    passed = tuple(platform for platform, reasons in against.items() if not reasons)
    reasons = tuple(reason for why in against.values() for reason in why)
    scenarios = planned_scenarios(record)
    results = {scenario_result(record, s.name) for s in scenarios}
    optional = tuple(
        s.name for s in scenarios if not s.mandatory and scenario_result(record, s.name) is ScenarioResult.FAIL
    )
    if passed:
        outcome = DeploymentOutcome.PASSED
    elif ScenarioResult.FAIL in results:
        outcome = DeploymentOutcome.FAILED
    else:
        outcome = DeploymentOutcome.INCONCLUSIVE
    return DeploymentVerdict(outcome, passed, reasons, optional)


def checked_table(scenarios: Iterable[Scenario], found: tuple[str, ...]) -> tuple[Scenario, ...]:
    """The scenarios, or `ConfigurationError` with every contradiction: nobody tests by a table that is not true."""
    if found:
        raise ConfigurationError("scenarios.yaml", " ".join(found[:20]), "Correct it; see: pps scenarios check.")
    return tuple(scenarios)


def reasons_against_deployment_test(patch: Patch, scenarios: Iterable[Scenario]) -> tuple[str, ...]:
    """Say why an update may not begin its deployment test; no reasons means that it may.

    Source: SD 4.1.2: the test "based on YAIM and release notes" runs in parallel with the preview, so a patch in
    certification will do as well as a certified one.
    """
    reasons = []
    if patch.state not in (PatchState.IN_CERTIFICATION, PatchState.CERTIFIED):
        reasons.append(
            f'The patch is "{patch.state}", neither "{PatchState.IN_CERTIFICATION}" nor "{PatchState.CERTIFIED}".'
        )
    if not patch.packages:
        reasons.append("It names no packages.")
    if not applicable(scenarios, patch):
        platforms = ", ".join(map(str, patch.platforms)) or "no platform"
        reasons.append(f"No scenario of scenarios.yaml fits {patch.metapackage} on {platforms}.")
    return tuple(reasons)
