"""`pps exposure`: which sites still have a vulnerability."""

from __future__ import annotations

from typing import Annotated

import typer

from pps.activities.quality.exposure import find_exposure
from pps.cli import output
from pps.cli.front import front


def exposure(
    ctx: typer.Context,
    cve: Annotated[str, typer.Argument(metavar="CVE", help="As in CVE-2026-12345.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")] = False,
    as_json: output.Json = False,
) -> None:
    """Show which sites still have a vulnerability, since when, and until when it should be gone; overdue ones first.

    A site of which nothing is on record is unknown, not safe.
    """
    here = front(ctx)
    services = here.services
    found = find_exposure(
        services.facts, cve, services.config.sites.values(), services.config.policies.exposure.deadlines, here.now()
    )
    if as_json:
        return output.say_json(found.data())
    if as_csv:
        return output.say_csv(*found.table())
    if found.embargo_until:
        output.say(f"Embargoed until {output.moment(found.embargo_until)}: speak of it with nobody who need not know.")
    fixes = [
        (
            f"patch {f.patch}",
            f"{f.product} {f.version}, {f.risk or 'severity not given'}, "
            + (f"in production since {output.moment(f.released_at)}" if f.released_at else "not in production yet"),
        )
        for f in found.fixes
    ]
    output.say(output.pairs([*fixes, *((name, number) for name, number in found.counts.items())]))
    rows = [
        (
            r.site,
            r.platform,
            f"{r.product} {r.version}".strip(),
            "overdue" if r.overdue else r.standing.value,
            output.moment(r.since),
            output.moment(r.deadline),
            r.words,
        )
        for r in found.rows
    ]
    return output.say(output.table(("SITE", "PLATFORM", "VERSION", "STATE", "SINCE", "UNTIL", "IN WORDS"), rows))
