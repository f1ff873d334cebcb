"""How demos of pilots look at the end: deployment test, decision, tracker, production repository."""

from __future__ import annotations

from pathlib import Path

from pps.domain.packages.patch import Patch, PatchState
from pps.domain.quality.scenarios import ScenarioResult, planned_scenarios
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout
from pps.sandbox.demo import deployment, looks, pilot_looks
from pps.sandbox.demo.pilot import PilotDemo
from pps.sandbox.demo.play import DemoSummary, Table


def look_at_test(demo: PilotDemo, summary: DemoSummary, test: Rollout) -> bool:
    """Whether the release may go out by the deployment test beside the pilot; where nobody could try it, it may not."""
    found = deployment.look(demo, summary, test, f"Deployment test beside it: {test.name}")
    may = True
    for scenario in planned_scenarios(test):
        result = found.get(scenario.name)
        if result is ScenarioResult.INCONCLUSIVE:
            deployment.note_inconclusive(summary, test, scenario)
            may = False
        else:
            so = result is ScenarioResult.PASS
            summary.expect(so, f"Scenario {scenario.name} should have passed; it is {result}.")
    return may


def look_at_the_end(demo: PilotDemo, summary: DemoSummary, record: Rollout, patch: Patch, *, released: bool) -> None:
    """The last round's outcome, and what the world has of it."""
    outcome_is(summary, record, "released" if released else "not released")
    if released:
        looks.in_production(demo, summary, patch, tarball=False)
        pilot_looks.same_bytes(demo, summary, record, patch)
        people = demo.services.config.people
        for address in (*(vo.contact for vo in people.vos), *(roc.contact for roc in people.rocs)):
            looks.mail_to(demo, summary, address, "In production")
    else:
        looks.not_in_production(demo, summary, patch, PatchState.CERTIFIED)
    summary.expect(all(r["why"] for r in demo.refusals), "Somebody could do what is not theirs to do.")
    columns = {"who": "who", "what": "tries to", "why": "is told"}
    summary.tables.append(Table("refusals", "Refused", columns, demo.refusals))
    summary.places |= {
        "reports of the sites": demo.www / "pilots",
        "mirror": Path(demo.services.mirror_folder.path),
        "production repository": demo.production,
        "mails": demo.mails,
        "Airflow's logs": demo.installation.folder / "airflow" / "logs",
    }
    for what, path in summary.places.items():
        summary.expect(path.exists(), f"There is no {what} at {path}.")


def outcome_is(summary: DemoSummary, record: Rollout, wanted: str) -> None:
    """The round has ended with this outcome."""
    closed = record.the(FactKind.ROLLOUT_CLOSED)
    found = str(closed.payload["outcome"]) if closed else "none"
    summary.expect(found == wanted, f"The outcome of {record.name} is {found!r}, not {wanted!r}.")
