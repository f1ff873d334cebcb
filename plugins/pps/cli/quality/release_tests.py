"""`pps release-test`: let selected production sites try an update before it goes public (SD 4.2.3)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from pps.activities.quality import release_answers, release_testing
from pps.cli import output
from pps.cli.front import Front, front, group
from pps.cli.packages.patches import PatchNumber
from pps.cli.people import answering
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.working_days import due_after
from pps.domain.people import questions
from pps.domain.quality import release_tests as rules
from pps.domain.quality.pools import chosen_pools
from pps.domain.quality.release_tests import STEP
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.workflow.answers import Standing
from pps.workflow.paths import dag_of

#: The DAG that walks SD 4.2.3.
DAG = dag_of(RolloutPath.RELEASE_TEST)

app = group("Release testing: selected production sites try an update before it goes public.")

RolloutName = Annotated[
    str, typer.Argument(metavar="ROLLOUT", help="Name of the release test; pps rollout list shows them.")
]


class Choice(StrEnum):
    """What a site says, as one word."""

    ACCEPT = "accept"
    REJECT = "reject"
    CANNOT = "cannot"


_FULL = {Choice.ACCEPT: rules.ACCEPT, Choice.REJECT: rules.REJECT, Choice.CANNOT: rules.CANNOT}


@app.command()
def start(
    ctx: typer.Context,
    patch: PatchNumber,
    pool: Annotated[
        list[str] | None, typer.Option(metavar="POOL", help="This pool only; may be given again. Default: all.")
    ] = None,
    dry_run: output.DryRun = False,
    as_json: output.Json = False,
) -> None:
    """Deliver a certified patch to the pools' sites and ask them, through Airflow.

    What the rules refuse is not started: the reasons are listed instead.
    """
    here = front(ctx)
    services = here.services
    found = services.patch(patch)
    pools = chosen_pools(services.config.pools, pool or None)
    reasons = release_testing.reasons_against_opening(found, pools, services.config.sites)
    if opened := services.facts.rollouts(open_only=True, paths=(RolloutPath.RELEASE_TEST,), patch=patch):
        reasons = (f"It is being tried already, as {opened[0].name}.", *reasons)
    name = services.facts.next_name(RolloutPath.RELEASE_TEST, patch)
    if dry_run:
        taking_part, left_out = release_testing.division(found, pools, services.config.sites)
        due = {site: _due(here, site) for sites in taking_part.values() for site in sites}
        _show_dry_run(name, found.subject, reasons, taking_part, left_out, due, as_json=as_json)
        if reasons:
            raise typer.Exit(1)
        return None
    if reasons:
        raise RefusedError(found.subject, reasons, "See: pps pools list")
    conf: dict[str, Any] = {"patch": patch}
    if pool:
        conf["pools"] = [p.name for p in pools]
    run = here.airflow.trigger(DAG, conf)
    if as_json:
        return output.say_json({"rollout": name, "dag_id": DAG, "run_id": run})
    return output.say(f"Started {name} (Airflow run {run}).", f"Look at it: pps release-test show {name}")


def _due(here: Front, site: str) -> datetime:
    config = here.services.config
    policy = config.policies.release_test
    return due_after(here.now(), policy.answer_working_days, config.sites[site].timezone, policy.working_weekdays)


def _show_dry_run(
    name: str,
    subject: str,
    reasons: tuple[str, ...],
    taking_part: dict[str, list[str]],
    left_out: dict[str, tuple[str, ...]],
    due: dict[str, datetime],
    *,
    as_json: bool,
) -> None:
    if as_json:
        return output.say_json(
            {
                "rollout": name,
                "admitted": not reasons,
                "reasons_against": reasons,
                "pools": taking_part,
                "left_out": left_out,
                "answer_until": due,
            }
        )
    output.say(
        output.pairs(
            [
                ("release test", name),
                ("patch", subject),
                ("verdict", "refused" if reasons else "admitted"),
                *(("", f"- {reason}") for reason in reasons),
            ]
        )
    )
    rows = [(site, pool, output.moment(due[site])) for pool, sites in taking_part.items() for site in sites]
    if rows:
        output.say("", output.table(("SITE", "POOL", "WOULD ANSWER BY"), rows))
    if left_out:
        output.say("", output.table(("LEFT OUT", "WHY"), [(site, " ".join(why)) for site, why in left_out.items()]))
    return output.say("", "Dry run: nothing was started.")


@app.command()
def show(ctx: typer.Context, name: RolloutName, as_json: output.Json = False) -> None:
    """Show what the sites say, late answers included, and what was decided."""
    record = _release_test(front(ctx), name)
    found = release_answers.results(record)
    if as_json:
        return output.say_json(found)
    decided = rules.decision(record)
    output.say(
        output.pairs(
            [
                ("release test", record.name),
                ("outcome", found["outcome"] or "under way"),
                *(("", f"- {reason}") for reason in found["reasons"]),
                ("decision", f"{decided.choice} ({decided.user or 'nobody in time'})" if decided else "none yet"),
                *((("reason", decided.reason),) if decided and decided.reason else ()),
            ]
        ),
        "",
    )
    rows = []
    for site in found["sites"]:
        due = output.moment(site["due"]) if site["due"] else "-"
        answer = site["answer"]
        counts = (answer["choice"], "yes", answer["user"], answer["report"] or answer["services"]) if answer else None
        rows.append((site["site"], site["pool"], due, *(counts or ("-", "", "", ""))))
        for other in site["without_effect"]:
            why = "no: late" if other["late"] else "no: second"
            rows.append(("", "", "", other["choice"], why, other["user"], other["report"] or other["services"]))
    if not rows:
        return output.say("No site has been planned yet.")
    output.say(output.table(("SITE", "POOL", "UNTIL", "ANSWER", "COUNTS", "USER", "SAYS"), rows))
    if found["left_out"]:
        output.say(output.table(("LEFT OUT", "WHY"), found["left_out"].items()))
    return None


@app.command()
def answer(
    ctx: typer.Context,
    name: RolloutName,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site for which you answer.")],
    choice: Annotated[Choice, typer.Argument(metavar="accept|reject|cannot", help="What it says.")],
    report: Annotated[str, typer.Option(metavar="TEXT", help="What you did and saw.")] = "",
    services: Annotated[str, typer.Option(metavar="TEXT", help="Which services you applied it to.")] = "",
    wait: answering.Wait = True,
    as_json: output.Json = False,
) -> None:
    """Answer for a site: in time through Airflow's question, later as an answer that is kept but does not count.

    Says whether the answer was taken; exit code 1 if it was not.
    """
    here = front(ctx)
    record = _release_test(here, name)
    form = {"services": services or None, "report": report or None}
    if reasons := rules.reasons_against_answer(_FULL[choice], form):
        raise RefusedError(f"answer of {site}", reasons, "Give --services or --report.")
    asked = questions.question(record, STEP, site)
    if asked is None:
        raise NotYetAllowedError(f"{name}, {site}", "nobody has asked this site.", f"See: pps release-test show {name}")
    if release_answers.is_open(record, site, here.now()):
        dag, _, run = str(record.opened["run"]).partition("/")
        waiting = [q for q in here.airflow.questions(dag, run) if q.subject.startswith(asked.title)]
        if not waiting:
            why = "Airflow is just putting the question, or taking an answer."
            raise NotYetAllowedError(f"{name}, {site}", why, "Try again in a moment.")
        verdict = answering.outcome(here, waiting[0], _FULL[choice], form, wait=wait)
        if verdict.standing is Standing.NOT_TAKEN:
            raise RefusedError(f"answer of {site}", ("Not taken:", *verdict.reasons))
        counts = {Standing.TAKEN: True, Standing.WITHOUT_EFFECT: False}.get(verdict.standing)  # None: nobody knows yet
        said: dict[str, Any] = {"rollout": name, "site": site, "choice": _FULL[choice], "counts": counts}
        word = answering.word(verdict)
    else:
        body = {"step": STEP, "subject": site, "choice": _FULL[choice], "form": form}
        said = here.post(f"rollouts/{name}/answers", body, about=f"answer of {site}")
        word = "It is in time." if said["counts"] else "It is late, or not the first: it is kept, but does not count."
    if as_json:
        return output.say_json(said)
    return output.say(f"Answered for {site}: {said['choice']}. {word}")


def _release_test(here: Front, name: str) -> Rollout:
    record = here.services.facts.rollout(name)
    if record.path is not RolloutPath.RELEASE_TEST:
        raise RefusedError(name, ("It is not a release test.",), f"See: pps rollout show {name}")
    return record
