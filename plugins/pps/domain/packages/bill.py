"""What a release carries: its packages as they describe themselves, and how it stands to vulnerabilities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pps.domain.base.texts import one_line, without_addresses
from pps.domain.packages.advice import Impact, Vulnerability
from pps.domain.packages.patch import PackageRef, RepositoryKind

_LONGEST = 200
_LICENCES = 50


@dataclass(frozen=True, slots=True)
class Description:
    """What a package says of itself; "" where it says nothing."""

    licences: tuple[str, ...] = ()
    """in its own words: SPDX, or what its distribution writes"""
    supplier: str = ""
    """vendor or maintainer, without the mail address"""

    @classmethod
    def of(cls, licences: list[str], supplier: str) -> Description:
        """From a stranger's words: bounded, on one line each."""
        said = dict.fromkeys(one_line(text, _LONGEST) for text in licences[:_LICENCES])
        who = without_addresses(supplier.partition("<")[0])
        return cls(tuple(text for text in said if text), one_line(who, _LONGEST))


@dataclass(frozen=True, slots=True)
class Carried:
    """A package of a release."""

    ref: PackageRef
    sha256: str
    says: Description


@dataclass(frozen=True, slots=True)
class Bill:
    """Bill of materials of one release."""

    rollout: str
    patch: int
    product: str
    version: str
    kind: RepositoryKind
    at: datetime
    """since when these packages are the ones: a bill that is written again is the same"""
    packages: tuple[Carried, ...]
    fixes: tuple[Vulnerability, ...]
    impacts: tuple[Impact, ...] = ()
    """what its provider says of others"""


def by_licence(packages: Iterable[Carried]) -> list[tuple[str, list[str]]]:
    """Licence -> the packages that name it, both sorted; "" at the end: those that name none."""
    found: dict[str, set[str]] = {}
    for it in packages:
        for licence in it.says.licences or ("",):
            found.setdefault(licence, set()).add(str(it.ref))
    return sorted(((name, sorted(refs)) for name, refs in found.items()), key=lambda it: (not it[0], it[0].casefold()))


def licences_in(copyright_file: str) -> list[str]:
    """The licences that a Debian package's copyright file names for its files, each once.

    None if it is not the machine-readable format (copyright-format 1.0): then only a person can tell.
    """
    stanzas = list(_stanzas(copyright_file))
    if not stanzas or "copyright-format" not in stanzas[0].get("format", ""):
        return []
    of_files = [stanza.get("license", "") for stanza in stanzas if "files" in stanza]
    return [text for text in dict.fromkeys(of_files or [stanzas[0].get("license", "")]) if text]


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """The first line of each field, by lower-case name."""
    fields: dict[str, str] = {}
    for line in (*text.splitlines(), ""):
        name, colon, value = line.partition(":")
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif colon and not line.startswith((" ", "\t", "#")):
            fields.setdefault(name.lower(), value.strip())
