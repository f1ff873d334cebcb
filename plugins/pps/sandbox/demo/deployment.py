"""What demos with deployment tests (SD 4.2.2) share: the base of the clean roots, and a look at the results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pps.activities.quality.deployment_tests import FOLDER, RESULTS, log_name
from pps.adapters.roots.clean_root import DebianRoots
from pps.domain.base.errors import CleanRootError
from pps.domain.quality.scenarios import Scenario, ScenarioResult, planned_scenarios, scenario_end, scenario_result
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.sites.site import Platform
from pps.sandbox.airflow.configuration import administrator_of
from pps.sandbox.demo import looks
from pps.sandbox.demo.play import Demo, DemoSummary, Table, Tell
from pps.services import clean_root_cache
from pps.workflow.paths import dag_of

DAG = dag_of(RolloutPath.PRE_DEPLOYMENT)
COLUMNS = {"scenario": "scenario", "runner": "runner", "result": "result", "seconds": "time", "reason": "why"}


def prepare_clean_root(platform: Platform, tell: Tell) -> None:
    """Make today's base while everything else starts; where this machine cannot, the scenario will say why."""
    try:
        DebianRoots(clean_root_cache()).prepare(platform)
    except CleanRootError as error:
        tell(f"no clean roots here: {error}")
    else:
        tell(f"the base of clean roots ({platform}, made once a day) is there")


def answer_scenario(demo: Demo, run: str, scenario: Scenario, choice: str, report: str, log: str = "") -> bool:
    """The people of a PPS member site answer for their scenario; False while they have not been asked."""
    question = demo.people.question(DAG, run, scenario.name)
    if question is None:
        return False
    demo.people.answer(administrator_of(scenario.runner), question, choice, {"report": report, "log": log})
    demo.tell(f"{scenario.runner} answers for scenario {scenario.name}: {choice}. {report}")
    return True


def of_member_sites(record: Rollout) -> list[Scenario]:
    """Scenarios that people run."""
    return [s for s in planned_scenarios(record) if not s.is_automatic]


def look(demo: Demo, summary: DemoSummary, record: Rollout, title: str) -> Mapping[str, ScenarioResult | None]:
    """Scenario -> result; a table of them. The published results and logs must say the same."""
    folder = demo.www / FOLDER / record.name
    published = _published(demo, summary, folder / RESULTS)
    found: dict[str, ScenarioResult | None] = {}
    rows = []
    for said in published.get("scenarios", ()):
        name, result = said["name"], scenario_result(record, said["name"])
        found[name] = result
        summary.expect(
            said["result"] == result, f"{folder / RESULTS} says that {name} is {said['result']}, not {result}."
        )
        log = looks.published(demo, summary, demo.www / log_name(record.name, name)) if said["log"] else ""
        ran = result is not ScenarioResult.INCONCLUSIVE or said["runner"] == "automatic"
        summary.expect(not ran or f"result: {result}" in log, f"The log of {name} does not say {result}.")
        seconds = sum(step["seconds"] for step in said["steps"])
        rows.append(
            {
                "scenario": name,
                "runner": said["runner"],
                "result": str(said["result"]),
                "seconds": f"{seconds:.0f} s" if seconds else "",
                "reason": said["reason"],
            }
        )
    planned = {s.name for s in planned_scenarios(record)}
    summary.expect(
        found and planned == set(found), f"{folder / RESULTS} does not have the scenarios {sorted(planned)}."
    )
    summary.tables.append(Table("scenarios", title, COLUMNS, rows))
    summary.places["results and logs"] = demo.www / FOLDER
    return found


def _published(demo: Demo, summary: DemoSummary, file: Path) -> Mapping[str, Any]:
    text = looks.published(demo, summary, file)
    found: Mapping[str, Any] = json.loads(text) if text else {}
    return found


def note_inconclusive(summary: DemoSummary, record: Rollout, scenario: Scenario) -> None:
    """This machine could not try it: said in the summary, and not taken for a pass."""
    end = scenario_end(record, scenario.name)
    why = str(end.payload["reason"]) if end else "it has not ended."
    summary.remarks.append(
        f"Scenario {scenario.name} could not be tried, so its platform may not go out, and stays behind; a release was "
        f"not shown. Why: {why}"
    )
