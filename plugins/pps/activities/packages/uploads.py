"""Packages that providers upload: into a repository of ours, one for each provider, signed by us.

For those who have no repository of their own. What a file is, it says itself: no name that somebody else gives it is
used. It is read to its end in the confined child before it is published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pps.activities.desk import Office
from pps.activities.packages.submission import open_record
from pps.activities.ports.packages import PackageReader, TarballLimits, UnpackBudget
from pps.activities.ports.record import Facts
from pps.domain.base.errors import RefusedError
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind
from pps.domain.people.providers import Provider
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.submissions import RECORD

SUITE, COMPONENT = "uploads", "main"
_DEB = b"!<arch>\n"
_DAY = timedelta(days=1)
#: What a fact is about: before the provider's name.
_ABOUT = "upload:"

#: Adds a package to the repository of a provider, and says where that is served.
Publish = Callable[[str, RepositoryKind, Path, datetime], Repository]


def upload_address(root: str, provider: str, kind: RepositoryKind) -> str:
    """Where the repository of one provider's uploads of one kind is served, below the root of all."""
    return f"{root.rstrip('/')}/{provider}/{kind.value}"


def kind_of(file: Path) -> RepositoryKind:
    """Which kind of package a file is, or would be if it were one."""
    with file.open("rb") as content:
        return RepositoryKind.APT if content.read(len(_DEB)) == _DEB else RepositoryKind.YUM


def upload_repository(kind: RepositoryKind, url: str) -> Repository:
    """The repository of one provider's uploads of one kind."""
    apt = kind is RepositoryKind.APT
    return Repository(kind, url, SUITE if apt else "", (COMPONENT,) if apt else ())


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A package that is published now."""

    package: PackageRef
    repository: Repository
    sha256: str
    bytes: int
    new: bool
    """false: this very file was there already"""


def take(  # noqa: PLR0917
    office: Office,
    provider: Provider,
    user: str,
    file: Path,
    reader: PackageReader,
    limits: TarballLimits,
    per_day: int,
    publish: Publish,
) -> Uploaded:
    """Publish a package that one of a provider's people has sent; the same file again changes nothing.

    Raises:
        PackageError: it is no package, or one that must not be unpacked; or another one has its name and version.
        RefusedError: too many in a day.
    """
    kind = kind_of(file)
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    with reader.open(file, UnpackBudget(limits.unpacked_bytes_at_most, limits.files_at_most)) as opened:
        for _ in opened.members():
            pass
        ref = opened.ref
    about = f"{_ABOUT}{provider.name}"
    today = office.facts.facts_of_kind([FactKind.PACKAGE_UPLOADED], since=office.now - _DAY)
    if sum(f.subject == about for f in today) >= per_day and not _was_uploaded(office, about, sha256):
        why = f"{per_day} packages in a day are enough for {provider.name}."
        raise RefusedError(f"upload of {ref}", (why,), "Try again tomorrow.")
    repository = publish(provider.name, kind, file, office.now)
    open_record(office)
    said: dict[str, Any] = {"provider": provider.name, "package": str(ref), "kind": kind.value}
    said |= {"bytes": file.stat().st_size, "user": user}
    fact = Fact(RECORD, FactKind.PACKAGE_UPLOADED, about, sha256, office.now, office.actor, said)
    return Uploaded(ref, repository, sha256, said["bytes"], bool(office.facts.record(fact)))


def _was_uploaded(office: Office, about: str, sha256: str) -> bool:
    uploads = office.facts.facts_of_kind([FactKind.PACKAGE_UPLOADED])
    return any((f.subject, f.occasion) == (about, sha256) for f in uploads)


def uploading_providers(facts: Facts) -> tuple[str, ...]:
    """Those who have uploaded packages; what that costs does not grow with their number."""
    return tuple(about.removeprefix(_ABOUT) for about in facts.subjects(RECORD, FactKind.PACKAGE_UPLOADED))
