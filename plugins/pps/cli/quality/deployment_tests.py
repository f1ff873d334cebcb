"""`pps deployment-test`: try an update's deployment over its scenarios, and see how that went (SD 4.2.2)."""

from __future__ import annotations

from typing import Annotated

import typer

from pps.activities.quality.deployment_tests import (
    PRE_DEPLOYMENT,
    log_name,
    newest_deployment_test,
    results,
    results_for_people,
)
from pps.cli import output
from pps.cli.front import front, group
from pps.cli.packages.patches import PatchNumber
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.quality.scenarios import applicable, planned_scenario, reasons_against_deployment_test
from pps.domain.record.rollouts import RolloutPath
from pps.workflow.paths import dag_of

#: The DAG that walks SD 4.2.2.
DAG = dag_of(RolloutPath.PRE_DEPLOYMENT)

app = group("The deployment test of an update, over its scenarios.")


@app.command()
def start(
    ctx: typer.Context,
    patch: PatchNumber,
    dry_run: output.DryRun = False,
    as_json: output.Json = False,
) -> None:
    """Test a patch over every scenario that fits it, through Airflow.

    What the rules refuse is not started: the reasons are listed instead.
    """
    here = front(ctx)
    services = here.services
    found, table = services.tracker.patch(patch), services.config.scenarios
    reasons = reasons_against_deployment_test(found, table)
    if opened := services.facts.rollouts(open_only=True, paths=(PRE_DEPLOYMENT,), patch=patch):
        reasons = (f"It is being tested already, as {opened[0].name}.", *reasons)
    name = services.facts.next_name(PRE_DEPLOYMENT, patch)
    fitting = applicable(table, found)
    if dry_run:
        against = {s.name: services.clean_roots.reasons_against(s.platform) for s in fitting if s.is_automatic}
        if as_json:
            output.say_json(
                {
                    "rollout": name,
                    "admitted": not reasons,
                    "reasons_against": reasons,
                    "scenarios": fitting,
                    "reasons_against_automatic_runner_here": against,
                }
            )
        else:
            output.say(
                output.pairs(
                    [
                        ("test", name),
                        ("patch", found.subject),
                        ("verdict", "refused" if reasons else "admitted"),
                        *(("", f"- {reason}") for reason in reasons),
                    ]
                )
            )
            rows = [(s.name, s.platform, s.runner, " ".join(against.get(s.name, ()))) for s in fitting]
            if rows:
                output.say("", output.table(("SCENARIO", "PLATFORM", "RUNNER", "NOT ON THIS MACHINE BECAUSE"), rows))
            output.say("", "Dry run: nothing was started.")
        if reasons:
            raise typer.Exit(1)
        return None
    if reasons:
        raise RefusedError(found.subject, reasons, "See: pps scenarios list")
    run = here.airflow.trigger(DAG, {"patch": patch})
    if as_json:
        return output.say_json({"rollout": name, "dag_id": DAG, "run_id": run})
    return output.say(f"Started {name} (Airflow run {run}).", f"Look at it: pps deployment-test show {patch}")


@app.command()
def show(
    ctx: typer.Context,
    patch: PatchNumber,
    log: Annotated[str, typer.Option("--log", metavar="SCENARIO", help="Print the log of this scenario instead.")] = "",
    as_json: output.Json = False,
) -> None:
    """Show the newest deployment test of a patch: scenarios, results, and where their logs are."""
    services = front(ctx).services
    record = newest_deployment_test(services.facts, patch)
    if record is None:
        raise NotYetAllowedError(
            f"patch {patch}", "has had no deployment test.", f"Start one: pps deployment-test start {patch} --dry-run"
        )
    if log:
        planned_scenario(record, log)
        text = services.publication_folder.read(log_name(record.name, log))
        if text is None:
            raise NotYetAllowedError(f"scenario {log}", "has no log yet.", f"See: pps deployment-test show {patch}")
        return output.say(text.decode())
    if as_json:
        return output.say_json(results(record))
    found = results_for_people(record)
    output.say(
        output.pairs(
            [
                ("test", record.name),
                ("outcome", found["outcome"] or "under way"),
                ("may go out for", ", ".join(found["platforms"]) or "no platform yet"),
                *(("", f"- {reason}") for reason in found["reasons"]),
            ]
        ),
        "",
    )
    rows = [(s["name"], s["platform"], s["runner"], s["result"] or "-", s["reason"]) for s in found["scenarios"]]
    if not rows:
        return output.say("No scenario has been planned yet.")
    return output.say(
        output.table(("SCENARIO", "PLATFORM", "RUNNER", "RESULT", "REASON"), rows),
        f"A log: pps deployment-test show {patch} --log SCENARIO",
    )
