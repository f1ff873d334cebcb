"""`pps pilot`: what people decide on a pilot beside Airflow's forms (SD 4.1.3, 2, 4 and 10, "General policies").

All of it goes through Airflow, which knows who says it; so a VO or a coordinator needs no access to our database.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from pps.activities.pilots import meetings
from pps.cli import output
from pps.cli.front import front, group
from pps.cli.pilots.running import PilotName, post
from pps.domain.base.durations import WHEN, parse_moment

app = group("Server pilots: who takes part, when the meetings are, and what may be set up.")


class What(StrEnum):
    """The meetings of a pilot."""

    KICK_OFF = meetings.KICK_OFF
    WRAP_UP = meetings.WRAP_UP


@app.command()
def interest(
    ctx: typer.Context,
    name: PilotName,
    vo: Annotated[str, typer.Argument(metavar="VO", help="As in people.yaml.")],
    text: Annotated[str, typer.Option(metavar="TEXT", help="What the VO wants to try, and needs.", show_default=False)],
    as_json: output.Json = False,
) -> None:
    """Say that a VO wants to take part in a major pilot, as the user of PPS_AIRFLOW_USER; the coordination is told.

    Only the VO's representatives and the PPS Coordinator may say so. What was said last counts.
    """
    said = post(front(ctx), name, "interest", {"vo": vo, "text": text})
    if as_json:
        return output.say_json(said)
    return output.say(f"{vo} wants to take part in {name}." if said["new"] else "That is on record already.")


@app.command("move-meeting")
def move_meeting(
    ctx: typer.Context,
    name: PilotName,
    what: Annotated[What, typer.Argument(metavar="kick-off|wrap-up", help="Which meeting.")],
    to: Annotated[
        str, typer.Option(metavar="MOMENT", help="When it begins, with its time zone: 2026-03-05T14:00+01:00.")
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; those who are invited read it.")] = "",
    as_json: output.Json = False,
) -> None:
    """Move the kick-off or wrap-up meeting in everybody's calendar; by the Coordinator.

    Everybody who was invited gets the new date, once. The meeting cannot move beyond the date by which its outcome
    must be entered.
    """
    try:
        starts = parse_moment(to)
    except ValueError as error:
        raise typer.BadParameter(WHEN, param_hint="--to") from error
    said = post(front(ctx), name, f"meetings/{what.value}", {"to": starts.isoformat(), "reason": reason})
    if as_json:
        return output.say_json(said)
    word = "moves to" if said["new"] else "was at that time already:"
    return output.say(f"The {what.value} of {name} {word} {output.moment(starts)}.")


@app.command()
def justify(
    ctx: typer.Context,
    name: PilotName,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why software that is not certified is used; it is published.")
    ],
    as_json: output.Json = False,
) -> None:
    """Put on record why a pilot runs software that is not certified; by the Coordinator or the EMT.

    A set-up that was refused for want of one goes on by itself. The first justification stands.
    """
    said = post(front(ctx), name, "justification", {"reason": reason})
    if as_json:
        return output.say_json(said)
    word = "The justification is on record" if said["new"] else "It was justified before"
    return output.say(f"{word}: {said['reason']}")
