"""`pps sandbox demo` and `pps sandbox serve`: the whole product with a small grid, on this machine."""

from __future__ import annotations

import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pps.activities.standing import told
from pps.cli import output
from pps.domain.errors import RolloutError
from pps.domain.facts import Fact
from pps.domain.patches import Patch
from pps.domain.sites import Platform
from pps.sandbox.demo import Demo, Summary
from pps.sandbox.installation import Installation
from pps.sandbox.landscape import MOST_SITES
from pps.sandbox.provider import offer_patch, real_or_sample_packages

_FOLDER = Path(".pps")


class Route(StrEnum):
    """The rollout paths that have a demo."""

    BC = "bc"


Sites = Annotated[int, typer.Option("--sites", min=6, max=MOST_SITES, help="Number of sites.")]
Folder = Annotated[Path, typer.Option("--folder", "-f", help="Where everything is kept.", show_default=True)]
Packages = Annotated[
    str, typer.Option("--packages", help="`real` grid clients (needs apt), `sample` ones, or `auto`.", metavar="KIND")
]


def demo(
    rollout: Annotated[Route, typer.Option("--rollout", help="Which path of the service description.")] = Route.BC,
    sites: Sites = 12,
    folder: Folder = _FOLDER,
    packages: Packages = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run one real client patch through SD 4.1.1 and show what came of it.

    Starts PostgreSQL, Airflow and a grid with sites of which three fail on purpose; ends them, also on Ctrl-C.
    Exit code 0 only if everything that should happen really happened.
    """
    tell = _teller(quiet=as_json)
    with _sentences(), _ended_by_signals():
        place = folder / "demo"
        shutil.rmtree(place, ignore_errors=True)
        installation = Installation(place, sites)
        try:
            patch = _start(installation, folder / "cache", packages, tell)
            summary = Demo(installation, tell).run(patch, lambda fact: tell(_line(fact)))
        finally:
            tell("Ending all processes ...")
            installation.stop()
        if as_json:
            output.say_json(_data(summary))
        else:
            _show(summary)
    if summary.problems:
        raise typer.Exit(1)


def serve(
    sites: Sites = 12,
    folder: Folder = _FOLDER,
    packages: Packages = "auto",
) -> None:
    """Keep grid and Airflow running until Ctrl-C, with a patch that waits to be rolled out.

    The folder keeps everything; served again from it, the grid goes on where it was.
    """
    tell = _teller()
    with _sentences(), _ended_by_signals():
        installation = Installation(folder / "serve", sites)
        try:
            patch = _start(installation, folder / "cache", packages, tell)
            _show_addresses(installation, patch)
            threading.Event().wait()
        except KeyboardInterrupt:
            tell("Ending all processes ...")
        finally:
            installation.stop()


def _start(installation: Installation, cache: Path, packages: str, tell: Callable[[str], None]) -> Patch:
    """Bring everything up and let the provider submit its patch; downloads go on meanwhile."""
    wanted = {"real": True, "sample": False}.get(packages)
    fetched: list[Any] = []

    def fetch() -> None:
        try:
            provided, real = real_or_sample_packages(cache, real=wanted)
            fetched.append(provided)
            size = sum(f.stat().st_size for f in provided.files) / 1e6
            kind = "real grid clients" if real else "sample packages"
            tell(f"the provider has {len(provided.files)} packages ({kind}, {size:.0f} MB)")
        except BaseException as error:  # shown by the main thread
            fetched.append(error)

    downloads = threading.Thread(target=fetch, daemon=True)
    downloads.start()
    installation.start(tell)
    downloads.join()
    if isinstance(fetched[0], BaseException):
        raise fetched[0]
    grid = installation.grid
    patch = offer_patch(
        Path(grid["repository_folder"]),
        grid["services"]["repository"],
        installation.services().tracker,  # type: ignore[arg-type]
        fetched[0],
        Platform.parse(grid["made_with"]["platform"]),
    )
    tell(f"patch {patch.number} ({patch.metapackage} {patch.version}) is in certification, flagged by SA3")
    return patch


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except RolloutError as error:
        output.complain(error)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end us as Ctrl-C does: in order, with everything that we started."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = {s: signal.signal(s, end) for s in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _teller(*, quiet: bool = False) -> Callable[[str], None]:
    began = time.monotonic()
    out = output.console(stderr=True) if quiet else output.console()

    def tell(line: str) -> None:
        out.print(f"{time.monotonic() - began:6.1f} s  {output.plain(line)}", soft_wrap=True)

    return tell


def _line(fact: Fact) -> str:
    text = " ".join(told(fact).split())
    return f"  {fact.kind.value:22} {fact.subject:22} {text[:110]}"


def _show(summary: Summary) -> None:
    rows = [
        (r["site"], r["state"], r["probes"] or "-", "yes" if r["tag"] else "-", _short(r["reason"] or r["holds"] or "-"))
        for r in summary.sites
    ]
    output.say(
        "",
        output.table(("site", "state", "probes", "tag seen", "preview there, or why not"), rows, title="Sites"),
        output.table(("to", "subject"), summary.mails, title=f"Mails sent ({len(summary.mails)})"),
        "Release notes, in short\n",
        _shortened(summary.release_notes),
        f"\nFor the users' JDL\n\n  {summary.jdl}\n",
        output.pairs((what, str(path)) for what, path in summary.places.items()),
        "",
    )
    if summary.problems:
        output.say("NOT AS IT SHOULD BE", *(f"  - {problem}" for problem in summary.problems))
    else:
        count = sum(r["state"] == "available" for r in summary.sites)
        output.say(
            f"Done: {count} sites announce the preview, every site that should have failed is shown with its reason, "
            "everybody was told, and the release is in production."
        )


def _short(text: str, longest: int = 110) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _shortened(notes: str) -> str:
    """The notes without the long lists of packages and sites, which stand above or in the file."""
    sections = re.split(r"\n(?=[^\n]+\n-{3,}\n)", notes)
    return "\n".join(s for s in sections if not s.startswith(("Packages\n", "Results at the sites\n"))).strip()


def _data(summary: Summary) -> dict[str, Any]:
    return {
        "rollout": summary.rollout.name,
        "run_state": summary.run_state,
        "problems": summary.problems,
        "sites": summary.sites,
        "mails": summary.mails,
        "places": {what: str(path) for what, path in summary.places.items()},
        "jdl": summary.jdl,
    }


def _show_addresses(installation: Installation, patch: Patch) -> None:
    airflow = installation.airflow
    if airflow is None:
        return
    users = [(name, role, airflow.password(name)) for name, role in airflow.users.items()]
    output.say(
        "",
        output.table(("user", "role", "password"), users, title=f"Airflow: {installation.url}"),
        output.pairs(
            [
                ("release bulletin", f"{installation.url}/pps/bulletin"),
                ("for a shell", f". {installation.folder / 'env.sh'}"),
                ("then", f"pps rollout start {patch.number} --follow"),
                ("the grid", f"pps sandbox status --folder {installation.grid_folder}"),
            ]
        ),
        "\nRunning until Ctrl-C.",
    )
