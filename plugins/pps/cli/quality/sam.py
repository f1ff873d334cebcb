"""`pps sam`: tasks for the monitoring, assigned to somebody, done and credited once (SD 4.2.2)."""

from __future__ import annotations

from typing import Annotated

import typer

from pps.activities.quality import sam_tasks
from pps.cli import output
from pps.cli.front import front, group

app = group("Tasks for the monitoring (SAM): clone a sensor, create a display, a week of support.")


@app.command()
def assign(
    ctx: typer.Context,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Its key in activities.yaml: sam-clone-sensor, ...")],
    user: Annotated[str, typer.Argument(metavar="USER", help="User name of the person who does it.")],
    what: Annotated[str, typer.Option(metavar="TEXT", help="Which sensor or display.")] = "",
    week: Annotated[str, typer.Option(metavar="WEEK", help="Which week of support, e.g. 2026-W10.")] = "",
    as_json: output.Json = False,
) -> None:
    """Assign a task to a user. The same one assigned twice counts once."""
    here = front(ctx)
    config = here.services.config
    if here.is_far:
        said = here.post("sam-tasks", {"task": task, "user": user, "what": what, "week": week}, about="SAM task")
        found = next(t for t in sam_tasks.tasks(here.services.facts) if t.number == said["number"])
    else:
        found = sam_tasks.assign(
            here.services.facts, config.activities, task, user, here.actor, here.now(), what=what, week=week
        )
    if as_json:
        return output.say_json(found)
    title = config.activity(found.activity).title
    return output.say(f"{found.number}: {title}, {found.what or found.week}, for {found.user}.")


@app.command()
def done(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="As pps sam list shows it.")],
    text: Annotated[str, typer.Option(metavar="TEXT", help="What was done.", show_default=False)],
    as_json: output.Json = False,
) -> None:
    """Say that a task is done; whoever it was assigned to is credited, once."""
    here = front(ctx)
    config = here.services.config
    if here.is_far:
        new = here.post(f"sam-tasks/{number}/done", {"text": text}, about=f"SAM task {number}")["new"]
        found = next(t for t in sam_tasks.tasks(here.services.facts) if t.number == number)
    else:
        found, new = sam_tasks.done(here.services.facts, config.activities, number, here.actor, text, here.now())
    credits = config.activity(found.activity).credits
    if as_json:
        return output.say_json({"task": found, "new": new, "credits": credits})
    return output.say(f"{found.user} has {credits} credits for it." if new else "That is on record already.")


@app.command("list")
def list_tasks(ctx: typer.Context, as_json: output.Json = False) -> None:
    """List the tasks, oldest first."""
    here = front(ctx)
    found = sam_tasks.tasks(here.services.facts)
    if as_json:
        return output.say_json(found)
    if not found:
        kinds = ", ".join(sam_tasks.sam_activities(here.services.config.activities))
        return output.say(f"No tasks yet. The kinds are: {kinds}.", "Assign one: pps sam assign TASK USER")
    rows = [
        (t.number, t.activity, t.what or t.week, t.user, f"done {output.moment(t.done_at)}" if t.done_at else "open")
        for t in found
    ]
    return output.say(output.table(("NUMBER", "TASK", "WHAT", "WHO", "STATE"), rows))
