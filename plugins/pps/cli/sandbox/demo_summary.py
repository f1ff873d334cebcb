"""What came of a demo, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import typer
from rich.text import Text

from pps.cli import output
from pps.domain.base.texts import plain
from pps.sandbox.demo.play import DemoSummary, Table

_LONGEST = 160


def show(summary: DemoSummary) -> None:
    """Tables, mails, texts, places, and the last word."""
    for table in summary.tables:
        rows = [[short(row.get(key, "")) or "-" for key in table.columns] for row in table.rows]
        output.say(_title(table.title), output.table(list(table.columns.values()), rows))
    if summary.mails:
        mails = [(str(n), subject) for subject, n in Counter(subject for _, subject in summary.mails).items()]
        output.say(_title(f"Mails sent ({len(summary.mails)})"), output.table(("mails", "subject"), mails))
    for title, text in summary.texts.items():
        output.say(_title(title), "")
        # not wrapped: a line of a JDL or of a log is of no use when it is cut in two
        typer.echo(f"{plain(text)}\n")
    if summary.jdl:
        typer.echo(f"For the users' JDL\n\n  {summary.jdl}\n")
    width = max(map(len, summary.places), default=0)
    for what, path in summary.places.items():
        typer.echo(f"{what:{width}}  {path}")
    typer.echo()
    if summary.remarks:
        output.say("NOT SHOWN ON THIS MACHINE", *(f"  - {remark}" for remark in summary.remarks), "")
    if summary.problems:
        output.say("NOT AS IT SHOULD BE", *(f"  - {problem}" for problem in summary.problems))
    else:
        output.say(f"Done: {summary.done}")


def _title(text: str) -> Text:
    # apart from its table, at whose width it would be wrapped
    return Text(plain(text), style="bold")


def short(text: str, longest: int = _LONGEST) -> str:
    """One line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def data(summary: DemoSummary) -> Mapping[str, Any]:
    """The same as JSON; rows of tables with the same key follow each other."""
    tables: dict[str, list[Mapping[str, str]]] = {}
    for table in summary.tables:
        tables.setdefault(table.key, []).extend(_row(table, row) for row in table.rows)
    return {
        "rollout": summary.rollout,
        "run_state": summary.run_state,
        "problems": summary.problems,
        "remarks": summary.remarks,
        **tables,
        "mails": summary.mails,
        "places": {what: str(path) for what, path in summary.places.items()},
        "jdl": summary.jdl,
    }


def _row(table: Table, row: Mapping[str, str]) -> Mapping[str, str]:
    return {"table": table.title, **row}
