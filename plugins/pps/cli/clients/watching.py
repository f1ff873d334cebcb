"""`pps rollout watch`: a rollout in place, one line a site, until it ends or Ctrl-C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pps.activities.clients.overview import overview, version_before
from pps.cli import output
from pps.cli.clients.following import looks_at
from pps.cli.front import Front, front
from pps.domain.base.texts import plain
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.domain.record.site_states import SiteState

#: A sign for each state, so that colour is not needed: what is well, on its way, in need of somebody, gone.
_SIGNS = {
    SiteState.AVAILABLE: ("✔", "green"),
    SiteState.TAGGED: ("✔", "cyan"),
    SiteState.TESTED: ("◐", "cyan"),
    SiteState.CONFIGURED: ("◐", "cyan"),
    SiteState.INSTALLED: ("◐", "cyan"),
    SiteState.PLANNED: ("◌", "dim"),
    SiteState.NOT_ANNOUNCED: ("✖", "bold red"),
    SiteState.FAILED: ("✖", "bold red"),
    SiteState.LOST: ("✖", "red"),
    SiteState.WITHDRAWN: ("↩", "yellow"),
    SiteState.LEFT_OUT: ("–", "dim"),
}
_STEPS = {"done": ("✔", "green"), "now": ("▶", "bold"), "later": ("◌", "dim")}
_ROOM_FOR_SITES = 10
"""lines, where a screen is too low for more"""


def watch(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ROLLOUT", help="Name of the rollout; pps rollout list shows them.")],
    once: Annotated[bool, typer.Option("--once", help="Show it as it is now, and end.")] = False,
    as_json: output.Json = False,
) -> None:
    """Watch a rollout in place: how far it is, what it waits for, and each site on a line of its own.

    Ctrl-C stops watching, not the rollout. Where there is no terminal, and with --json, it is shown once; for a log
    with a line for each fact use pps rollout follow. Exit code 1 if the rollout was stopped.
    """
    here = front(ctx)
    record = here.services.facts.rollout(name)
    before = version_before(here.services.facts, record) if record.path in PREVIEWS else None
    if as_json:
        return output.say_json(_shown(here, record, before))
    console = output.console()
    if once or not console.is_terminal:
        return console.print(picture(_shown(here, record, before), here.now(), None))
    # the screen is given back as it was; what was seen last stays below the command
    with Live(console=console, auto_refresh=False, screen=True) as live:
        for seen in looks_at(here, name, lambda seen: seen.is_closed):
            record = seen
            live.update(picture(_shown(here, record, before), here.now(), console.height), refresh=True)
    console.print(picture(_shown(here, record, before), here.now(), None))
    if record.is_stopped:
        raise typer.Exit(1)
    return None


def _shown(here: Front, record: Rollout, before: Rollout | None) -> Mapping[str, Any]:
    limits = here.services.config.policies.distribution.to_domain()
    return overview(record, here.now(), limits, before)


def picture(shown: Mapping[str, Any], now: datetime, height: int | None) -> RenderableType:
    """What is drawn.

    Args:
        height: lines of the screen: what is well is left out where it does not fit; None: everything is drawn.
    """
    head: list[RenderableType] = [
        Text.assemble((plain(shown["software"]), "bold"), f"  {shown['rollout']}  ", (shown["stage"], "bold")),
    ]
    if shown["way"]:
        head.append(_way(shown["way"]))
    if shown["paused"]:
        reason = plain(shown["paused"].payload["reason"])
        head.append(Text(f"⏸ Paused since {output.moment(shown['paused'].at)}. {reason}", style="bold yellow"))
    head += [Text(f"✖ {plain(why)}", style="bold red") for why in shown["because"]]
    head += [Text(line) for line in _waits_for(shown, now)]
    if budget := shown["budget"]:
        late = f" and {budget['not_yet']} keep us waiting" if budget["not_yet"] else ""
        failed = f"{budget['failed']} of {budget['planned']} failed{late}, {budget['allowed']} may"
        counts = ", ".join(f"{number} {state}" for state, number in shown["counts"].items())
        head.append(Text(f"{counts}; {failed}"))
    foot = Text(f"{now:%H:%M:%S} UTC. Ctrl-C stops watching, not the rollout.", style="dim") if height else Text("")
    room = max(_ROOM_FOR_SITES, height - len(head) - 4) if height else len(shown["sites"])
    return Group(*head, Text(""), _sites(shown["sites"], room), foot)


def _way(way: Sequence[Mapping[str, Any]]) -> Text:
    line = Text()
    for step in way:
        sign, style = _STEPS[step["state"]]
        line.append(f"{sign} {step['word']}   ", style=style)
    return line


def _waits_for(shown: Mapping[str, Any], now: datetime) -> list[str]:
    lines = [
        f"⏳ {plain(q['title'])} ({', '.join(q['whose']) or 'anybody'}) by {output.moment(q['due'])}"
        for q in shown["questions"]
    ]
    said = shown["feedback"]
    if said["open"]:
        silent = ", ".join(vo for vo in said["invited"] if vo not in said["answered"])
        number = f"{len(said['answered'])} of {len(said['invited'])} VOs have answered"
        waiting = f"; it waits for {silent}" if silent else ""
        lines.append(f"⏳ {number}{waiting} until {output.moment(said['due'])}")
    return lines


def _sites(sites: Sequence[Mapping[str, Any]], room: int) -> RenderableType:
    """One line a site; those that are not done come first, so only what is well is left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for site in sites[:room]:
        sign, style = _SIGNS[SiteState(site["state"])]
        since = site["since"].strftime("%d %b %H:%M") if site["since"] else ""
        reason = plain(site["reason"]).replace("\n", " ")
        beside = f" [{site['beside'].beside}]" if site["beside"] else ""
        table.add_row(
            Text(sign, style=style), site["site"], Text(site["state"], style=style), since, f"{reason}{beside}"
        )
    if more := len(sites) - room:
        rest = f"and {more} more" if more > 0 else ""
        return Group(table, Text(rest, style="dim")) if rest else table
    return table
