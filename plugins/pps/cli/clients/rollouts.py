"""`pps rollout`: start one, see where it stands, watch it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from pps.activities.clients.bulletin import stage
from pps.activities.clients.forecast import Forecast, foresee
from pps.activities.clients.opening import who_comes_last
from pps.activities.clients.standing import tag_of, told
from pps.activities.clients.withdrawal import sites_with_preview
from pps.activities.packages.verdicts import preview_path
from pps.activities.sites.wishes import all_wishes
from pps.cli import output
from pps.cli.clients.following import check_run, follow_rollout
from pps.cli.front import Front, front, group
from pps.cli.packages.patches import PatchNumber
from pps.config.base_models import parse_duration
from pps.config.people_models import VoModel
from pps.domain.base.errors import ConfigurationError, RefusedError
from pps.domain.clients.control import pause_of
from pps.domain.packages.tags import jdl_requirement
from pps.domain.people.feedback import feedback_due, outcome, turned_away_text
from pps.domain.people.feedback_dates import reasons_against_past
from pps.domain.record.facts import FactKind
from pps.domain.record.halts import halt_of
from pps.domain.record.rollouts import PREVIEWS, Rollout, RolloutPath
from pps.domain.record.site_states import SiteState
from pps.workflow.paths import dag_of

#: Path of a preview -> the DAG that walks it.


class PathChoice(StrEnum):
    """How a client is previewed."""

    AUTO = "auto"
    BC = "bc"
    NON_BC = "non-bc"


app = group("The rollouts: start one, see where it stands, watch it.")

RolloutName = Annotated[
    str, typer.Argument(metavar="ROLLOUT", help="Name of the rollout; pps rollout list shows them.")
]


def feedback_date(text: str, now: datetime) -> datetime:
    """Read `2026-03-31`, `2026-03-31T12:00+01:00` or `14d` (from now); a time without zone is UTC."""
    try:
        is_duration = re.fullmatch(r"\d{1,6}[smhdw]", text) is not None
        due = now + parse_duration(text) if is_duration else datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{text[:40]!r} is neither a date (2026-03-31) nor a duration (14d).") from error
    due = due if due.tzinfo else due.replace(tzinfo=UTC)
    if past := reasons_against_past(due, now):
        raise typer.BadParameter(past[0])
    return due.astimezone(UTC)


@app.command()
def start(
    ctx: typer.Context,
    patch: PatchNumber,
    feedback_until: Annotated[
        str, typer.Option(metavar="DATE|14d", help="Until when feedback is asked for; default: config/policies.yaml.")
    ] = "",
    vo: Annotated[list[str] | None, typer.Option(metavar="VO", help="Invite this VO only; may be given again.")] = None,
    path: Annotated[
        PathChoice,
        typer.Option(
            case_sensitive=False,
            help="bc: to all sites (SD 4.1.1). non-bc: Silver partners configure it themselves (SD 4.1.2). "
            "auto: as classified (pps classify), else by the variables in the tracker.",
        ),
    ] = PathChoice.AUTO,
    dry_run: output.DryRun = False,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it once it has started.")] = False,
    as_json: output.Json = False,
) -> None:
    """Roll a patch out as a preview (SD 4.1.1, 4.1.2), through Airflow.

    What the rules refuse is not started: the reasons are listed instead.
    """
    here = front(ctx)
    due = feedback_date(feedback_until, here.now()) if feedback_until else None
    vos = _invited(here, vo)
    taken, forecast = _forecast(here, patch, path)
    dag = dag_of(taken)
    if dry_run:
        _show_forecast(here, forecast, due, vos, as_json=as_json)
        if forecast.reasons_against:
            raise typer.Exit(1)
        return None
    if forecast.reasons_against:
        raise RefusedError(forecast.patch.subject, forecast.reasons_against, f"See: pps patches show {patch}")
    conf: dict[str, object] = {"patch": patch}
    if due:
        conf["feedback_until"] = due.isoformat()
    if vo:
        conf["vos"] = [known.name for known in vos]
    run = here.airflow.trigger(dag, conf)
    if as_json and not follow:
        return output.say_json({"rollout": forecast.rollout, "dag_id": dag, "run_id": run})
    if not as_json:
        output.say(f"Started {forecast.rollout} (Airflow run {run}).")
    if follow:
        step = "Look at its tasks in Airflow, correct the cause, and clear them."
        return follow_rollout(
            here, forecast.rollout, as_json=as_json, just_started=lambda: check_run(here, dag, run, step)
        )
    return output.say(f"Watch it: pps rollout follow {forecast.rollout}")


def _invited(here: Front, names: list[str] | None) -> list[VoModel]:
    known = {vo.name: vo for vo in here.services.config.people.vos}
    if unknown := sorted(set(names or ()) - known.keys()):
        raise ConfigurationError(f"VO {', '.join(unknown)}", "is not in people.yaml.", "Add it, or correct the name.")
    return [known[name] for name in dict.fromkeys(names or known)]


def _forecast(here: Front, number: int, choice: PathChoice) -> tuple[RolloutPath, Forecast]:
    services = here.services
    found, dossier = services.patch(number), services.facts.dossier(number)
    wanted = {PathChoice.BC: RolloutPath.BC_CLIENT, PathChoice.NON_BC: RolloutPath.NON_BC_CLIENT}
    path = wanted.get(choice) or preview_path(dossier, found)
    opened = services.facts.rollouts(open_only=True, paths=PREVIEWS, patch=number)
    open_as = next((r.name for r in opened), None)
    limits = services.config.policies.distribution.to_domain()
    forecast = foresee(
        services.facts.next_name(path, number),
        found,
        services.config.sites.values(),
        limits=limits,
        tag_vo=services.config.policies.publication.tag_vo,
        open_as=open_as,
        dossier=dossier,
        wishes=all_wishes(services.facts, here.now()),
        path=path,
        last=who_comes_last(services.facts, limits, here.now()),
    )
    return path, forecast


def _show_forecast(here: Front, forecast: Forecast, due: datetime | None, vos: list[VoModel], *, as_json: bool) -> None:
    people = here.services.config.people
    due = due or here.now() + here.services.config.policies.feedback.open_for
    if as_json:
        data = output.to_data(forecast) | {
            "tag": str(forecast.tag),
            "admitted": not forecast.reasons_against,
            "feedback_until": due.isoformat(),
            "vos": [vo.contact for vo in vos],
            "rocs": [roc.contact for roc in people.rocs],
        }
        return output.say_json(data)
    output.say(
        output.pairs(
            [
                ("rollout", forecast.rollout),
                ("patch", forecast.patch.subject),
                ("verdict", "refused" if forecast.reasons_against else "admitted"),
                *(("", f"- {reason}") for reason in forecast.reasons_against),
                ("tag", forecast.tag),
                ("feedback until", output.moment(due)),
                *((name, ", ".join(sites) or "no site") for name, sites in forecast.batches.items()),
                *((("sites set", ", ".join(forecast.variables)),) if forecast.variables else ()),
                ("VOs", ", ".join(f"{vo.name} <{vo.contact}>" for vo in vos) or "none in people.yaml"),
                ("ROCs", ", ".join(f"{roc.name} <{roc.contact}>" for roc in people.rocs) or "none in people.yaml"),
                ("originators", ", ".join(forecast.originators) or "none: the patch fixes no bugs"),
            ]
        )
    )
    if forecast.left_out:
        rows = [(site, " ".join(reasons)) for site, reasons in forecast.left_out.items()]
        output.say("", output.table(("LEFT OUT", "WHY"), rows))
    if forecast.put_off:
        output.say("", output.table(("PUT OFF", "IF IT BEGAN NOW"), list(forecast.put_off.items())))
    return output.say("", "Dry run: nothing was started.")


@app.command("list")
def list_rollouts(
    ctx: typer.Context,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    as_json: output.Json = False,
) -> None:
    """List the rollouts, newest first."""
    here = front(ctx)
    register = here.services.facts.rollouts(open_only=open_only)
    still_open = here.services.facts.standing([r.name for r in register if r.closed_at is None])
    halts = {name: halt for name, record in still_open.items() if (halt := halt_of(record))}
    if as_json:
        return output.say_json([output.to_data(r) | {"failed": output.to_data(halts.get(r.name))} for r in register])
    if not register:
        return output.say("No rollouts. Start one: pps rollout start PATCH --dry-run")
    rows = [
        (
            r.name,
            r.patch,
            output.moment(r.opened_at),
            output.moment(r.closed_at) if r.closed_at else "failed" if r.name in halts else "open",
        )
        for r in register
    ]
    output.say(output.table(("ROLLOUT", "PATCH", "OPENED", "CLOSED"), rows))
    if halts:
        output.say("", output.pairs([(name, halt.sentence) for name, halt in halts.items()]))
    return None


@app.command()
def show(
    ctx: typer.Context,
    name: RolloutName,
    facts: Annotated[bool, typer.Option("--facts", help="Show every fact, in the order of recording.")] = False,
    as_json: output.Json = False,
) -> None:
    """Show where a rollout stands: site by site, or fact by fact."""
    here = front(ctx)
    rollout = here.services.facts.rollout(name)
    if as_json:
        data = {
            "rollout": name,
            "stage": stage(rollout),
            "failed": halt_of(rollout),
            "withdrawn": rollout.the(FactKind.WITHDRAWAL_ASKED),
            "sites": rollout.all_progress(),
            "turned_away": here.services.facts.turned_away(name),
        }
        return output.say_json(data | ({"facts": rollout.facts} if facts else {}))
    if facts:
        told_all = [(output.moment(f.at), f.kind, f.subject or "-", told(f)) for f in rollout.facts]
        return output.say(output.table(("WHEN", "FACT", "SUBJECT", "DETAILS"), told_all))
    output.say(output.pairs(_headlines(rollout, turned_away_text(here.services.facts.turned_away(name)))), "")
    rows = [(p.site, p.state, output.moment(p.fact.at) if p.fact else "-", p.reason) for p in rollout.all_progress()]
    if rows:
        return output.say(output.table(("SITE", "STATE", "SINCE", "REASON"), rows))
    return output.say("No site has been planned yet.")


@app.command()
def follow(ctx: typer.Context, name: RolloutName, as_json: output.Json = False) -> None:
    """Print each fact of a rollout on a line until it ends; Ctrl-C stops that, not the rollout.

    With --json, one fact per line. Exit code 1 if the rollout was stopped. To see it in place: pps rollout watch.
    """
    follow_rollout(front(ctx), name, as_json=as_json)


def _headlines(rollout: Rollout, turned_away: str) -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = [("rollout", rollout.name), ("stage", stage(rollout))]
    if halt := halt_of(rollout):
        lines.append(("failed", halt.sentence))
    if asked := rollout.the(FactKind.WITHDRAWAL_ASKED):
        lines += [("because", told(asked)), ("asked for", f"{output.moment(asked.at)} by {asked.actor}")]
        left = ", ".join(sites_with_preview(rollout))
        lines.append(("still at", f"{left}; every night tries again" if left else "no site"))
    if pause := pause_of(rollout):
        lines.append(("paused", f"since {output.moment(pause.at)}. {told(pause)}"))
    for kind in (FactKind.ROLLOUT_STOPPED, FactKind.RELEASE_REFUSED):
        if (fact := rollout.the(kind)) and not asked:
            lines.append(("because", told(fact)))
    if tag := tag_of(rollout):
        lines += [("tag", tag), ("JDL", jdl_requirement(tag))]
    if due := feedback_due(rollout):
        lines.append(("feedback", f"{outcome(rollout)} of the invited VOs so far; asked until {output.moment(due)}"))
    if turned_away:
        lines.append(("limits", turned_away))
    progress = rollout.all_progress()
    counts = {state: sum(p.state is state for p in progress) for state in SiteState}
    lines.append(("sites", ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "none yet"))
    return lines
