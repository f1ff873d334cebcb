"""The index by which packages were believed: it goes on record with them, and stands in the release's verification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class VerifiedIndex:
    """The signed file of a repository, as it was fetched."""

    address: str
    sha256: str
    signers: tuple[str, ...] = ()
    """fingerprints of the keys whose signatures held; none: no signature was asked for"""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> VerifiedIndex:
        """From a payload on record."""
        return cls(str(said["address"]), str(said["sha256"]), tuple(said["signers"]))

    def written(self) -> dict[str, Any]:
        """As the record has it."""
        return {"address": self.address, "sha256": self.sha256, "signers": list(self.signers)}
