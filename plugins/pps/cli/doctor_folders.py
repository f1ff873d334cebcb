"""Of `pps doctor`: can the account that runs Airflow use our folders and keyrings? It makes nothing.

Whoever asks may be root, who can write everywhere; then it is told from owner and mode.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any
from urllib.parse import unquote, urlsplit

from pps.activities.sites.diagnosis import Finding, Health, failure
from pps.adapters.packages.object_store import CONNECTION, is_object_store, said_by
from pps.adapters.packages.openpgp import keys_in
from pps.adapters.packages.signatures import keys_of
from pps.cli.front import Front
from pps.domain.base.errors import RolloutError, ServiceError
from pps.services.base import cache_folder

#: Setting of service.yaml -> what it is called.
_FOLDERS = {
    "artefact_store": "artefact store",
    "production_repository": "production repository",
    "publication_folder": "publication folder",
    "mirror_folder": "mirror folder",
    "pull_folder": "folder that sites fetch from",
}
_PROGRAMS = {
    "gpgv": "checks the signatures of providers' repositories",
    "gpg": "signs our repositories",
}


@dataclass(frozen=True, slots=True)
class Account:
    """Whoever has to work there."""

    name: str
    """"" where nobody knows it"""
    uid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, settings: dict[str, Any] | None) -> Account:
        """Of the api-server; of whoever asks, where nobody knows that one."""
        if settings is None or settings["uid"] < 0:
            mine = {os.getegid(), *os.getgroups()}
            return cls("", os.geteuid(), frozenset(mine))
        return cls(str(settings["user"]), int(settings["uid"]), frozenset(settings["groups"]))

    @property
    def words(self) -> str:
        """As it stands in a sentence."""
        return self.name or "this account"

    def gets(self, folder: Path, *, all_of_it: bool = False) -> str:
        """What to do so that a folder is its own."""
        if not self.name:
            return f"Give {folder} to the account that runs Airflow."
        return f"Run: chown -R {self.name} {folder}" if all_of_it else f"Run: install -d -o {self.name} {folder}"

    @property
    def is_me(self) -> bool:
        """Tell whether it is whoever asks; then the system itself can be asked."""
        return self.uid == os.geteuid()

    def may(self, path: Path, wanted: int) -> bool:
        """Tell whether it has these rights (`os.R_OK`, `os.W_OK`, `os.X_OK`) at a path, and may come there."""
        if self.is_me:
            return os.access(path, wanted) and (not wanted & os.W_OK or _takes_a_file(path))
        if self.uid == 0:
            return True
        return all(self._has(parent, os.X_OK) for parent in path.resolve().parents) and self._has(path, wanted)

    def _has(self, path: Path, wanted: int) -> bool:
        seen = path.stat()
        if seen.st_uid == self.uid:
            granted = stat.S_IMODE(seen.st_mode) >> 6
        else:
            granted = stat.S_IMODE(seen.st_mode) >> (3 if seen.st_gid in self.groups else 0)
        return granted & wanted == wanted


def _takes_a_file(folder: Path) -> bool:
    """The system's word is not enough: to root it says yes also of a file system that takes nothing."""
    try:
        with TemporaryFile(dir=folder):  # it has no name there
            return True
    except OSError:
        return False


@contextmanager
def without_traces(settings: dict[str, Any] | None) -> Iterator[None]:
    """As root, for an Airflow of another account: no cache is made that this one could not use afterwards."""
    if os.geteuid() != 0 or Account.of(settings).is_me or cache_folder().exists():
        yield
        return
    kept = os.environ.get("PPS_CACHE")
    with TemporaryDirectory(prefix="pps-doctor-") as folder:
        os.environ["PPS_CACHE"] = folder
        try:
            yield
        finally:
            del os.environ["PPS_CACHE"]
            if kept is not None:
                os.environ["PPS_CACHE"] = kept


def folder_findings(here: Front, settings: dict[str, Any] | None) -> Iterator[Finding]:
    """Each folder, each keyring, each program that signs or checks; of the account of the api-server."""
    account = Account.of(settings)
    try:
        service = here.services.config.service
    except RolloutError as error:
        yield from (failure(subject, error) for subject in _FOLDERS.values())
        return
    for name, subject in _FOLDERS.items():
        if where := getattr(service, name):
            yield _folder(here, subject, str(where), account)
    yield from _keyring(here, account)
    for program, does in _PROGRAMS.items():
        found = shutil.which(program)
        if found:
            yield Finding(program, Health.OK, found)
        else:
            yield Finding(program, Health.FAIL, f"is not installed; it {does}.", f"Install {program} (Debian).")


def _folder(here: Front, subject: str, where: str, account: Account) -> Finding:
    try:
        parts = urlsplit(where)
        if parts.scheme in ("", "file"):
            return _local(subject, Path(unquote(parts.path) if parts.scheme else where), account)
        return _elsewhere(here, subject, where)
    except RolloutError as error:
        return failure(subject, error)
    except Exception as error:  # whatever the library of an object store raises
        why = f"cannot be looked at ({type(error).__name__}: {error})."
        return failure(subject, ServiceError(where, why, "Correct its address, or its credentials."))


def _local(subject: str, folder: Path, account: Account) -> Finding:
    if not os.path.lexists(folder):
        above = next((parent for parent in folder.parents if parent.exists()), Path("/"))
        if above.is_dir() and account.may(above, os.W_OK | os.X_OK):
            return Finding(subject, Health.OK, f"{folder} is not there yet; {account.words} can make it.")
        why = f"{folder} is not there, and cannot be written by {account.words}: {above} is not theirs."
        return Finding(subject, Health.FAIL, why, account.gets(folder))
    if not folder.is_dir():
        return Finding(
            subject, Health.FAIL, f"{folder} is no folder, so it cannot be written.", "Correct service.yaml."
        )
    rights = {"read": os.R_OK | os.X_OK, "written": os.W_OK}
    lacking = [word for word, right in rights.items() if not account.may(folder, right)]
    if lacking:
        why = f"{folder} cannot be {' or '.join(lacking)} by {account.words}."
        return Finding(subject, Health.FAIL, why, account.gets(folder, all_of_it=True))
    if others := _of_others(folder, account):
        why = f"{others} in {folder} cannot be written by {account.words}."
        return Finding(subject, Health.FAIL, why, account.gets(folder, all_of_it=True))
    return Finding(subject, Health.OK, f"{folder} is read and written by {account.words}.")


def _of_others(folder: Path, account: Account) -> str:
    """A folder one level below in which it could not write, as root leaves one; "" if there is none."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink() and not account.may(entry, os.W_OK | os.X_OK):
            return entry.name
    return ""


def _elsewhere(here: Front, subject: str, where: str) -> Finding:
    """An object store has no folders, and no accounts of ours: a file is written and removed."""
    who = f", with the key of {said_by(here.services.credentials(CONNECTION))}" if is_object_store(where) else ""
    probe = here.services.folder_at(where) / ".pps-doctor"
    try:
        probe.write_text("ok")
        probe.unlink()
    except Exception as error:
        raise ServiceError(
            where, f"cannot be written to{who} ({type(error).__name__}: {error}).", "Make it writable."
        ) from error
    return Finding(subject, Health.OK, f"{where} is writable{who}.")


def _keyring(here: Front, account: Account) -> Iterator[Finding]:
    """Our own public keys, and those of providers: read by workers."""
    service = here.services.config.service
    known = {"keyring of ours": here.services.signing_keyring}
    for place, entry in service.package_keys.items():
        if entry.keyring and (keyring := here.services.trust_in(place).keyring):
            known[f"keyring of {place}"] = keyring
    for subject, file in known.items():
        if not file.exists():
            if subject == "keyring of ours":
                yield Finding(subject, Health.FAIL, f"{file} is not there.", "Make a key: pps keys make")
            continue  # a provider's is a finding of its own
        if not account.may(file, os.R_OK):
            why = f"{file} cannot be read by {account.words}."
            yield Finding(subject, Health.FAIL, why, f"Run: chmod a+r {file}")
            continue
        try:
            yield Finding(subject, Health.OK, f"{file}: {len(keys_in(keys_of(file)))} keys.")
        except RolloutError as error:
            yield failure(subject, error)
