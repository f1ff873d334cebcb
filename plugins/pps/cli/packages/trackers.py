"""`pps tracker`: what the patch tracker is read as, and a tracker of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pps.activities.ports.tracker import Reading
from pps.cli import output
from pps.cli.front import front, group
from pps.domain.packages.patch import what_is_missing

app = group("The patch tracker: what each patch is read as, and how to make one.")


@app.command()
def check(
    ctx: typer.Context,
    patch: Annotated[
        int | None,
        typer.Argument(metavar="[PATCH]", min=1, max=999_999_999, help="Number of one patch; else all."),
    ] = None,
    unusable: Annotated[bool, typer.Option("--unusable", help="Only those that cannot be used.")] = False,
    as_json: output.Json = False,
) -> None:
    """Show what each patch of the tracker is read as by tracker.yaml, and what it lacks.

    A patch with a problem cannot be used until somebody corrects it in the tracker, or the mapping in tracker.yaml.
    What is missing stops nobody by itself; each line says what follows from it. Changes nothing. Exit code 1 when a
    patch cannot be used.
    """
    readings = [r for r in front(ctx).services.tracker.readings(patch) if not unusable or r.patch is None]
    if as_json:
        output.say_json([_data(r) for r in readings])
    elif patch is not None and readings:
        output.say(*_one(readings[0]))
    else:
        rows = [(r.number or "?", r.patch.state if r.patch else "unusable", _says(r), r.title) for r in readings]
        output.say(output.table(("PATCH", "READ AS", "MISSING", "TITLE"), rows) if rows else "No patches.")
    if any(r.patch is None for r in readings):
        raise typer.Exit(1)


def _says(reading: Reading) -> str:
    if reading.patch is None:
        return "; ".join(reading.problems)
    return ", ".join(sentence.partition(":")[0] for sentence in what_is_missing(reading.patch)) or "nothing"


def _one(reading: Reading) -> tuple[Table | str, ...]:
    head = output.pairs([("patch", reading.number or "?"), ("title", reading.title or "-"), ("page", reading.page)])
    if reading.patch is None:
        return (head, "", "It cannot be used:", *(f"  - {problem}" for problem in reading.problems))
    fields = output.pairs([(n, _short(v)) for n, v in output.to_data(reading.patch).items()])
    missing = what_is_missing(reading.patch)
    return (head, "", "It is read as:", fields, "", *_missing(missing))


def _missing(sentences: tuple[str, ...]) -> tuple[str, ...]:
    return ("Missing:", *(f"  - {s}" for s in sentences)) if sentences else ("Nothing is missing.",)


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return (
            f"{len(value)}: {', '.join(_short(v) for v in value[:5])}{', ...' if len(value) > 5 else ''}"
            if value
            else "-"
        )
    if isinstance(value, dict):
        return " ".join(_short(v) for v in value.values() if v not in ("", [], ()))
    text = " ".join(str("-" if value in (None, "") else value).split())
    return text if len(text) <= 160 else f"{text[:160]} ..."


def _data(reading: Reading) -> dict[str, Any]:
    missing = what_is_missing(reading.patch) if reading.patch else ()
    return {**output.to_data(reading), "usable": reading.patch is not None, "missing": list(missing)}


@app.command()
def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Tracker home to make, or to bring up to date.", show_default=False)],
    url: Annotated[
        str, typer.Option(help="Where people and PPS Rollout will find it; default: url of tracker.yaml.")
    ] = "",
    as_json: output.Json = False,
) -> None:
    """Make a Roundup tracker with our schema, rules and pages from config/tracker/.

    Needs Roundup in this Python (pip install pps-rollout[tracker]). Once more brings schema, rules and pages up to
    date, and leaves the data alone. The connection for PPS Rollout is written into the folder, for its owner only.
    """
    from pps.adapters.trackers.roundup_home import make_home

    config = front(ctx).services.config
    address = (url or config.tracker.url).rstrip("/") + "/"
    source = config.folder / "tracker"
    home = make_home(folder, address, source if source.exists() else _SHIPPED)
    steps = (
        f"Serve it behind a proxy, as {address}: roundup-server -n 127.0.0.1 -p PORT pps={home.folder}",
        f"Give Airflow the connection pps_tracker that is in {home.secret_file}, and remove the file.",
        f"In tracker.yaml: kind: roundup, url: {address}",
        f"Its first user: roundup-admin -i {home.folder} set user1 password=...",
        "Look at what is read: pps tracker check",
    )
    if as_json:
        return output.say_json({"folder": str(home.folder), "made": home.made, "url": address, "next": list(steps)})
    done = "made" if home.made else "was there; its schema, rules and pages are up to date, its data as they were"
    output.say(f"{home.folder}: {done}.", "", "Next:", *(f"  {n}. {step}" for n, step in enumerate(steps, 1)))
    return None


#: config/tracker/ of this checkout.
_SHIPPED = Path(__file__).resolve().parents[4] / "config" / "tracker"
