"""`pps sandbox`: run a small grid on this machine, break it, repair it, and play the provider's part."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.roundup import RoundupTracker
from pps.config.loader import load_configuration, read_yaml
from pps.config.patch_documents import parse_patch, patch_document
from pps.domain.base.errors import RolloutError
from pps.domain.packages.patch import Patch, PatchState
from pps.sandbox.grid.control import GridControl, describe
from pps.sandbox.grid.landscape import MOST_SITES, Fault
from pps.sandbox.grid.pilot_service import ServiceAction
from pps.sandbox.grid.smtp import kept_mails, read_mail

app = typer.Typer(
    name="sandbox",
    help="A small grid on this machine: sites over SSH, tracker, mail sink, package repository.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
console = Console(highlight=False)
_errors = Console(stderr=True, highlight=False)

Folder = Annotated[
    Path, typer.Option("--folder", "-f", envvar="PPS_SANDBOX", help="Folder of the grid.", show_default=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
SiteName = Annotated[str, typer.Argument(help="Site, as in: pps sandbox status", show_default=False)]
PatchNumber = Annotated[
    int, typer.Argument(help="Number of the patch in the tracker.", min=1, max=10**9 - 1, show_default=False)
]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Goes into the patch's history.")]
_FOLDER = Path(".pps/sandbox")


@contextmanager
def _sentences() -> Iterator[None]:
    """Errors that we raise on purpose are sentences for people, not tracebacks; exit code 1."""
    try:
        yield
    except RolloutError as error:
        _errors.print(escape(_plain(str(error))), style="red", soft_wrap=True)
        raise typer.Exit(1) from error


@app.command()
def up(
    folder: Folder = _FOLDER,
    sites: Annotated[
        int | None, typer.Option(min=1, max=MOST_SITES, help="Number of sites; 12 in a new folder.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides names, accounts and old tags.", show_default=False)] = None,
    healthy: Annotated[bool, typer.Option("--healthy", help="No site fails or stays out at the start.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the grid (without Airflow) until Ctrl-C.

    The folder keeps everything; started again with it, the grid goes on where it was.
    """
    # the servers are only imported by the one command that needs them
    from pps.sandbox.grid.grid import Grid, run

    def ready(grid: Grid) -> None:
        _show(grid.status(), as_json)
        if not as_json:
            console.print(f"\nConfiguration: export PPS_CONFIG={escape(str(grid.config))}", soft_wrap=True)
            console.print("The grid runs until Ctrl-C. In another terminal: pps sandbox status")

    with _sentences():
        grid = Grid(folder, sites, seed, healthy=healthy or None)
        asyncio.run(run(grid, ready))


@app.command()
def status(folder: Folder = _FOLDER, as_json: AsJson = False) -> None:
    """Show the running grid: services, sites, faults, previews and tags."""
    with _sentences():
        _show(GridControl(folder).status(), as_json)


@app.command("break")
def break_site(
    site: SiteName,
    fault: Annotated[Fault, typer.Argument(help="What goes wrong.", show_default=False)],
    folder: Folder = _FOLDER,
    as_json: AsJson = False,
) -> None:
    """Give a site a fault, at once; commands that run there now are cut only if it becomes unreachable.

    unreachable: nobody listens on its port. quota: the disk quota is used up. profile: a local script
    ends every shell that reads the site's settings, so probes fail. slow: a thin line.
    """
    _at_site(folder, lambda grid: grid.break_site(site, fault), as_json)


@app.command()
def repair(site: SiteName, folder: Folder = _FOLDER, as_json: AsJson = False) -> None:
    """Take all faults away from a site."""
    _at_site(folder, lambda grid: grid.repair_site(site), as_json)


@app.command()
def wipe(site: SiteName, folder: Folder = _FOLDER, as_json: AsJson = False) -> None:
    """Lose all previews of a site, as a reinstallation does; production and tags stay."""
    _at_site(folder, lambda grid: grid.wipe_site(site), as_json)


@app.command()
def service(
    site: SiteName,
    action: Annotated[ServiceAction, typer.Argument(help="What the site's people do.", show_default=False)],
    version: Annotated[str, typer.Argument(help="For upgrade; else as it was.", show_default=False)] = "",
    folder: Folder = _FOLDER,
    as_json: AsJson = False,
) -> None:
    """Play the people of a site with their pilot service, an HTTP server that says its version.

    start: run and publish it. stop: it no longer answers, but stays published. upgrade: to VERSION.
    roll-back: to the version before. withdraw: stop it, and no longer publish it.
    """
    with _sentences():
        shown = GridControl(folder).act_on_service(site, action, version)["service"]
    if as_json:
        _print_json(shown)
        return
    state = "answers" if shown["running"] else "does not answer"
    where = f" at {shown['endpoint']}" if shown["endpoint"] else ""
    published = "published" if shown["published"] else "not published"
    console.print(f"{site}: version {shown['version']} {state}{where}, {published}.", soft_wrap=True, markup=False)


@app.command()
def mails(
    folder: Folder = _FOLDER,
    to: Annotated[str, typer.Option("--to", help="Only mails to addresses that contain this.")] = "",
    show: Annotated[
        int | None, typer.Option("--show", min=1, help="Show the mail of this number.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the mails that the sink has kept, or show one."""
    with _sentences():
        kept_in = Path(describe(folder)["mails"])
    kept = kept_mails(kept_in, to)
    if show is not None:
        found = [m for m in kept if m.number == show]
        if not found:
            _errors.print(f"There is no mail {show}.", style="red")
            raise typer.Exit(1)
        message = read_mail(kept_in, found[0])
        body = message.get_body(("plain", "html"))
        text = body.get_content() if body is not None else "(no text)"
        if as_json:
            _print_json(_mail_json(found[0]) | {"text": str(text)})
            return
        for name, value in _mail_json(found[0]).items():
            console.print(f"{name + ':':<12} {escape(str(value))}", soft_wrap=True)
        console.print()
        console.print(escape(_plain(str(text))), soft_wrap=True)
    elif as_json:
        _print_json([_mail_json(m) for m in kept])
    else:
        table = Table("no.", "received", "to", "subject", box=None, pad_edge=False)
        for mail in kept:
            table.add_row(str(mail.number), mail.received_at, escape(", ".join(mail.recipients)), escape(mail.subject))
        console.print(table if kept else "No mail yet.")


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="Patch as YAML or JSON (docs/tracker.md).", show_default=False)],
    folder: Folder = _FOLDER,
    as_json: AsJson = False,
) -> None:
    """Enter a patch into the tracker, as a provider does; the same file once more changes nothing."""
    with _sentences():
        patch = parse_patch(read_yaml(file), unknown="forbid")
        tracker = _tracker(folder)
        tracker.enter(patch)
        _show_patch(tracker.patch(patch.number), as_json)


@app.command()
def certify(
    patch: PatchNumber, folder: Folder = _FOLDER, comment: Comment = "Certification passed.", as_json: AsJson = False
) -> None:
    """Move a patch to Certified, as SA3 does."""
    _move(folder, patch, PatchState.CERTIFIED, comment, as_json)


@app.command()
def reject(
    patch: PatchNumber, folder: Folder = _FOLDER, comment: Comment = "Certification failed.", as_json: AsJson = False
) -> None:
    """Move a patch to Rejected, as SA3 does."""
    _move(folder, patch, PatchState.REJECTED, comment, as_json)


@app.command()
def flag(
    patch: PatchNumber,
    folder: Folder = _FOLDER,
    clear: Annotated[bool, typer.Option("--clear", help="Take the flag away.")] = False,
    comment: Comment = "",
    as_json: AsJson = False,
) -> None:
    """Set SA3's flag: the first round of certification tests was passed."""
    with _sentences():
        tracker = _tracker(folder)
        tracker.set_flag(patch, "basic_certification_passed", not clear, comment)
        _show_patch(tracker.patch(patch), as_json)


def _move(folder: Path, number: int, state: PatchState, comment: str, as_json: bool) -> None:
    with _sentences():
        tracker = _tracker(folder)
        tracker.set_state(number, state, comment)
        _show_patch(tracker.patch(number), as_json)


def _tracker(folder: Path) -> RoundupTracker:
    grid = describe(folder)
    return RoundupTracker(
        load_configuration(Path(grid["config"])).tracker,
        Secret.of(Path(grid["tracker_connection_file"]).read_text().strip()),
    )


def _at_site(folder: Path, act: Callable[[GridControl], dict[str, Any]], as_json: bool) -> None:
    with _sentences():
        site = act(GridControl(folder))
    if as_json:
        _print_json(site)
    else:
        console.print(_site_table([site]))


def _show(status: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(status)
        return
    services = Table("service", "address", box=None, pad_edge=False)
    for name, address in status["services"].items():
        if name != "control":
            services.add_row(name, address or "not installed")
    console.print(services)
    console.print()
    console.print(_site_table(status["sites"]))


def _site_table(sites: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    # fits into 80 columns; what is longer is in --json
    for heading in ("site", "platform", "port", "part", "faults", "previews"):
        table.add_column(heading, no_wrap=True)
    for site in sites:
        part = "canary" if site["canary"] else "" if site["accepts_previews"] else "opted out"
        faults = f"[red]{', '.join(site['faults'])}[/red]" if site["faults"] else "[green]none[/green]"
        port = site["address"].rpartition(":")[2]
        table.add_row(escape(site["name"]), site["platform"], port, part, faults, str(len(site["previews"])))
    return table


def _show_patch(patch: Patch, as_json: bool) -> None:
    if as_json:
        _print_json(patch_document(patch))
        return
    flagged = "set" if patch.basic_certification_passed else "not set"
    console.print(
        f'{escape(patch.subject)}: "{patch.state}", basic-certification flag {flagged}, '
        f"{len(patch.packages) + len(patch.externals)} packages, {len(patch.bugs)} bugs.",
        soft_wrap=True,
    )


def _mail_json(mail: Any) -> dict[str, Any]:
    return {
        "number": mail.number,
        "received": mail.received_at,
        "from": mail.sender,
        "to": list(mail.recipients),
        "subject": mail.subject,
        "message_id": mail.message_id,
        "file": mail.file,
    }


def _plain(text: str) -> str:
    """Text from outside cannot steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def _print_json(value: object) -> None:
    # not through rich: programs want neither colours nor wrapped lines
    typer.echo(json.dumps(value, indent=1))
