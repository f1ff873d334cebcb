"""Digests by which an index names its files: which are strong enough, and what the weak ones are called.

APT and YUM know the same algorithms under several names. MD5 and SHA1 can be forged for chosen content, so a file
that is named by these alone counts as not named at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Algorithm -> hexadecimal digits. In the order of preference: sha256 is what all our own lists use.
STRONG = {"sha256": 64, "sha512": 128, "sha384": 96}

_OTHER_NAMES = {"sha": "sha1", "md5sum": "md5"}


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of a file, and its algorithm as `hashlib` calls it."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}"


def algorithm_of(name: str) -> str:
    """What `hashlib` calls an algorithm: `SHA256` in APT, `sha` in old YUM repositories."""
    name = name.strip().lower().replace("-", "")
    return _OTHER_NAMES.get(name, name)


def strong_digest(algorithm: str, value: str) -> Digest | None:
    """The digest, or None if the algorithm is weak or unknown, or the value does not fit it."""
    name, value = algorithm_of(algorithm), value.strip().lower()
    if name in STRONG and len(value) == STRONG[name] and re.fullmatch(r"[0-9a-f]+", value):
        return Digest(name, value)
    return None


def why_no_digest(algorithms: Sequence[str]) -> str:
    """A clause that says why a file cannot be checked, given the algorithms by which the index names it."""
    weak = sorted({algorithm_of(a)[:20] for a in algorithms} - STRONG.keys())
    accepted = ", ".join(STRONG)
    if weak:
        return f"is named by {' and '.join(weak)} only, which can be forged or is not known here (accepted: {accepted})"
    return f"has no digest in the index (accepted: {accepted})"
