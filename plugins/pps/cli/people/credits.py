"""`pps credits`: who has done how much (SD 4: a credit is a person hour)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import typer

from pps.cli import output
from pps.cli.front import front
from pps.domain.people.effort import Grouping

_DAY = ["%Y-%m-%d"]


def credits(
    ctx: typer.Context,
    by: Annotated[Grouping, typer.Option(case_sensitive=False, help="What to add up by.")] = Grouping.ACTIVITY,
    since: Annotated[datetime | None, typer.Option(formats=_DAY, help="From this day on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DAY, help="Up to and including this day (UTC).")] = None,
    site: Annotated[str, typer.Option(help="Only what this site did; - for what no site did.")] = "",
    person: Annotated[str, typer.Option(help="Only what this user did.")] = "",
    activity: Annotated[str, typer.Option(help="Only this activity; its key in activities.yaml.")] = "",
    region: Annotated[str, typer.Option(help="Only what sites of this region did.")] = "",
    listed: Annotated[bool, typer.Option("--list", help="Show each completed activity, not only sums.")] = False,
    as_json: output.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")] = False,
) -> None:
    """Show the credits for completed activities, by person, site, region, activity, month or week."""
    from pps.activities.people.effort import CreditsWanted, as_data, find_credits, in_pd

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other.")
    if since and until and since > until:
        raise typer.BadParameter("--since is later than --until.")
    services = front(ctx).services
    wanted = CreditsWanted(by, _day(since), _day(until), site, person, activity, region)
    found = find_credits(services.facts, wanted, services.config.activities, services.config.sites)
    if as_json:
        return output.say_json(as_data(found, listed=listed))
    columns, rows = found.list_table() if listed else found.sums_table()
    if as_csv:
        return output.say_csv(columns, rows)
    if not rows:
        return output.say("No credits.")
    return output.say(
        output.table(columns, rows),
        f"{found.earned} credits ({in_pd(found.effort_ph)} PD) for {len(found.credits)} completed activities.",
    )


def _day(given: datetime | None) -> date | None:
    return given.date() if given else None
