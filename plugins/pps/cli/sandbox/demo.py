"""`pps sandbox demo` and `pps sandbox serve`: the whole product with a small grid, on this machine."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pps.activities.clients.standing import told
from pps.cli import output
from pps.cli.sandbox import demo_summary
from pps.domain.base.errors import RolloutError
from pps.domain.base.texts import plain
from pps.domain.packages.patch import Patch
from pps.domain.record.facts import Fact
from pps.sandbox.airflow.configuration import HUMAN_PACE
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo import attacks
from pps.sandbox.demo.bc import BcDemo
from pps.sandbox.demo.major_pilot import MajorPilotDemo
from pps.sandbox.demo.minor_pilot import MinorPilotDemo
from pps.sandbox.demo.non_bc import NonBcDemo
from pps.sandbox.demo.play import Demo, DemoSummary
from pps.sandbox.demo.pre_deployment import PreDeploymentDemo
from pps.sandbox.demo.provider import ProviderDemo
from pps.sandbox.demo.release_testing import ReleaseTestingDemo
from pps.sandbox.demo.signed import SignedDemo
from pps.sandbox.grid.landscape import MOST_SITES

_FOLDER = Path(".pps")


class Route(StrEnum):
    """The rollout paths that have a demo."""

    BC = "bc"
    NON_BC = "non-bc"
    PRE_DEPLOYMENT = "pre-deployment"
    RELEASE_TESTING = "release-testing"
    MINOR_PILOT = "minor-pilot"
    MAJOR_PILOT = "major-pilot"
    PROVIDER = "provider"
    SIGNED = "signed"
    ATTACKS = "attacks"
    """no path, but what a stolen controller can do: one site with a kit, without Airflow"""


_DEMOS: Mapping[Route, type[Demo]] = {
    Route.BC: BcDemo,
    Route.NON_BC: NonBcDemo,
    Route.PRE_DEPLOYMENT: PreDeploymentDemo,
    Route.RELEASE_TESTING: ReleaseTestingDemo,
    Route.MINOR_PILOT: MinorPilotDemo,
    Route.MAJOR_PILOT: MajorPilotDemo,
    Route.PROVIDER: ProviderDemo,
    Route.SIGNED: SignedDemo,
}

Sites = Annotated[int, typer.Option("--sites", min=6, max=MOST_SITES, help="Number of sites.")]
Folder = Annotated[Path, typer.Option("--folder", "-f", help="Where everything is kept.", show_default=True)]


class Pace(StrEnum):
    """How much time people have."""

    HUMAN = "human"
    FAST = "fast"


PaceOption = Annotated[
    Pace,
    typer.Option(
        "--pace",
        envvar="PACE",
        help="`human`: people have hours to answer. `fast`: seconds, as in a demo.",
        show_default=True,
    ),
]
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
    """Run one path of the service description (SD) on a small grid, with people who answer, and show what came of it.

    \b
    bc               SD 4.1.1: a client that needs no configuration, at all sites; three of them fail on purpose
    non-bc           SD 4.1.2: a client that Silver partners configure; the deployment test runs beside it
    pre-deployment   SD 4.2.2: an update over several deployment scenarios; what fails goes back to its provider
    release-testing  SD 4.2.3: sites of regional pools try an update; the Release Manager decides
    minor-pilot      SD 4.1.3: a service in production at a Gold site; an outage becomes an incident and passes
    major-pilot      SD 4.1.3: two rounds, each with another VO: one reports a problem, the other is content
    provider         a release from its provider's desk, with three faults at first, to production and its quality page
    signed           SD 4.1.1 with one more site, which takes what two people have signed with keys of their own
    attacks          a site that verifies what it installs, attacked with the controller's key; who refused what

    Starts PostgreSQL, Airflow and a grid (attacks: one site alone, nothing is kept); ends them, also on Ctrl-C.
    Exit code 0 only if everything that should have happened really happened.
    """
    if rollout is Route.ATTACKS:
        _attacks(as_json=as_json)
        return
    kind = _DEMOS[rollout]
    if sites < kind.fewest_sites:
        raise typer.BadParameter(f"the demo {rollout} needs at least {kind.fewest_sites} sites.")
    tell = _teller(quiet=as_json)
    with _sentences(), _ended_by_signals():
        place = folder / "demo"
        shutil.rmtree(place, ignore_errors=True)
        installation = Installation(place, sites, policies=kind.policies)
        played = kind(installation, tell, lambda fact: tell(_line(fact)))
        try:
            summary = played.run(_start(played, folder / "cache", packages, tell))
        finally:
            tell("Ending all processes ...")
            installation.stop()
        _show(summary, as_json=as_json)


def _attacks(*, as_json: bool) -> None:
    with _sentences(), _ended_by_signals():
        summary = attacks.play(_teller(quiet=as_json))
        _show(summary, as_json=as_json)


def _show(summary: DemoSummary, *, as_json: bool) -> None:
    if as_json:
        output.say_json(demo_summary.data(summary))
    else:
        demo_summary.show(summary)
    if summary.problems:
        raise typer.Exit(1)


def serve(
    sites: Sites = 12,
    folder: Folder = _FOLDER,
    packages: Packages = "auto",
    pace: PaceOption = Pace.HUMAN,
) -> None:
    """Keep grid and Airflow running until Ctrl-C, with a patch that waits to be rolled out, and say what to play next.

    People have hours to answer; with --pace fast (or PACE=fast) they have seconds, as in a demo.
    The folder keeps everything; served again from it, the grid goes on where it was.
    """
    tell = _teller()
    with _sentences(), _ended_by_signals():
        installation = Installation(folder / "serve", sites, policies=HUMAN_PACE if pace is Pace.HUMAN else None)
        try:
            patch = _start(BcDemo(installation, tell, lambda fact: None), folder / "cache", packages, tell)
            _show_addresses(installation, patch)
            threading.Event().wait()
        except KeyboardInterrupt:
            tell("Ending all processes ...")
        finally:
            installation.stop()


def _start(played: Demo, cache: Path, packages: str, tell: Callable[[str], None]) -> Patch:
    """Bring everything up and let the provider submit its patch; downloads go on meanwhile."""
    wanted = {"real": True, "sample": False}.get(packages)
    fetched: list[Any] = []

    def fetch() -> None:
        try:
            fetched.append(played.fetch(cache, real=wanted))
        except BaseException as error:  # shown by the main thread
            fetched.append(error)

    downloads = threading.Thread(target=fetch, daemon=True)
    downloads.start()
    played.installation.start(tell)
    downloads.join()
    if isinstance(fetched[0], BaseException):
        raise fetched[0]
    tell(f"to watch it: {played.installation.url}/pps/map")
    patch = played.offer(fetched[0])
    tell(f"patch {patch.number} ({patch.metapackage} {patch.version}) is {patch.state.lower()}")
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
        out.print(f"{time.monotonic() - began:6.1f} s  {plain(line)}", soft_wrap=True)

    return tell


#: Of a fact's payload, what is no news to somebody who watches.
_NO_NEWS = {
    "bytes", "digest", "effort_ph", "files", "link", "occasion", "patch", "path", "person", "production_before",
    "replaced", "roc", "role", "run", "seconds", "site", "step", "tag_vo", "title", "update",
}  # fmt: skip


def _line(fact: Fact) -> str:
    """One fact: what, to whom (or in which rollout), and what tells most of it."""
    news = {key: value for key, value in fact.payload.items() if key not in _NO_NEWS and value != ""}
    text = demo_summary.short(told(replace(fact, payload=news)), 100)
    return f"  {fact.kind.value:22} {fact.subject or fact.rollout:22} {text}"


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
                ("live map", f"{installation.url}/pps/map"),
                ("release bulletin", f"{installation.url}/pps/bulletin"),
                ("for a shell", f". {installation.folder / 'env.sh'}"),
            ]
        ),
        "\nThen, for example:",
        output.pairs(
            [
                ("start the rollout", f"pps rollout start {patch.number} --follow"),
                ("as a VO", "pps sandbox mails   (the link in a VO's invitation opens its form)"),
                ("as SA3", f"pps sandbox certify {patch.number}"),
                ("as a site", "PPS_AIRFLOW_USER=admin-... PPS_AIRFLOW_PASSWORD=... pps tasks list"),
                ("break a site", "pps sandbox --help"),
                ("look at the grid", "pps sandbox status"),
            ]
        ),
        "\nRunning until Ctrl-C.",
    )
