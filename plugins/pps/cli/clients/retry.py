"""`pps rollout retry`: try sites again where a preview has failed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pps.activities.clients.opening import level_for
from pps.activities.clients.standing import told
from pps.activities.sites.wishes import all_wishes
from pps.cli import output
from pps.cli.front import Front, front
from pps.domain.base.errors import RefusedError, RolloutError, ServiceError
from pps.domain.clients.retries import Retry, retry_of
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.domain.record.site_states import OFFERED, STATE_KINDS
from pps.workflow.paths import RETRY

_EVERY_S = 2.0
_MISSES_AT_MOST = 30
_NOT_TRIED = "Nothing new is on record."


def retry(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ROLLOUT", help="Name of the rollout; pps rollout list shows them.")],
    site: Annotated[
        list[str] | None,
        typer.Option(metavar="SITE", help="Only this site; may be given again. Default: all that have failed."),
    ] = None,
    dry_run: output.DryRun = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Start it, and do not watch.")] = False,
    as_json: output.Json = False,
) -> None:
    """Try the sites again where a preview has failed, through Airflow, and say what became of each.

    The rules are those of the rollout: nothing goes to a site that the night would not serve. Exit code 1 if a site
    has failed again.
    """
    here = front(ctx)
    record = here.services.facts.rollout(name)
    wishes = all_wishes(here.services.facts, here.now())
    plan = retry_of(record, here.services.config.sites, level_for(record.path), site or (), wishes)
    if dry_run:
        _show_plan(record, plan, as_json=as_json)
        if plan.reasons_against:
            raise typer.Exit(1)
        return None
    if plan.reasons_against:
        raise RefusedError(f"another try of {name}", plan.reasons_against, f"Look at: pps rollout show {name}")
    sites = [p.site for p in plan.sites]
    run = here.airflow.trigger(RETRY, {"rollout": name, **({"sites": sites} if site else {})})
    started = {"rollout": name, "dag_id": RETRY, "run_id": run, "asked": sites, "left_alone": plan.left_alone}
    if no_wait:
        if as_json:
            return output.say_json(started)
        return output.say(
            f"{', '.join(sites)}: tried again (Airflow run {run}).", f"See how far it is: pps rollout show {name}"
        )
    if not as_json:
        output.say(f"{', '.join(sites)}: tried again (Airflow run {run}). Ctrl-C stops watching, not the run.")
        _say_left_alone(plan)
    state, seen = _watch(here, record, run, sites, as_json=as_json)
    rows = [_became(record, seen, one) for one in sites]
    if as_json:
        output.say_json(started | {"run_state": state, "sites": rows})
    else:
        table = [(r["site"], r["before"], r["state"], r["reason"]) for r in rows]
        output.say("", output.table(("SITE", "BEFORE", "NOW", "REASON"), table))
    if state == "failed":
        step = "Look at its tasks in Airflow, correct the cause, and clear them."
        raise RolloutError(f"Airflow run {run}", "has failed.", step)
    if not all(seen.progress(one).state in OFFERED for one in sites):
        raise typer.Exit(1)
    return None


def _show_plan(record: Rollout, plan: Retry, *, as_json: bool) -> None:
    if as_json:
        sites = [{"site": p.site, "state": p.state, "reason": p.reason} for p in plan.sites]
        return output.say_json(
            {
                "rollout": record.name,
                "reasons_against": plan.reasons_against,
                "sites": sites,
                "left_alone": plan.left_alone,
            }
        )
    output.say(
        output.pairs(
            [
                ("rollout", record.name),
                ("verdict", "refused" if plan.reasons_against else "admitted"),
                *(("", f"- {reason}") for reason in plan.reasons_against),
            ]
        )
    )
    if plan.sites:
        rows = [(p.site, p.state, output.moment(p.fact.at) if p.fact else "-", p.reason) for p in plan.sites]
        output.say("", output.table(("TRIED AGAIN", "STATE", "SINCE", "REASON"), rows))
    _say_left_alone(plan)
    return output.say("", "Dry run: nothing was started.")


def _say_left_alone(plan: Retry) -> None:
    if plan.left_alone:
        rows = [(name, " ".join(reasons)) for name, reasons in plan.left_alone.items()]
        output.say("", output.table(("LEFT ALONE", "WHY"), rows))


def _watch(here: Front, before: Rollout, run: str, sites: list[str], *, as_json: bool) -> tuple[str, Rollout]:
    """Show what is recorded of the sites until the run has ended; how it ended, and the record then."""
    seen, misses = before, 0
    while True:
        try:
            state = here.airflow.run_state(RETRY, run)
            now = here.services.facts.rollout(before.name)
        except ServiceError:  # a service that is restarted changes nothing for the run
            misses += 1
            if misses > _MISSES_AT_MOST:
                raise
        else:
            misses = 0
            for fact in _of_sites(now.facts[len(seen.facts) :], sites) if not as_json else ():
                output.say(f"{output.moment(fact.at)}  {fact.kind.value}  {fact.subject}  {told(fact)}".rstrip())
            seen = now
            if state in ("success", "failed"):
                return state, seen
        here.pause(_EVERY_S)


def _of_sites(facts: tuple[Fact, ...], sites: list[str]) -> list[Fact]:
    return [fact for fact in facts if fact.subject in sites and fact.kind in STATE_KINDS]


def _became(before: Rollout, now: Rollout, site: str) -> dict[str, Any]:
    """What the facts say of one site: where it stood, where it stands, and why."""
    progress = now.progress(site)
    new = _of_sites(now.facts[len(before.facts) :], [site])
    reason = progress.reason if new else " ".join(filter(None, (_NOT_TRIED, progress.reason)))
    return {"site": site, "before": before.progress(site).state, "state": progress.state, "reason": reason}
