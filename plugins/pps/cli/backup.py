"""`pps backup`: both databases, and lists of what lies in the stores (docs/production.md, 7)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from pps import __version__
from pps.activities.operations.watch import BACKUP
from pps.activities.packages.tarball import tarballs_on_record
from pps.adapters.packages.folders import sha256_of
from pps.adapters.packages.store_lists import listed, names_in, read_list
from pps.adapters.record.dumps import DumpedDatabase, Moment, same_place
from pps.adapters.record.schema import VERSION_TABLE
from pps.cli import output
from pps.cli.front import Front, front
from pps.cli.packages.mirrors import progress
from pps.config.base_models import Model
from pps.domain.base.errors import ConfigurationError, RolloutError
from pps.domain.record.facts import FactKind

MANIFEST = "BACKUP.json"
HEADS = "facts.heads"
DUMPS = {"facts": "pps.dump", "airflow": "airflow.dump"}
#: Setting of service.yaml -> the list of what lies there.
STORES = {
    "artefact_store": "artefacts.list",
    "production_repository": "production.list",
    "mirror_folder": "mirrors.list",
    "upload_folder": "uploads.list",
}
#: Secrets without which what is restored cannot be used; only a mark of each is in a backup.
_SECRETS = ("PPS_FEEDBACK_SECRET", "AIRFLOW__CORE__FERNET_KEY")


class Manifest(Model):
    """BACKUP.json: what a backup holds, and what it needs. No secret is in it."""

    format: int
    made_at: str
    pps: str
    airflow: str
    servers: dict[str, int]
    """database -> major version of its PostgreSQL"""
    revision: str
    """of the schema of facts"""
    facts: int
    files: dict[str, str]
    """file of the backup -> sha256"""
    keys: dict[str, tuple[str, ...]]
    """what -> fingerprints"""
    secrets: dict[str, str]
    """name -> a mark by which the same secret is known again"""
    problems: tuple[str, ...]
    """what did not fit when it was made"""


def backup(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the backup.")],
    dry_run: output.DryRun = False,
    as_json: output.Json = False,
) -> None:
    """Write both databases, and lists of the stores' files, into FOLDER; it is there when all of it is.

    As the owner of the tables (pps_store_owner), with Airflow's own AIRFLOW__DATABASE__SQL_ALCHEMY_CONN. Rollouts
    may go on meanwhile: Airflow's database is taken before the facts, so that no task is taken for done whose fact is
    missing. Files of artefacts, production, mirrors and uploads are not copied: the lists say which, how large, and
    with which sha256; take them with any file copy, after this. Keys and secrets are named, never written: keep them
    elsewhere.
    Exit code 1 when a store lacks what is on record; the backup is made all the same.
    """
    here = front(ctx)
    facts, airflow = databases(here)
    if folder.exists():
        raise ConfigurationError(
            str(folder), "is there already; a backup is not written over another.", "Name another."
        )
    servers = {"facts": facts.check_programs(), "airflow": airflow.check_programs()}
    if dry_run:
        return _would_back_up(here, folder, servers, as_json)
    with _whole(folder) as part:
        airflow.dump(part / DUMPS["airflow"])
        with facts.moment() as moment:
            facts.dump(part / DUMPS["facts"], moment.snapshot)
        (part / HEADS).write_text("".join(sorted(f"{head.line}\n" for head in moment.heads)), encoding="ascii")
        with progress(quiet=as_json) as told:
            _write_lists(here, part, told)
        problems = tuple(_missing(here, moment, part))
        made = Manifest(
            format=1,
            made_at=here.now().isoformat(timespec="seconds"),
            pps=__version__,
            airflow=version("apache-airflow"),
            servers=servers,
            revision=facts.revision(VERSION_TABLE),
            facts=sum(head.number for head in moment.heads),
            files={file.name: digest_of(file) for file in sorted(part.iterdir())},
            keys=_keys(here),
            secrets={name: mark_of(name) for name in _SECRETS if os.environ.get(name)},
            problems=problems,
        )
        (part / MANIFEST).write_text(json.dumps(made.model_dump(), indent=1) + "\n", encoding="utf-8")
        _synced(part)
    here.services.facts.saw(BACKUP, here.now())
    if as_json:
        output.say_json({"folder": folder, **made.model_dump()})
    else:
        output.say(_described(folder, made), *problems)
    if problems:
        raise typer.Exit(1)
    return None


def databases(here: Front) -> tuple[DumpedDatabase, DumpedDatabase]:
    """The database of facts, as its owner, and Airflow's."""
    airflow = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "")
    if not airflow:
        raise ConfigurationError(
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
            "is not set; Airflow's database is unknown.",
            "Run this with the service's settings: docs/production.md, 7.",
        )
    owner = here.services.credentials("pps_store_owner") or here.services.store_url
    both = DumpedDatabase("the database of facts", owner), DumpedDatabase("Airflow's database", airflow)
    if same_place(*both):
        raise ConfigurationError("the two databases", "are one.", "Facts need a database of their own.")
    return both


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder beside the wanted one that takes its name when all is written, and is removed otherwise."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of one that was killed
    try:
        part.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ConfigurationError(str(folder), f"cannot be made ({error.strerror}).", "Name another.") from error
    try:
        yield part
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_lists(here: Front, part: Path, told: Callable[[int, int, str], None]) -> None:
    for setting, name in STORES.items():
        if where := getattr(here.services.config.service, setting):
            with (part / name).open("w", encoding="utf-8") as file:
                file.writelines(f"{one.line}\n" for one in listed(here.services.folder_at(where), told))


def _missing(here: Front, moment: Moment, part: Path) -> Iterator[str]:
    """Tarballs of open rollouts that the artefact store does not have as they are on record."""
    there = {name: file.sha256 for name, file in read_list(part / STORES["artefact_store"]).items()}
    known = {head.rollout for head in moment.heads}
    for opened in here.services.facts.rollouts(open_only=True):
        built = here.services.facts.rollout(opened.name).the(FactKind.TARBALL_BUILT) if opened.name in known else None
        for tarball in tarballs_on_record(here.services.facts, built.payload["name"])[-1:] if built else ():
            for name, sha256 in tarball.files.items():
                if there.get(f"{tarball.name}/{name}") != sha256:
                    yield f"{opened.name}: {tarball.name}/{name} is not in the artefact store as it is on record."


def _keys(here: Front) -> dict[str, tuple[str, ...]]:
    from pps.adapters.packages.openpgp import keys_in

    found = {}
    with suppress(RolloutError):  # none yet, says pps doctor
        found["signing"] = tuple(key.fingerprint for key in keys_in(here.services.seal.public))
    with suppress(RolloutError, OSError, IndexError, ValueError):
        public = Path(f"{here.services.config.sites_file.ssh_key_file}.pub").read_bytes().split()[1]
        # as ssh-keygen -l says it
        mark = hashlib.sha256(base64.b64decode(public)).digest()
        found["ssh"] = (f"SHA256:{base64.b64encode(mark).decode().rstrip('=')}",)
    return found


def mark_of(name: str) -> str:
    """The mark of a secret, eight digits: enough to tell another secret, far too few to find one out."""
    return hmac.new(os.environ[name].encode(), b"pps backup", "sha256").hexdigest()[:8]


def digest_of(file: Path) -> str:
    """sha256 of a file."""
    with file.open("rb") as opened:
        return sha256_of(opened)


def _synced(part: Path) -> None:
    for path in (*part.iterdir(), part):
        number = os.open(path, os.O_RDONLY)
        os.fsync(number)
        os.close(number)


def _described(folder: Path, made: Manifest) -> Any:
    rows = [("folder", folder), ("facts", made.facts), ("files", ", ".join(made.files))]
    rows += [(f"{what} key", ", ".join(fingerprints)) for what, fingerprints in made.keys.items()]
    return output.pairs(rows)


def _would_back_up(here: Front, folder: Path, servers: Mapping[str, int], as_json: bool) -> None:
    service = here.services.config.service
    stores = {s: len(names_in(here.services.folder_at(w))) for s in STORES if (w := getattr(service, s))}
    if as_json:
        return output.say_json({"folder": folder, "servers": servers, "stores": stores})
    rows: list[tuple[str, object]] = [(f"PostgreSQL of {name}", number) for name, number in servers.items()]
    rows += [(name, f"{number} files to list") for name, number in stores.items()]
    return output.say(f"{folder} would be written:", output.pairs(rows))
