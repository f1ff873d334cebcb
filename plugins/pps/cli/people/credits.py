"""`pps credits`: who has done how much (SD 4: a credit is a person hour)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from pps.cli import output
from pps.cli.front import front
from pps.domain.people.effort import EffortUnit, Grouping, from_ph, selected, totals

_DAY = ["%Y-%m-%d"]
_NONE = {
    Grouping.PERSON: "(no person named)",
    Grouping.SITE: "(no site)",
    Grouping.REGION: "(no region)",
}


def _midnight(day: datetime | None, days_later: int = 0) -> datetime | None:
    return day.replace(tzinfo=UTC) + timedelta(days=days_later) if day else None


def credits(
    ctx: typer.Context,
    by: Annotated[Grouping, typer.Option(case_sensitive=False, help="What to add up by.")] = Grouping.ACTIVITY,
    since: Annotated[datetime | None, typer.Option(formats=_DAY, help="From this day on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DAY, help="Up to and including this day (UTC).")] = None,
    site: Annotated[str, typer.Option(help="Only what this site did.")] = "",
    person: Annotated[str, typer.Option(help="Only what this user did.")] = "",
    activity: Annotated[str, typer.Option(help="Only this activity; its key in activities.yaml.")] = "",
    as_json: output.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")] = False,
) -> None:
    """Show the credits for completed activities, by person, site, region, activity, month or week."""
    from pps.activities.people.effort import credits_on_record

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other.")
    if since and until and since > until:
        raise typer.BadParameter("--since is later than --until.")
    here = front(ctx)
    config = here.services.config
    on_record = credits_on_record(here.services.facts, _midnight(since), _midnight(until, 1))
    if activity and activity not in {c.activity for c in on_record}:
        config.activity(activity)  # a typo is an error, an activity that nobody has done is not
    chosen = selected(on_record, site=site, person=person, activity=activity)
    sums = totals(chosen, by)
    earned, hours = sum(t.credits for t in sums), sum(t.effort_ph for t in sums)
    if as_json:
        return output.say_json(
            {
                "by": by,
                "since": since.date().isoformat() if since else None,
                "until": until.date().isoformat() if until else None,
                "totals": sums,
                "credits": earned,
                "effort_ph": hours,
                "times": len(chosen),
            }
        )
    titles = {key: a.title for key, a in config.activities.items()} if by is Grouping.ACTIVITY else {}
    rows = [
        (t.key or _NONE.get(by, "-"), t.credits, f"{from_ph(t.effort_ph, EffortUnit.PD):f}", t.times)
        + ((titles.get(t.key, ""),) if titles else ())
        for t in sums
    ]
    columns = (by.upper(), "CREDITS", "PD", "TIMES", *(("WHAT",) if titles else ()))
    if as_csv:
        return output.say_csv(columns, rows)
    if not sums:
        return output.say("No credits.")
    return output.say(
        output.table(columns, rows),
        f"{earned} credits ({from_ph(hours, EffortUnit.PD):f} PD) for {len(chosen)} completed activities.",
    )
