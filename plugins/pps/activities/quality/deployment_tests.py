"""The pre-deployment test of an update over its deployment scenarios (SD 4.1.2, 4.2.1, 4.2.2).

"The pilot is meant to allow the functionality testing, whereas the deployment test in the PPS infrastructure, based
on YAIM and release notes is focused on several deployment scenarios (OS, architectures). The two activities run in
parallel." A test is a record of its own, beside the preview's; its verdict limits the release.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from pps.activities.desk import Desk, Office
from pps.activities.packages.advice import note_advice
from pps.activities.ports.clean_roots import CleanRoots
from pps.activities.ports.packages import PackageRepositories
from pps.activities.ports.publication import PublicationFolder
from pps.activities.ports.record import Facts
from pps.activities.ports.tracker import Tracker
from pps.activities.quality.scenario_run import readable_log, try_update
from pps.domain.base.errors import NotYetAllowedError, PatchNotFoundError, RefusedError, ServiceError
from pps.domain.base.texts import one_line, shown_to_the_public
from pps.domain.packages.patch import Patch
from pps.domain.people.questions import Given
from pps.domain.people.users import users_in
from pps.domain.quality.scenarios import (
    DeploymentOutcome,
    DeploymentVerdict,
    Scenario,
    ScenarioResult,
    applicable,
    deployment_verdict,
    planned_scenario,
    planned_scenarios,
    reasons_against_deployment_test,
    scenario_end,
    scenario_payload,
)
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath

log = logging.getLogger(__name__)

PRE_DEPLOYMENT = RolloutPath.PRE_DEPLOYMENT
#: Below the publication folder.
FOLDER = "deployment-tests"
RESULTS = "results.json"


def update_digest(patch: Patch) -> str:
    """The digest of what a deployment test tries of a patch: another digest is another update, which was not tested."""
    content = [
        [patch.metapackage, patch.version, patch.special_configuration],
        [patch.repository.kind, patch.repository.url, patch.repository.suite, *patch.repository.components],
        sorted(map(str, patch.packages)),
        sorted(map(str, patch.externals)),
        [*patch.new_variables, *patch.changed_variables],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def open_deployment_test(office: Office, patch: Patch, scenarios: Iterable[Scenario], *, run: str) -> str:
    """Register the deployment test of a patch; returns its name. The same `run` once more gets the same name.

    Raises:
        RefusedError: the patch is in another state, or no scenario fits it; nothing was recorded.
        AlreadyOpenError: another run tests this patch.
    """
    name = office.facts.next_name(PRE_DEPLOYMENT, patch.number, run)
    already_ours = any(r.name == name for r in office.facts.rollouts(open_only=True, paths=(PRE_DEPLOYMENT,)))
    if not already_ours and (reasons := reasons_against_deployment_test(patch, scenarios)):
        raise RefusedError(patch.subject, reasons, "Correct the patch, or declare scenarios: pps scenarios list")
    payload = {
        "path": PRE_DEPLOYMENT.value,
        "patch": patch.number,
        "title": patch.title,
        "metapackage": patch.metapackage,
        "version": patch.version,
        "platforms": [str(p) for p in patch.platforms],
        "update": update_digest(patch),
        "run": run,
    }
    note_advice(office, patch)
    office.facts.open(
        PRE_DEPLOYMENT,
        patch.number,
        Fact(name, FactKind.ROLLOUT_OPENED, "", "", office.now, office.actor, payload),
        run,
    )
    return name


def plan_scenarios(desk: Desk, scenarios: Iterable[Scenario]) -> tuple[Scenario, ...]:
    """Agree once on the scenarios of this test; the table may change meanwhile, the plan does not."""
    record = desk.rollout
    patch = desk.patch
    if not record.has(FactKind.SCENARIOS_PLANNED):
        wanted = applicable(scenarios, patch)
        if not wanted:
            raise RefusedError(record.name, reasons_against_deployment_test(patch, ()), "See: pps scenarios list")
        payload = {"scenarios": [scenario_payload(s) for s in wanted]}
        desk.record(desk.fact(FactKind.SCENARIOS_PLANNED, "", "", payload))
        record = desk.look_again()
    return planned_scenarios(record)


def run_scenario(
    desk: Desk,
    scenario_name: str,
    clean_roots: CleanRoots,
    repositories: PackageRepositories,
    *,
    publication: PublicationFolder,
    keyring: Path | None = None,
    step_within: timedelta = timedelta(minutes=30),
) -> ScenarioResult:
    """Run one automatic scenario and record how it ended, with its log. What was learnt once is not asked again.

    A scenario that ended inconclusively is run again when the task is cleared.

    Args:
        keyring: the keys with which the provider's repository must be signed.
    """
    record = desk.rollout
    patch = desk.patch
    scenario = planned_scenario(record, scenario_name)
    if not scenario.is_automatic:
        raise NotYetAllowedError(record.name, f"{scenario_name} is run by {scenario.runner}.", "Wait for its answer.")
    if standing := _standing(record, scenario_name):
        return standing
    report = try_update(patch, scenario.platform, clean_roots, repositories, keyring=keyring, step_within=step_within)
    result, reason = report.result, report.reason
    if update_digest(patch) != record.opened["update"]:
        result, reason = ScenarioResult.INCONCLUSIVE, "The patch has changed since this test began. Start a new one."
    place = log_name(record.name, scenario_name)
    publication.publish(place, _headed(record, scenario, result, report.log))
    more = {"log": place, "steps": [asdict(step) for step in report.steps]}
    desk.record(ended(desk.later(), scenario, result, reason, more))
    return result


def ended(
    desk: Desk, scenario: Scenario, result: ScenarioResult, reason: str, more: Mapping[str, Any] | None = None
) -> Fact:
    """The fact that a scenario ended, for the occasion that is next: an inconclusive one may end again."""
    payload = {"result": result.value, "platform": str(scenario.platform), "reason": reason, "log": ""}
    occasion = desk.next_occasion(FactKind.SCENARIO_ENDED, scenario.name)
    by = {"by": scenario.runner}
    return desk.fact(FactKind.SCENARIO_ENDED, scenario.name, occasion, {**payload, **by, **(more or {})})


def check_answer(scenario_name: str, given: Given) -> ScenarioResult:
    """The result that a member site's answer says; `RefusedError` if it says that it did not pass, and not why."""
    result = ScenarioResult(given.choice.lower())
    if result is not ScenarioResult.PASS and not str(given.form.get("report") or "").strip():
        raise RefusedError(scenario_name, (f"A result of {result!s} needs a report that says why.",), "Answer again.")
    return result


def ended_at_site(desk: Desk, scenario_name: str, given: Given, publication: PublicationFolder) -> tuple[Fact, ...]:
    """The fact that follows from a member site's answer, its log published; none if the scenario has ended.

    Raises:
        RefusedError: the site says that it did not pass, but not why.
    """
    record = desk.rollout
    report, log_excerpt = str(given.form.get("report") or ""), str(given.form.get("log") or "")
    scenario = planned_scenario(record, scenario_name)
    if _standing(record, scenario_name):
        return ()
    result = check_answer(scenario_name, given)
    place = log_name(record.name, scenario_name)
    text = readable_log("\n\n".join(part for part in (report.strip(), log_excerpt.rstrip()) if part) + "\n")
    publication.publish(place, _headed(record, scenario, result, text))
    more = {"log": place, "by": scenario.runner, "user": given.user, "steps": []}
    return (ended(desk.by(given.who, given.at), scenario, result, one_line(report, 600), more),)


def nobody_ran(desk: Desk, scenario_name: str, reason: str) -> tuple[Fact, ...]:
    """The fact that a scenario ended without having been run; none if it has ended."""
    if scenario_end(desk.rollout, scenario_name) is not None:
        return ()
    return (ended(desk, planned_scenario(desk.rollout, scenario_name), ScenarioResult.INCONCLUSIVE, reason),)


def tell_provider(desk: Desk, tracker: Tracker, *, publication: PublicationFolder, fall_back: str) -> int:
    """A scenario that failed goes back to the provider with its log; returns how many mails are new.

    Args:
        fall_back: address for a patch without a provider.
    """
    record = desk.rollout
    patch = desk.patch
    to = patch.provider or fall_back
    failed = [s for s in planned_scenarios(record) if _standing(record, s.name) is ScenarioResult.FAIL]
    new = 0
    for scenario in failed:
        end = scenario_end(record, scenario.name)
        assert end is not None  # noqa: S101 (it failed)
        view = {
            "rollout": record.name,
            "opened": record.opened,
            "scenario": scenario,
            "reason": end.payload["reason"],
            "steps": end.payload.get("steps", []),
            "by": "the automatic runner" if scenario.is_automatic else scenario.runner,
            "at": end.at,
            "page": tracker.page(patch.number),
        }
        fact = desk.fact(FactKind.PROVIDER_TOLD, scenario.name, "", {"to": to})
        mail = desk.letter(
            "deployment_failed",
            view,
            key=fact,
            to=to,
            subject=f"Failed: {patch.metapackage} {patch.version} in scenario {scenario.name} (patch {patch.number})",
            attachments=((f"{scenario.name}.txt", "text/plain", _log_text(publication, end)),),
        )
        new += len(desk.record(fact, mails=[mail]))
    for scenario in failed:
        _comment(tracker, record, scenario)
    return new


def close_deployment_test(desk: Desk, *, publication: PublicationFolder) -> DeploymentVerdict:
    """Publish the results and end the test. Repeating it changes nothing.

    Raises:
        NotYetAllowedError: a scenario has not ended.
    """
    record = desk.rollout
    verdict = deployment_verdict(record)
    if record.is_closed:
        return verdict
    record.need(FactKind.SCENARIOS_PLANNED, "Plan the scenarios first.")
    if open_ones := [s.name for s in planned_scenarios(record) if scenario_end(record, s.name) is None]:
        raise NotYetAllowedError(
            record.name, f"these scenarios must end first: {', '.join(open_ones)}.", "Wait, or clear the task of each."
        )
    shown = shown_to_the_public(results(record), users_in(record))
    text = json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
    publication.publish(f"{FOLDER}/{record.name}/{RESULTS}", text)
    payload = {
        "outcome": verdict.outcome.value,
        "platforms": [str(p) for p in verdict.platforms],
        "reasons": list(verdict.reasons),
    }
    desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", payload))
    return verdict


def newest_deployment_test(facts: Facts, patch_number: int, *, ended_only: bool = False) -> Rollout | None:
    """The record of a patch's newest deployment test, or None."""
    rows = facts.rollouts(paths=(PRE_DEPLOYMENT,), patch=patch_number)
    name = next((row.name for row in rows if row.closed_at is not None or not ended_only), None)
    return None if name is None else facts.rollout(name)


def needs_deployment_test(facts: Facts, patch: Patch) -> bool:
    """Tell whether a test of the patch as it is now has to be started: none is open, and none has ended for it.

    One that ended and found nothing out is not repeated for the same packages: somebody should find out why.
    """
    newest = newest_deployment_test(facts, patch.number)
    return newest is None or (newest.is_closed and newest.opened["update"] != update_digest(patch))


def newest_deployment_verdict(facts: Facts, patch_number: int, patch: Patch | None = None) -> DeploymentVerdict | None:
    """What the newest deployment test of a patch that has ended says of its release; None: it has had none.

    Args:
        patch: as it is now. If its packages or configuration are not those that were tested, the verdict is
            inconclusive, whatever it was.
    """
    record = newest_deployment_test(facts, patch_number, ended_only=True)
    if record is None:
        return None
    if patch is not None and update_digest(patch) != record.opened["update"]:
        why = f"The patch has changed since its deployment test {record.name}, so a new one is needed."
        return DeploymentVerdict(DeploymentOutcome.INCONCLUSIVE, (), (why,))
    return deployment_verdict(record)


def results(record: Rollout) -> Mapping[str, Any]:
    """The results of a test, for programs: `results.json`, and `pps deployment-test show --json`."""
    verdict = deployment_verdict(record)
    return {
        "version": 1,
        "rollout": record.name,
        "patch": record.patch_number,
        "metapackage": record.opened["metapackage"],
        "outcome": verdict.outcome.value if record.is_closed or _all_ended(record) else None,
        "platforms": [str(p) for p in verdict.platforms],
        "reasons": list(verdict.reasons),
        "scenarios": [_result(record, s) for s in planned_scenarios(record)],
    }


def results_for_people(record: Rollout) -> Mapping[str, Any]:
    """The same for documents and mails, with the outcome in words; None while it is under way."""
    found = results(record)
    return {**found, "outcome": found["outcome"] and deployment_verdict(record).in_words}


def log_name(rollout: str, scenario: str) -> str:
    """Where a scenario's log is, below the publication folder."""
    return f"{FOLDER}/{rollout}/{scenario}.txt"


def _result(record: Rollout, scenario: Scenario) -> dict[str, Any]:
    end = scenario_end(record, scenario.name)
    said: Mapping[str, Any] = end.payload if end else {}
    return {
        **scenario_payload(scenario),
        "result": said.get("result"),
        "reason": said.get("reason", ""),
        "log": said.get("log", ""),
        "steps": said.get("steps", []),
        "ended_at": end.at.isoformat(timespec="seconds") if end else None,
    }


def _all_ended(record: Rollout) -> bool:
    scenarios = planned_scenarios(record)
    return bool(scenarios) and all(scenario_end(record, s.name) for s in scenarios)


def _standing(record: Rollout, scenario_name: str) -> ScenarioResult | None:
    """The result that stays: a pass or a failure; once the test is closed, whatever it was."""
    end = scenario_end(record, scenario_name)
    if end is None:
        if record.is_closed:
            raise NotYetAllowedError(record.name, "it has been closed.", "Start a new deployment test.")
        return None
    result = ScenarioResult(end.payload["result"])
    return result if record.is_closed or result is not ScenarioResult.INCONCLUSIVE else None


def _headed(record: Rollout, scenario: Scenario, result: ScenarioResult, text: str) -> str:
    opened = record.opened
    return (
        f"{opened['metapackage']} {opened['version']} (patch {opened['patch']}), scenario {scenario.name}\n"
        f"platform {scenario.platform}, node type {scenario.node_type}, system {scenario.system or '-'}, "
        f"runner {scenario.runner}, wanted by {scenario.origin}\nresult: {result}\n\n{text}"
    )


def _log_text(publication: PublicationFolder, end: Fact) -> str:
    if not end.payload["log"]:
        return ""
    try:
        log = publication.read(end.payload["log"])
    except ServiceError:  # the provider hears of the failure all the same
        log = None
    return "The log is no longer there.\n" if log is None else log.decode()


def _comment(tracker: Tracker, record: Rollout, scenario: Scenario) -> None:
    end = scenario_end(record, scenario.name)
    assert end is not None  # noqa: S101 (it failed)
    what = f"Deployment test {record.name}: scenario {scenario.name} ({scenario.platform}) failed."
    try:
        tracker.comment(record.patch_number, one_line(f"{what} {end.payload['reason']}", 2000))
    except (PatchNotFoundError, RefusedError, ServiceError) as error:
        # one that takes no comments, or is away: the provider has the mail, and the ticket says the same
        # (`activities.pilots.tickets`), within an hour after it answers again
        log.warning("No comment on patch %s: %s", record.patch_number, error)


def names_of(scenarios: Sequence[Scenario], *, automatic: bool) -> list[str]:
    """The scenarios of our own runner, or those of sites."""
    return [s.name for s in scenarios if s.is_automatic is automatic]
