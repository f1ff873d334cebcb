"""`pps rollout withdraw`: take a preview back, at any time."""

from __future__ import annotations

from typing import Annotated

import typer

from pps.activities.clients.withdrawal import kept_for, reasons_against_withdrawal, sites_with_preview
from pps.activities.people.notification import people_to_tell_of_withdrawal
from pps.cli import output
from pps.cli.clients.following import check_run, follow_rollout
from pps.cli.front import Front, front
from pps.domain.base.errors import RefusedError, ServiceError
from pps.domain.record.facts import FactKind
from pps.workflow.desk import FrontDesk
from pps.workflow.paths import WITHDRAW


def withdraw(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ROLLOUT", help="Name of the rollout; pps rollout list shows them.")],
    reason: Annotated[
        str,
        typer.Option(metavar="TEXT", help="A sentence that says why; users and sites are told.", show_default=False),
    ],
    dry_run: output.DryRun = False,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it once it has started.")] = False,
    as_json: output.Json = False,
) -> None:
    """Take a preview back from all sites, through Airflow: while it is rolled out, or after its end.

    Tags go first; once the information system no longer shows them, the preview leaves the sites, and all who
    were told of it hear why. Production is not touched. Files that another version shares stay.
    """
    here = front(ctx)
    desk = here.desk(name)
    against = reasons_against_withdrawal(desk, reason)
    if dry_run:
        _show_plan(here, desk, reason, against, as_json=as_json)
        if against:
            raise typer.Exit(1)
        return None
    if against:
        raise RefusedError(f"withdrawal of {name}", against, f"Look at: pps rollout show {name}")
    run = here.airflow.trigger(WITHDRAW, {"rollout": name, "reason": reason})
    if as_json and not follow:
        return output.say_json({"rollout": name, "dag_id": WITHDRAW, "run_id": run})
    if not as_json:
        output.say(f"The withdrawal of {name} has begun (Airflow run {run}).")
    if follow:
        step = "Look at its tasks in Airflow and clear them; what is left undone, the nightly run does."
        return follow_rollout(
            here,
            name,
            as_json=as_json,
            just_started=lambda: check_run(here, WITHDRAW, run, step),
            until=lambda seen: seen.withdrawal_is_finished,
        )
    return output.say(f"See how far it is: pps rollout show {name}")


def _show_plan(here: Front, desk: FrontDesk, reason: str, against: tuple[str, ...], *, as_json: bool) -> None:
    services, record = here.services, desk.rollout
    sites = services.config.sites
    asked = record.the(FactKind.WITHDRAWAL_ASKED)
    shown: list[str] | None = []
    kept = kept_for(desk, "tarball")
    try:
        known = services.known_sites(record.reached_sites)
        tags = services.information_system.tags_of([site.subcluster for site in known])
        tag = str(record.opened.get("tag", "")).lower()
        shown = [s.name for s in known if tag in {t.lower() for t in tags.get(s.subcluster, ())}]
    except ServiceError:
        shown = None
    people = [to for to, _ in people_to_tell_of_withdrawal(record, sites, services.config.service.reply_to)]
    held = [site for site in record.reached_sites if record.holds_preview(site)]
    data = {
        "rollout": record.name,
        "reasons_against": against,
        "reason": asked.payload["reason"] if asked else reason,
        "asked_before": asked is not None,
        "tag": record.opened.get("tag", ""),
        "tag_shown_at": shown,
        "held_by": held,
        "kept_for": {site: kept[site] for site in held if site in kept},
        "out_of_reach": [site for site in sites_with_preview(record) if site not in sites],
        "told": people,
    }
    if as_json:
        return output.say_json(data)
    output.say(
        output.pairs(
            [
                ("rollout", record.name),
                ("verdict", "refused" if against else "admitted"),
                *(("", f"- {sentence}") for sentence in against),
                ("reason", f"{data['reason']}{' (on record already; the first one stays)' if asked else ''}"),
                ("tag", data["tag"]),
                ("shown at", "the information system does not answer" if shown is None else _listed(shown)),
                ("held by", _listed(held)),
                *(("kept at", f"{site}, for {other}") for site, other in data["kept_for"].items()),
                *(("out of reach", f"{site} has left the registry") for site in data["out_of_reach"]),
                ("told", ", ".join(people)),
            ]
        )
    )
    return output.say("", "Dry run: nothing was started.")


def _listed(sites: list[str]) -> str:
    return ", ".join(sites) or "no site"
