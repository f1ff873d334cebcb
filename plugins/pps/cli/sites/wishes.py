"""`pps sites`: what a site wishes: when we may write there, versions that it does not want, no previews at all.

All of it goes through Airflow, which knows who says it; so a site's administrator needs no access to our database.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

import typer

from pps.cli import output
from pps.cli.front import front, group
from pps.domain.base.working_days import WEEKDAYS

app = group("What a site wishes: windows, versions that it does not want, no previews.")

SiteName = Annotated[str, typer.Argument(metavar="SITE", help="A site of yours.")]
Metapackage = Annotated[str, typer.Argument(metavar="METAPACKAGE", help="For example glite-WN.")]
Version = Annotated[str, typer.Argument(metavar="[VERSION]", help="Without it: every version.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="A sentence that says why; others read it.")]
Try = Annotated[bool, typer.Option("--dry-run", help="Check it and say what would follow; nothing is put on record.")]


@app.command()
def wishes(ctx: typer.Context, name: SiteName, as_json: output.Json = False) -> None:
    """Show what a site wishes, and what comes to it next."""
    found = front(ctx).get(f"sites/{name}/work", {}, about=name)
    if as_json:
        return output.say_json(found)
    output.say(output.pairs([("site", name), *_lines(found["wishes"], found["timezone"])]))
    if found["dates"]:
        dates = [(output.moment(datetime.fromisoformat(d["at"])), d["what"]) for d in found["dates"]]
        output.say("", output.table(("WHEN", "WHAT"), dates))
    return None


@app.command()
def window(
    ctx: typer.Context,
    name: SiteName,
    days: Annotated[str, typer.Option(metavar="DAYS", help="mon-fri, or sat,sun: on which it opens.")] = "",
    begins: Annotated[str, typer.Option("--from", metavar="HH:MM", help="In the site's own time zone.")] = "",
    ends: Annotated[str, typer.Option("--to", metavar="HH:MM", help="Not later than --from: on the next day.")] = "",
    add: Annotated[bool, typer.Option("--add", help="Beside those that stand; else it is the only one.")] = False,
    lift: Annotated[bool, typer.Option("--lift", help="This one no more; others remain.")] = False,
    none: Annotated[bool, typer.Option("--none", help="No window: at any time again.")] = False,
    dry_run: Try = False,
    as_json: output.Json = False,
) -> None:
    """Say on which days and in which hours we may write at a site; it may have several such windows.

    A preview that comes by outside of them waits; the site is not failed. A withdrawal does not wait.
    """
    if none == bool(days or begins or ends) or (none and (add or lift)) or (add and lift):
        raise typer.BadParameter("Give --days, --from and --to, with --add or --lift or neither; or --none alone.")
    do = "add-window" if add else "lift-window" if lift else "window"
    what = {"do": "no-window"} if none else {"do": do, "days": _days(days), "begins": begins, "ends": ends}
    _say(ctx, name, what, dry_run=dry_run, as_json=as_json)


@app.command()
def pin(
    ctx: typer.Context,
    name: SiteName,
    metapackage: Metapackage,
    reason: Reason,
    version: Version = "",
    dry_run: Try = False,
    as_json: output.Json = False,
) -> None:
    """Keep a version, or a whole metapackage, away from a site until it is lifted."""
    what = {"do": "pin", "metapackage": metapackage, "version": version, "reason": reason}
    _say(ctx, name, what, dry_run=dry_run, as_json=as_json)


@app.command()
def unpin(
    ctx: typer.Context,
    name: SiteName,
    metapackage: Metapackage,
    version: Version = "",
    dry_run: Try = False,
    as_json: output.Json = False,
) -> None:
    """Take that version, or metapackage, again."""
    _say(ctx, name, {"do": "unpin", "metapackage": metapackage, "version": version}, dry_run=dry_run, as_json=as_json)


@app.command("opt-out")
def opt_out(
    ctx: typer.Context, name: SiteName, reason: Reason, dry_run: Try = False, as_json: output.Json = False
) -> None:
    """Take no previews until it is taken back; what lies at the site is left as it is."""
    _say(ctx, name, {"do": "opt-out", "reason": reason}, dry_run=dry_run, as_json=as_json)


@app.command("opt-in")
def opt_in(ctx: typer.Context, name: SiteName, dry_run: Try = False, as_json: output.Json = False) -> None:
    """Take previews again, after an opt-out."""
    _say(ctx, name, {"do": "opt-in"}, dry_run=dry_run, as_json=as_json)


def _say(ctx: typer.Context, name: str, what: dict[str, Any], *, dry_run: bool, as_json: bool) -> None:
    said = front(ctx).post(f"sites/{name}/wishes", {**what, "dry_run": dry_run}, about=name)
    if as_json:
        return output.say_json(said)
    if not said["new"]:
        output.say("It is so already.")
    elif not dry_run:
        output.say(output.pairs([("site", name), *_lines(said["wishes"], said["timezone"])]))
    output.say(*said["follows"])
    return output.say("Dry run: nothing was put on record.") if dry_run else None


def _lines(wishes: dict[str, Any], zone: str) -> list[tuple[str, str]]:
    windows, out = wishes["windows"], wishes["opt_out"]
    each = [window["words"] for window in windows["each"]] if windows else ["at any time"]
    if windows:
        each[-1] += f" ({zone}); {'open' if windows['open'] else 'closed'} now"
    pins = [f"{pin['what']}: {pin['reason']}" for pin in wishes["pins"]] or ["nothing"]
    return [
        *(("windows" if n == 0 else "", one) for n, one in enumerate(each)),
        *(("does not want" if n == 0 else "", pin) for n, pin in enumerate(pins)),
        ("previews", f"opted out: {out['reason']}" if out else "not opted out"),
    ]


def _days(text: str) -> list[str]:
    """`mon-fri`, `sat,sun`, `fri-mon`; what is no day is for the door to refuse."""
    found: list[str] = []
    for part in filter(None, re.split(r"[,\s]+", text.strip().lower())):
        first, _, last = part.partition("-")
        if last and {first, last} <= set(WEEKDAYS):
            begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last)
            found += [WEEKDAYS[n % 7] for n in range(begin, end + 1 + (7 if end < begin else 0))]
        else:
            found.append(part[:20])
    return list(dict.fromkeys(found))
