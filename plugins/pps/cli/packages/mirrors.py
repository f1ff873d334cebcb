"""`pps mirror`: a snapshot of the developers' repository for a pilot (SD 4.1.3, 6)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pps.activities.packages import mirroring
from pps.activities.packages.mirroring import Told, Verification
from pps.cli import output
from pps.cli.front import Front, front, group
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError, TamperedError
from pps.domain.base.texts import plain
from pps.domain.packages.mirrors import LIST, SourceChanges
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.workflow.alarm import raise_alarm

app = group("Mirrors: snapshots of the developers' repositories, for pilots in production.")

Pilot = Annotated[str, typer.Argument(metavar="ROLLOUT", help="Name of the pilot; pps rollout list shows them.")]

_LINES = 20
"""of progress at most, where no bar can be drawn"""
_SHOWN = 20
"""paths of one kind of difference; --json has them all"""


@contextmanager
def progress(*, quiet: bool) -> Iterator[Told]:
    """Says on stderr how far it is: a bar on a terminal, some lines elsewhere, nothing beside JSON."""
    out = output.console(stderr=True)
    if quiet:
        yield lambda done, of, what: None
    elif not out.is_terminal:
        yield (
            lambda done, of, what: (
                out.print(f"{done} of {of}", soft_wrap=True) if done == of or done % max(1, of // _LINES) == 0 else None
            )
        )
    else:
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=out, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, of, what: bar.update(task, completed=done, total=of, description=plain(what)[:60])


@app.command()
def make(
    ctx: typer.Context,
    name: Pilot,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be taken; fetch no package.")] = False,
    as_json: output.Json = False,
) -> None:
    """Make the mirror of a pilot from the repository of its patch, each package checked by digest.

    It is there as a whole or not at all, is never changed afterwards, and is made once: later changes at
    the source do not reach it.
    """
    here = front(ctx)
    services = here.services
    desk = here.desk(name)
    made = desk.rollout.the(FactKind.MIRROR_MADE)
    if dry_run:
        return _show_plan(here, desk.rollout, as_json=as_json)
    with (
        tempfile.TemporaryDirectory(prefix="pps-mirror-") as folder,
        progress(quiet=as_json) as told,
    ):
        try:
            fact = mirroring.make_mirror(
                desk,
                mirrors=services.mirrors,
                repositories=services.repositories,
                reader=services.package_reader,
                publish_packages=services.publish_packages,
                limits=services.config.policies.mirror.to_port(),
                workdir=Path(folder),
                told=told,
            )
        except TamperedError as error:
            raise_alarm(desk, error)
            raise
    if as_json:
        return output.say_json(_described(here, fact))
    _show(here, fact)
    if made:
        return output.say(f"It had been made before. See what has changed since: pps mirror verify {name} --source")
    return output.say(f"Its index is signed. See whether it is still what it was: pps mirror verify {name}")


def _show_plan(here: Front, record: Rollout, *, as_json: bool) -> None:
    services = here.services
    reasons = mirroring.reasons_against_mirror(record)
    made = record.the(FactKind.MIRROR_MADE)
    patch = services.tracker.patch(record.patch_number)
    limits = services.config.policies.mirror.to_port()
    _, plan = mirroring.plan_mirror(patch, services.repositories, limits)
    data: dict[str, Any] = {
        "rollout": record.name,
        "reasons_against": reasons,
        "made_before": made is not None and "skipped" not in made.payload,
        "source": plan.source,
        "packages": len(plan.packages),
        "bytes": plan.bytes,
        "packages_at_most": limits.packages_at_most,
        "bytes_at_most": limits.bytes_at_most,
    }
    if as_json:
        output.say_json(data | {"listing": plan.packages})
    else:
        place = " ".join((plan.source.url, plan.source.suite, *plan.source.components)).strip()
        rows = [
            ("pilot", record.name),
            ("verdict", "refused" if reasons else "admitted"),
            *(("", f"- {reason}") for reason in reasons),
            ("source", f"{plan.source.kind} {place}"),
            ("packages", f"{len(plan.packages)} (of {limits.packages_at_most} allowed)"),
            ("bytes", f"{plan.bytes} (of {limits.bytes_at_most} allowed)"),
        ]
        output.say(output.pairs(rows))
        if data["made_before"]:
            output.say("", "The pilot has its mirror; it would not be made again.")
        output.say("", "Dry run: no package was fetched.")
    if reasons:
        raise typer.Exit(1)


@app.command()
def skip(
    ctx: typer.Context,
    name: Pilot,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="A sentence that says why none is needed.", show_default=False)
    ],
    as_json: output.Json = False,
) -> None:
    """Put on record why a pilot needs no mirror: its service is not published in production, say."""
    here = front(ctx)
    if here.is_far:
        here.post(f"rollouts/{name}/no-mirror", {"reason": reason}, about=f"mirror of {name}")
        fact = here.services.facts.rollout(name).need(FactKind.MIRROR_MADE, "Say it again.")
    else:
        fact = mirroring.skip_mirror(here.desk(name), reason)
    if as_json:
        return output.say_json(_described(here, fact))
    return output.say(f"{name} has no mirror: {fact.payload['skipped']}")


@app.command("list")
def list_mirrors(ctx: typer.Context, as_json: output.Json = False) -> None:
    """List the mirrors that were made, and the pilots that need none, the newest first."""
    here = front(ctx)
    made = sorted(here.services.facts.facts_of_kind((FactKind.MIRROR_MADE,)), key=lambda f: f.at, reverse=True)
    if as_json:
        return output.say_json([_described(here, fact) for fact in made])
    if not made:
        return output.say("No mirrors yet. Make one: pps mirror make ROLLOUT")
    rows = [
        (f.rollout, output.moment(f.at), "-", "-", f"none: {p['skipped']}")
        if "skipped" in (p := f.payload)
        else (f.rollout, output.moment(f.at), p["packages"], p["bytes"], p["source"])
        for f in made
    ]
    return output.say(output.table(("PILOT", "SINCE", "PACKAGES", "BYTES", "SOURCE"), rows))


@app.command()
def verify(
    ctx: typer.Context,
    name: Pilot,
    source: Annotated[
        bool, typer.Option("--source", help="Also say what has changed at the developers' since.")
    ] = False,
    http: Annotated[
        bool, typer.Option("--http", help="Also fetch everything over mirror_url, as a site would.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Read every file of a pilot's mirror and say which differ, are missing or are extra. Exit code 1 if any.

    Changes at the source are no fault: the mirror is there so that they do not reach the pilot.
    """
    here = front(ctx)
    services = here.services
    record = services.facts.rollout(name)
    with tempfile.TemporaryDirectory(prefix="pps-mirror-") as folder, progress(quiet=as_json) as told:
        over_http = None
        if http:
            if not services.config.service.mirror_url:
                raise ConfigurationError("service.yaml", "names no mirror_url.", "Set it, or leave --http out.")
            address = mirroring.mirror_repository(record, services.mirror_url)
            over_http = (services.own_repositories, address, Path(folder)) if address else None
        found = mirroring.verify(
            record, services.mirrors, over_http=over_http, seal_problems=services.problems_of_seal, told=told
        )
        changes = None
        if source and not isinstance(mirroring.recorded(record, services.mirrors)[1], str):
            limits = services.config.policies.mirror.to_port()
            changes = mirroring.changes_at_source(record, services.mirrors, services.repositories, limits)
    if as_json:
        output.say_json({"rollout": name, "sound": found.sound, "verification": found, "source": changes})
    else:
        _show_verification(name, found, changes)
    if not found.sound:
        raise typer.Exit(1)


def _show_verification(name: str, found: Verification, changes: SourceChanges | None) -> None:
    wrong = found.differences
    rows: list[tuple[str, object]] = [
        ("mirror", found.mirror),
        ("verdict", "sound" if found.sound else "changed"),
        ("files", found.files),
        *(("problem", problem) for problem in found.problems),
        *_paths("differs", wrong.differ),
        *_paths("missing", wrong.missing),
        *_paths("extra", wrong.extra),
    ]
    output.say(output.pairs(rows))
    if not found.sound:
        output.say(
            "", f"Restore {found.mirror} from the backup, and tell the sites of {name}: nothing should change it."
        )
    if changes is None:
        return None
    if changes.unreadable:
        return output.say("", f"The source cannot be read now; the mirror does not need it. {changes.unreadable}")
    news = [
        *_paths("new", changes.added),
        *_paths("gone", changes.removed),
        *_paths("other content", changes.rebuilt),
    ]
    if not news:
        return output.say("", "Nothing has changed at the source since.")
    return output.say("", "At the source since, without effect on the pilot:", output.pairs(news))


def _paths(what: str, paths: tuple[str, ...]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [(what, path) for path in paths[:_SHOWN]]
    return rows + ([("", f"... and {len(paths) - _SHOWN} more; --json has them all")] if len(paths) > _SHOWN else [])


def _described(here: Front, fact: Fact) -> dict[str, Any]:
    record = here.services.facts.rollout(fact.rollout)
    address = mirroring.mirror_repository(record, here.services.mirror_url)
    return {"rollout": fact.rollout, "at": fact.at, "by": fact.actor, **fact.payload, "address": address}


def _show(here: Front, fact: Fact) -> None:
    data = _described(here, fact)
    address = data["address"]
    if address is None:
        raise NotYetAllowedError(f"mirror of {fact.rollout}", "There is none.")
    rows = [
        ("pilot", fact.rollout),
        ("mirror", fact.payload["mirror"]),
        ("list", f"{LIST}, sha256 {fact.payload['digest']}"),
        ("packages", fact.payload["packages"]),
        ("bytes", fact.payload["bytes"]),
        ("source", fact.payload["source"]),
        ("sites take", " ".join((address.url, address.suite, *address.components)).strip()),
    ]
    output.say(output.pairs(rows))
