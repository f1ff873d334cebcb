"""`pps restore`: a backup of `pps backup` into two empty databases (docs/production.md, 7)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from pps import __version__
from pps.adapters.packages.store_lists import compared, listed, read_list
from pps.adapters.record.dumps import DumpedDatabase
from pps.adapters.record.schema import knows
from pps.adapters.record.store import FactStore, upgrade
from pps.cli import output
from pps.cli.backup import DUMPS, HEADS, MANIFEST, STORES, Manifest, databases, digest_of, mark_of
from pps.cli.front import Front, front
from pps.cli.packages.mirrors import progress
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError, RefusedError
from pps.domain.record import chain


def restore(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="A backup of pps backup.")
    ],
    dry_run: output.DryRun = False,
    as_json: output.Json = False,
) -> None:
    """Bring both databases back from FOLDER into two empty ones; refuses any other.

    Checks digests and versions before, and every fact's hash after, against the heads of the backup. If it cannot end,
    or is interrupted, both databases are empty again. Says which files of the lists the stores lack: bring these from
    your copy of the files. Exit code 1 when anything does not fit.
    """
    here = front(ctx)
    facts, airflow = databases(here)
    given = _read(folder)
    _check_versions(given, {"facts": facts.check_programs(), "airflow": airflow.check_programs()})
    for database in (facts, airflow):
        if number := database.tables():
            why = f"has {number} tables; a restore needs an empty one."
            raise NotYetAllowedError(database.what, why, "Make a new database, or drop what is in this one.")
    warnings = _other_secrets(given)
    misfits: list[str] = []
    if not dry_run:
        with progress(quiet=as_json) as told:
            misfits = _restored(here, facts, airflow, folder, told)
    missing = _differences(here, folder, quiet=as_json)
    if as_json:
        told_all = {"folder": folder, "restored": not dry_run, "facts": given.facts, "misfits": misfits}
        output.say_json({**told_all, "stores": missing, "warnings": warnings})
    else:
        done = "would be restored" if dry_run else "are restored"
        output.say(
            f"{given.facts} facts and Airflow's database of {given.made_at} {done}.", *misfits, *missing, *warnings
        )
        if not dry_run:
            output.say("Then: airflow db migrate, pps doctor, and start the services.")
    if misfits or missing:
        raise typer.Exit(1)


def _read(folder: Path) -> Manifest:
    """What a backup says of itself, after a look at each of its files."""
    try:
        given = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(str(folder), f"is no backup ({type(error).__name__}).", "Name another.") from error
    if given.format != 1:
        raise RefusedError(str(folder), (f"It is of format {given.format}; this version knows 1.",))
    wanted = {*DUMPS.values(), HEADS}
    changed = [n for n, d in given.files.items() if not (folder / n).is_file() or digest_of(folder / n) != d]
    if changed or not wanted <= given.files.keys():
        names = ", ".join(changed) or ", ".join(sorted(wanted - given.files.keys()))
        raise RefusedError(str(folder), (f"Missing or changed since it was made: {names}.",), "Take another copy.")
    return given


def _check_versions(given: Manifest, servers: Mapping[str, int]) -> None:
    reasons = [
        f"The {name} come from PostgreSQL {given.servers[name]}; here is {server}."
        for name, server in servers.items()
        if given.servers.get(name, 0) > server
    ]
    if not knows(given.revision):
        reasons.append(f"Its schema {given.revision or 'without a number'} is newer than PPS Rollout {__version__}.")
    if _numbers(given.airflow) > _numbers(version("apache-airflow")):
        reasons.append(f"It is of Airflow {given.airflow}; here is {version('apache-airflow')}.")
    if reasons:
        raise RefusedError(
            "the backup", tuple(reasons), "Restore it with the versions that it was made with, or newer."
        )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _other_secrets(given: Manifest) -> list[str]:
    found = []
    for name, mark in given.secrets.items():
        if os.environ.get(name) is None or mark_of(name) != mark:
            found.append(f"{name} is not the one of the backup: what was made with that one cannot be read.")
    return found


def _restored(
    here: Front,
    facts: DumpedDatabase,
    airflow: DumpedDatabase,
    folder: Path,
    told: Callable[[int, int, str], None],
) -> list[str]:
    """Both, or none; returns which facts do not fit."""
    done: list[DumpedDatabase] = []
    try:
        for database, name in ((facts, DUMPS["facts"]), (airflow, DUMPS["airflow"])):
            done.append(database)
            database.restore(folder / name)
        owner = here.services.credentials("pps_store_owner") or here.services.store_url
        upgrade(owner, application=here.services.store_url)
        return _misfits(owner, chain.parse_heads((folder / HEADS).read_text(encoding="ascii")), told)
    except BaseException:
        for database in done:
            database.clear()
        raise


def _misfits(url: str, known: Mapping[str, chain.Head], told: Callable[[int, int, str], None]) -> list[str]:
    store = FactStore(url)
    try:
        found = []
        chains = list(store.chains())
        for number, (name, links) in enumerate(chains, 1):
            found.append(chain.verify(name, links, known.get(name)))
            told(number, len(chains), name)
        found += [chain.gone(head) for name, head in known.items() if name not in {one.rollout for one in found}]
        return [f"{one.rollout}: {one.misfit}" for one in found if one.misfit]
    finally:
        store.dispose()


def _differences(here: Front, folder: Path, *, quiet: bool) -> list[str]:
    """What the stores lack of the lists."""
    found = []
    for setting, name in STORES.items():
        where = getattr(here.services.config.service, setting)
        if not (folder / name).exists():
            continue
        if not where:
            found.append(f"service.yaml has no {setting}, and the backup lists what lay there.")
            continue
        with progress(quiet=quiet) as told:
            root = here.services.folder_at(where)
            found += compared(root, read_list(folder / name), listed(root, told))
    return found
