"""`pps pilot`: a pilot while it runs: its journal, its success, its roll-back (SD 4.1.3, 8)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pps.cli import output
from pps.cli.front import Front, front, group
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.pilots import looks
from pps.domain.pilots.pilot import Pilot

app = group("Server pilots at partner sites (SD 4.1.3, 4.1.4).")

PilotName = Annotated[str, typer.Argument(metavar="ROLLOUT", help="Name of the pilot; pps rollout list shows them.")]
SiteName = Annotated[str, typer.Argument(metavar="SITE", help="Site that runs it.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="A sentence that says why; others read it.")]


@app.command()
def log(
    ctx: typer.Context,
    rollout: PilotName,
    site: SiteName,
    text: Annotated[str, typer.Argument(help="What was changed or noticed.")],
    expert: Annotated[
        bool, typer.Option("--call-expert", help="A copy goes to the provider of the packages: an expert is needed.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Write into the pilot's journal, as the user of PPS_AIRFLOW_USER; a copy goes to the support list.

    Only the site's own administrators and the PPS Coordinator may write for it. The site's journal is published with
    its report in the end: no passwords, no names of people.
    """
    said = post(front(ctx), rollout, "journal", {"site": site, "text": text, "call_expert": expert})
    if as_json:
        return output.say_json(said)
    word = "is in the journal" if said["new"] else "was in the journal already"
    return output.say(f"The entry for {site} {word}.")


@app.command()
def journal(
    ctx: typer.Context,
    rollout: PilotName,
    site: Annotated[str, typer.Option(help="Of one site only.")] = "",
    as_json: output.Json = False,
) -> None:
    """Show how a pilot runs: until when, which site answers, and everything that happened."""
    here = front(ctx)
    pilot = _pilot(here, rollout)
    entries = looks.journal(pilot.record, site or None)
    standing = [_standing(here, pilot, name) for name in pilot.served if site in ("", name)]
    end, ended = pilot.runs_until, pilot.run_ended
    if as_json:
        return output.say_json(
            {
                "rollout": rollout,
                "round": pilot.round,
                "agreed_end": end,
                "outcome": ended.payload["outcome"] if ended else None,
                "sites": standing,
                "journal": entries,
            }
        )
    rows = [("rollout", rollout), ("runs until", output.moment(end))]
    if ended:
        rows.append(("has ended", f"{output.moment(ended.at)}: {ended.payload['outcome']}"))
    output.say(output.pairs(rows))
    if standing:
        shown = [(s["site"], s["state"], s["available"] or "-", s["endpoint"]) for s in standing]
        output.say(output.table(("SITE", "STATE", "AVAILABLE", "ENDPOINT"), shown))
    if not entries:
        return output.say("The journal is empty.")
    lines = [(output.moment(e.at), e.who or "-", e.user or "(seen)", e.text) for e in entries]
    return output.say(output.table(("WHEN", "WHO", "BY", "WHAT"), lines))


@app.command("roll-back")
def roll_back(
    ctx: typer.Context, rollout: PilotName, site: SiteName, reason: Reason, as_json: output.Json = False
) -> None:
    """Ask a site to take its pilot service back to the version before; by its people or the Coordinator.

    That ends the site's part in this round. If the pilot is prolonged, it may set up again in the next round.
    """
    said = post(front(ctx), rollout, "roll-back", {"site": site, "reason": reason})
    if as_json:
        return output.say_json(said)
    word = "is asked to roll back" if said["new"] else "was asked before"
    return output.say(f"{site} {word}. What waits for an answer: pps tasks list")


@app.command()
def success(ctx: typer.Context, rollout: PilotName, reason: Reason, as_json: output.Json = False) -> None:
    """End the run of a pilot before its time, upon success; by the Coordinator."""
    said = post(front(ctx), rollout, "success", {"reason": reason})
    if as_json:
        return output.say_json(said)
    return output.say(f"The run of {rollout} {'has ended' if said['new'] else 'had ended before'}.")


def _pilot(here: Front, name: str) -> Pilot:
    try:
        return Pilot(here.services.facts.rollout(name))
    except NotYetAllowedError as error:
        raise RefusedError(name, (error.why,), f"See: pps rollout show {name}") from error


def _standing(here: Front, pilot: Pilot, site: str) -> dict[str, Any]:
    known, service = looks.samples(pilot.record, site), pilot.service_at(site)
    seen = looks.availability(pilot, site, here.now())
    return {
        "site": site,
        "state": known[-1].state.name if service else "rolled back",
        "since": known[-1].at,
        "text": known[-1].text,
        "available": f"{seen.text} %" if seen and seen.text else None,
        "availability": seen and seen.share,
        "endpoint": service.payload["endpoint"] if service else "",
    }


def post(here: Front, rollout: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
    """Say something of a pilot through Airflow, which knows who says it; returns the answer."""
    _pilot(here, rollout)
    return here.post(f"rollouts/{rollout}/{what}", body, about=rollout)
