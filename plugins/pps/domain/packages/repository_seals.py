"""The signatures over the indexes of repositories that we publish, and how long they hold (docs/adr/0022).

APT: `Release` names the digests of all index files, until when it may be believed (`Valid-Until`), and is signed as
`InRelease` and beside it as `Release.gpg`. YUM: `repomd.xml.asc` signs `repomd.xml`, which knows no such date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from pps.domain.packages.patch import Repository, RepositoryKind

ORIGIN = "PPS Rollout"
"""of our APT repositories, and their label; sites may pin by it, so it never changes"""
KEYRING = "pps-archive-keyring.asc"
"""the public keys as people and programs fetch them"""

_YUM_SEAL = re.compile(r"repodata/([0-9a-f]{64}-)?repomd\.xml\.asc")
_DATES = re.compile(r"^(Date|Valid-Until):.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key with which our indexes are signed."""

    fingerprint: str
    name: str
    ends: datetime | None
    """when it expires; None: never"""
    revoked: bool = False

    @property
    def spaced(self) -> str:
        """The fingerprint in groups of four, as people compare it."""
        return " ".join(self.fingerprint[at : at + 4] for at in range(0, len(self.fingerprint), 4))


def is_seal(path: str, repository: Repository) -> bool:
    """Tell whether a file of a repository carries a signature or the dates of one: such files are made anew."""
    if repository.kind is RepositoryKind.YUM:
        return _YUM_SEAL.fullmatch(path) is not None
    return path in [f"dists/{repository.suite}/{name}" for name in ("InRelease", "Release", "Release.gpg")]


def dated(release: str, now: datetime, valid_for: timedelta) -> str:
    """The Release file with new dates: valid from now on, for `valid_for`. Nothing else in it changes."""
    rest = _DATES.sub("", release)
    return f"Date: {format_datetime(now)}\nValid-Until: {format_datetime(now + valid_for)}\n{rest}"


def valid_until(release: str) -> datetime | None:
    """Until when a Release file may be believed; None if it does not say so."""
    found = re.search(r"^Valid-Until: *(.+)$", release, re.MULTILINE)
    try:
        return parsedate_to_datetime(found[1].strip()) if found else None
    except ValueError:
        return None


def is_due(release: str, now: datetime, renew_when_left: timedelta) -> bool:
    """Tell whether a Release file needs new dates: its time is over, or nearly so, or it has none."""
    ends = valid_until(release)
    return ends is None or ends <= now + renew_when_left


def index_digests(release: str) -> dict[str, tuple[str, int]]:
    """Index files that a Release file names: path below its folder -> (sha256, size)."""
    found = re.finditer(r"^ ([0-9a-f]{64}) +(\d{1,12}) +(\S+)$", release, re.MULTILINE)
    return {match[3]: (match[1], int(match[2])) for match in found}
