"""How the CLI speaks: tables and sentences for people, JSON for programs, errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pps.domain.base.errors import RolloutError
from pps.domain.base.spreadsheets import csv_text
from pps.domain.base.texts import plain
from pps.domain.packages.advice import Vulnerability
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import Platform

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; start nothing.")]

_COLOURS = {
    "OK": "green",
    "WARN": "yellow",
    "FAIL": "bold red",
    SiteState.AVAILABLE: "green",
    SiteState.TAGGED: "green",
    SiteState.NOT_ANNOUNCED: "bold red",
    SiteState.FAILED: "bold red",
    SiteState.LOST: "red",
    SiteState.LEFT_OUT: "yellow",
    SiteState.WITHDRAWN: "yellow",
    "works": "green",
    "problem": "bold red",
    "admitted": "green",
    "refused": "bold red",
    "pass": "green",
    "passed": "green",
    "fail": "bold red",
    "failed": "bold red",
    "inconclusive": "yellow",
    "met": "green",
    "waived": "yellow",
    "waiting": "yellow",
}


def console(*, stderr: bool = False) -> Console:
    """A console that takes text as text: no markup, no emoji codes. 80 columns without a terminal."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def moment(at: datetime | None) -> str:
    """A time for people, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if at else "-"


def coloured(value: object) -> Text:
    """A cell; states that people know by colour get theirs."""
    text = plain(value)
    return Text(text, style=_COLOURS.get(text, ""))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> Table:
    """A table whose last column takes the remaining room and folds; nothing is cut off."""
    out = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold", pad_edge=False)
    for name in columns:
        out.add_column(name, overflow="fold")
    for row in rows:
        out.add_row(*(coloured(cell) for cell in row))
    return out


def say(*parts: Table | Text | str) -> None:
    """Print for people."""
    out = console()
    for part in parts:
        out.print(Text(plain(part)) if isinstance(part, str) else part)


def pairs(rows: Iterable[tuple[str, object]]) -> Table:
    """`name  value` lines, without rules."""
    out = Table.grid(padding=(0, 2))
    out.add_column(style="bold")
    out.add_column(overflow="fold")
    for name, value in rows:
        out.add_row(Text(name), coloured(value))
    return out


def to_data(value: Any) -> Any:
    """Domain objects as JSON-ready data: enums by value, times in ISO 8601, sets in order."""
    match value:
        case Enum():
            data = value.value
        case datetime():
            data = value.isoformat()
        case Platform() | PurePath() | Vulnerability():
            data = str(value)
        case Mapping():
            data = {str(to_data(k)): to_data(v) for k, v in value.items()}
        case set() | frozenset():
            data = sorted(to_data(v) for v in value)
        case list() | tuple():
            data = [to_data(v) for v in value]
        case _ if is_dataclass(value):
            data = {f.name: to_data(getattr(value, f.name)) for f in fields(value) if f.repr}
        case _:
            data = value
    return data


def say_json(value: Any) -> None:
    """Print for programs; ASCII only, so that no control character reaches a terminal either."""
    sys.stdout.write(json.dumps(to_data(value), indent=2, allow_nan=False) + "\n")


def say_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print for spreadsheets."""
    sys.stdout.write(csv_text(columns, rows))


def complain(error: RolloutError) -> None:
    """`error: subject: why next step`, on stderr."""
    console(stderr=True).print(Text.assemble(("error: ", "bold red"), plain(error)), soft_wrap=True)
