"""`pps rollout pause`, `resume`, `stop`, `extend`: what those in charge can do with a preview that is under way."""

from __future__ import annotations

from typing import Annotated

import typer

from pps.cli import output
from pps.cli.clients.rollouts import feedback_date
from pps.cli.front import front
from pps.domain.base.errors import RefusedError
from pps.domain.base.texts import reasons_against_reason
from pps.domain.clients.control import MAY_CONTROL, Control, reasons_against_control
from pps.domain.people.feedback_dates import MAY_EXTEND, reasons_against_date, reasons_against_extending

RolloutName = Annotated[
    str, typer.Argument(metavar="ROLLOUT", help="Name of the rollout; pps rollout list shows them.")
]
Reason = Annotated[
    str, typer.Option(metavar="TEXT", help="A sentence that says why; others read it.", show_default=False)
]
_DONE = {
    Control.PAUSE: "is paused: no further batch begins, and nothing leads to production. pps rollout resume lets it go "
    "on.",
    Control.RESUME: "goes on.",
    Control.STOP: "is stopped. Sites that have the preview keep it; pps rollout withdraw takes it back.",
}


def pause(
    ctx: typer.Context, name: RolloutName, reason: Reason, dry_run: output.DryRun = False, as_json: output.Json = False
) -> None:
    """Hold a preview back: no further batch begins, the night leaves it alone, and nothing leads to production.

    What is at sites stays, and can be tried; a batch that is under way ends. As the user of PPS_AIRFLOW_USER, who must
    be Release Manager or PPS Coordinator; the coordination is told.
    """
    _do(ctx, Control.PAUSE, name, reason, dry_run=dry_run, as_json=as_json)


def resume(
    ctx: typer.Context, name: RolloutName, reason: Reason, dry_run: output.DryRun = False, as_json: output.Json = False
) -> None:
    """Let a paused preview go on where it was; as the user of PPS_AIRFLOW_USER."""
    _do(ctx, Control.RESUME, name, reason, dry_run=dry_run, as_json=as_json)


def stop(
    ctx: typer.Context, name: RolloutName, reason: Reason, dry_run: output.DryRun = False, as_json: output.Json = False
) -> None:
    """End a rollout before its time: nothing of it goes out any more, and the patch is free for another one.

    Sites that have the preview keep it; to take it back, use pps rollout withdraw. Everybody who was told of it hears
    why. As the user of PPS_AIRFLOW_USER.
    """
    _do(ctx, Control.STOP, name, reason, dry_run=dry_run, as_json=as_json)


def extend(
    ctx: typer.Context,
    name: RolloutName,
    until: Annotated[
        str, typer.Option(metavar="DATE|14d", help="The new date: 2026-03-31, 2026-03-31T12:00+01:00, or 14d from now.")
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="A sentence that VOs read; may be left out.")] = "",
    dry_run: output.DryRun = False,
    as_json: output.Json = False,
) -> None:
    """Ask the VOs for longer than was agreed; they are told. The same date again changes nothing.

    Before the sites have the preview, it is the date that will be agreed on. As the user of PPS_AIRFLOW_USER, who must
    be Release Manager or PPS Coordinator. A date moves to the future only: what came in time stays in time.
    """
    here = front(ctx)
    record, at_most = here.services.facts.rollout(name), here.services.config.policies.certification.wait_at_most
    due, mine = feedback_date(until, here.now()), [f"role:{role}" for role in MAY_EXTEND]
    against = (
        *(reasons_against_extending(record, mine) or reasons_against_date(record, due, here.now(), at_most=at_most)),
        *(reasons_against_reason(reason) if reason else ()),
    )
    if dry_run:
        _show(name, "extend", against, as_json=as_json)
        return None
    # the server tells a repetition, which is no error, from a date that is none
    said = here.post(f"rollouts/{name}/feedback-date", {"until": due.isoformat(), "reason": reason}, about=name)
    if as_json:
        return output.say_json(said)
    again = "" if said["new"] else " It was so already."
    return output.say(f"{name}: VOs are asked until {output.moment(due)}.{again}")


def _show(name: str, what: str, against: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        output.say_json({"rollout": name, "what": what, "reasons_against": against})
    else:
        output.say(*(f"- {why}" for why in against), "Dry run: nothing was done.")
    if against:
        raise typer.Exit(1)


def _do(ctx: typer.Context, what: Control, name: str, reason: str, *, dry_run: bool, as_json: bool) -> None:
    here = front(ctx)
    record = here.services.facts.rollout(name)
    # whether this user may is for Airflow to say, who knows their roles
    against = (
        *reasons_against_control(record, what, [f"role:{role}" for role in MAY_CONTROL]),
        *reasons_against_reason(reason),
    )
    if dry_run:
        _show(name, what, against, as_json=as_json)
        return None
    if against:
        raise RefusedError(f"{what} of {name}", against, f"Look at: pps rollout show {name}")
    said = here.post(f"rollouts/{name}/control", {"what": what.value, "reason": reason}, about=name)
    if as_json:
        return output.say_json(said)
    return output.say(f"{name} {_DONE[what]}")
