"""`pps pilot`: server updates in production at partner sites, for an agreed time (SD 4.1.3, 4.1.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pps.activities.pilots import request as pilot_request
from pps.activities.pilots import screening
from pps.activities.pilots.request import PilotRequest
from pps.activities.pilots.standing import Addresses, view
from pps.cli import output
from pps.cli.front import Front, front, group
from pps.cli.packages.patches import PatchNumber
from pps.cli.pilots import standing as pilot_standing
from pps.domain.base.errors import RefusedError
from pps.domain.packages.patch import Patch
from pps.domain.pilots.candidates import Ranking
from pps.domain.pilots.pilot import Pilot
from pps.domain.pilots.server_updates import Compatibility, UpdateVerdict
from pps.domain.record.rollouts import PILOTS
from pps.workflow.paths import dag_of

app = group("Pilots: a server update runs in production at partner sites, for an agreed time.")

PilotName = Annotated[str, typer.Argument(metavar="PILOT", help="Name of the pilot; pps pilot list shows them.")]

_SIZE = {"minor": "minor: kept internal to the service infrastructure", "major": "major: VOs take part"}
_COMPATIBILITY = {
    Compatibility.BC: "bc: run by Gold partners, as in SD 4.1.3",
    Compatibility.NON_BC: "non-bc: run by Platinum partners, as in SD 4.1.4",
}


def _verdict(here: Front, patch: Patch) -> UpdateVerdict:
    services = here.services
    limits = services.config.policies.minor_update.to_domain()
    return pilot_request.verdict_on(patch, services.facts.dossier(patch.number), limits)


def _data(patch: Patch, verdict: UpdateVerdict) -> dict[str, Any]:
    return {
        "patch": patch.number,
        "kind": verdict.size,
        "compatibility": verdict.compatibility,
        "level": verdict.level,
        "path": verdict.path,
        "reasons_for_major": verdict.reasons_for_major,
        "reasons_for_non_bc": verdict.reasons_for_non_bc,
    }


@app.command()
def judge(ctx: typer.Context, patch: PatchNumber, as_json: output.Json = False) -> None:
    """Say whether a server update is minor or major, backward compatible or not, and why; starts nothing."""
    here = front(ctx)
    found = here.services.patch(patch)
    verdict = _verdict(here, found)
    if as_json:
        return output.say_json(_data(found, verdict))
    return _say_verdict(found, verdict)


def _say_verdict(patch: Patch, verdict: UpdateVerdict) -> None:
    def because(reasons: tuple[str, ...]) -> list[tuple[str, object]]:
        return [("because" if n == 0 else "", f"- {reason}") for n, reason in enumerate(reasons)]

    output.say(
        output.pairs(
            [
                ("patch", patch.subject),
                ("update", _SIZE[verdict.size]),
                *because(verdict.reasons_for_major),
                ("compatibility", _COMPATIBILITY[verdict.compatibility]),
                *because(verdict.reasons_for_non_bc),
            ]
        )
    )


@app.command()
def request(
    ctx: typer.Context,
    patch: PatchNumber,
    scope: Annotated[str, typer.Option(metavar="TEXT", help="Use cases, scope and goals.", show_default=False)],
    vo: Annotated[str, typer.Option(metavar="VO", help="The VO that asks. Default: the EMT does.")] = "",
    justification: Annotated[
        str, typer.Option(metavar="TEXT", help="Why software that is not certified is used; put on record.")
    ] = "",
    dry_run: output.DryRun = False,
    as_json: output.Json = False,
) -> None:
    """Ask for a pilot, through Airflow; the PPS Coordinator accepts or declines it.

    What the rules refuse is not started: the reasons are listed instead.
    """
    here = front(ctx)
    services = here.services
    found = services.patch(patch)
    verdict = _verdict(here, found)
    asked = PilotRequest(here.actor, scope, vo, justification)
    vos = [known.name for known in services.config.people.vos]
    reasons = pilot_request.reasons_against_request(found, services.facts.dossier(patch), asked, vos)
    if opened := services.facts.rollouts(open_only=True, paths=PILOTS, patch=patch):
        reasons = (f"It has a pilot already, {opened[0].name}.", *reasons)
    name = services.facts.next_name(verdict.path, patch)
    if dry_run:
        data = {"pilot": name, "admitted": not reasons, "reasons_against": reasons, **_data(found, verdict)}
        if as_json:
            output.say_json(data)
        else:
            _say_verdict(found, verdict)
            output.say("", "It would be refused:" if reasons else f"It would be asked for, as {name}.", *reasons)
        if reasons:
            raise typer.Exit(1)
        return None
    if reasons:
        raise RefusedError(found.subject, reasons, f"See: pps pilot judge {patch}")
    conf = {"patch": patch, "scope": scope} | ({"vo": vo} if vo else {})
    conf |= {"justification": justification} if justification else {}
    run = here.airflow.trigger(dag_of(verdict.path), conf)
    if as_json:
        return output.say_json({"pilot": name, "dag_id": dag_of(verdict.path), "run_id": run, **_data(found, verdict)})
    _say_verdict(found, verdict)
    return output.say("", f"Asked for {name} (Airflow run {run}).", f"Look at it: pps pilot show {name}")


@app.command("list")
def list_pilots(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    as_json: output.Json = False,
) -> None:
    """List the pilots, newest first."""
    facts = front(ctx).services.facts
    found = [Pilot(facts.rollout(row.name)) for row in facts.rollouts(open_only=not all_, paths=PILOTS)]
    if as_json:
        return output.say_json(
            [
                {"pilot": p.name, "stage": p.stage, "round": p.round, "sites": p.sites, "runs_until": p.runs_until}
                for p in found
            ]
        )
    if not found:
        return output.say("No pilots.")
    rows = [(p.name, p.stage, p.round, output.moment(p.runs_until), ", ".join(p.sites) or "-") for p in found]
    return output.say(output.table(("PILOT", "STAGE", "ROUND", "RUNS UNTIL", "SITES"), rows))


@app.command()
def show(ctx: typer.Context, name: PilotName, as_json: output.Json = False) -> None:
    """Show where a pilot stands: verdict, dates, sites, VOs, how it did, who is asked, and what comes next."""
    here = front(ctx)
    pilot = Pilot(here.services.facts.rollout(name))
    data = _state(here, pilot)
    if as_json:
        return output.say_json(data)
    output.say(output.pairs(_rows(data)))
    return pilot_standing.say(data)


def _state(here: Front, pilot: Pilot) -> dict[str, Any]:
    services = here.services
    addresses = Addresses(services.config.service.public_url, services.mirror_url)
    criteria = services.config.policies.pilots.criteria
    return view(services.facts, pilot.record, criteria, addresses, here.now())


def _rows(data: Mapping[str, Any]) -> list[tuple[str, object]]:
    agreed, answer, judged = data["agreed"], data["answer"], data["assessment"]
    rows: list[tuple[str, object]] = [
        ("pilot", data["pilot"] + (f", round {data['round']} of {data['first_round']}" if data["round"] > 1 else "")),
        ("stage", data["stage"]),
        ("next", data["next"]),
        ("update", f"{data['kind']}, {data['compatibility']}: {data['level']} partners"),
        *(("", f"- {reason}") for reason in data["reasons"]),
    ]
    if asked := data["asked_by"]:
        rows += [("asked by", f"{asked['by']} ({asked['vo'] or asked['role']})"), ("scope", asked["scope"])]
    if data["justification"]:
        rows.append(("not certified", data["justification"]))
    if answer:
        rows.append(
            ("answer", f"{answer['decision']} ({answer['user'] or 'nobody in time'}) {answer['reason']}".strip())
        )
    for held in data["meetings"]:
        moved = " (moved)" if held["moved"] else ""
        rows.append((held["meeting"], f"{output.moment(held['starts'])}{moved}"))
    if agreed:
        rows += [
            ("set up by", output.moment(agreed["set_up_until"])),
            ("feedback until", output.moment(agreed["feedback_until"])),
            ("VOs", ", ".join(agreed["vos"]) or "none"),
        ]
    if data["runs_until"]:
        rows += [("runs", f"{output.moment(data['running_since'])} to {output.moment(data['runs_until'])}")]
    if judged:
        rows.append(("judged by", judged["by"] + (", no feedback from users" if judged["no_feedback"] else "")))
        rows += [("against", reason) for reason in judged["reasons_against"]] or [("against", "nothing")]
        rows += [("not known", reason) for reason in judged["inconclusive"]]
        rows += [("remark", remark) for remark in judged["remarks"]]
    if data["decision"] or data["outcome"]:
        rows.append(("outcome", data["decision"] or data["outcome"]))
    return rows


@app.command()
def candidates(
    ctx: typer.Context,
    name: PilotName,
    volunteer: Annotated[
        list[str] | None,
        typer.Option(metavar="SITE", help="A site that wants to run it, though it is no such partner."),
    ] = None,
    downtime: Annotated[
        list[str] | None, typer.Option(metavar="SITE", help="A site that is in downtime; may be given again.")
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Put the ranking on record: sites are selected from it.")] = (
        False
    ),
    as_json: output.Json = False,
) -> None:
    """Rank the sites that could run a pilot, with reasons; and say why others cannot."""
    here = front(ctx)
    services = here.services
    desk = here.desk(name)
    for site in (*(volunteer or ()), *(downtime or ())):
        services.config.site(site)  # a typo is an error
    sites, most = services.config.sites.values(), services.config.policies.pilots.open_pilots_at_most
    names = {"volunteers": volunteer or (), "in_downtime": downtime or ()}
    if record and here.is_far:
        here.post(f"rollouts/{name}/candidates", {key: list(sites) for key, sites in names.items()}, about=name)
    if record and not here.is_far:
        ranking = screening.rank_candidates(desk.by(f"user {here.actor}"), sites, most, **names)
    else:
        ranking = screening.foresee(desk, sites, most, **names)
    if as_json:
        return output.say_json({"pilot": name, "recorded": record, **output.to_data(ranking)})
    return _say_ranking(ranking)


def _say_ranking(ranking: Ranking) -> None:
    if ranking.candidates:
        rows = [(c.site, c.score, " ".join(c.reasons)) for c in ranking.candidates]
        output.say(output.table(("CANDIDATE", "SCORE", "WHY"), rows))
    else:
        output.say("No site can run it; ask for volunteers.")
    if ranking.excluded:
        output.say(output.table(("LEFT OUT", "WHY"), [(s, " ".join(why)) for s, why in ranking.excluded.items()]))
