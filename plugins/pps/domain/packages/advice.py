"""Security advice of a patch: which vulnerabilities it closes, how grave they are, and until when nobody is to know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

#: As the CVE programme writes them: four digits or more, any number of them.
_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}")


class Risk(StrEnum):
    """How grave a vulnerability is, in the words of EGI's Software Vulnerability Group."""

    CRITICAL = "critical"
    HIGH = "high"
    MODERATE = "moderate"
    LOW = "low"


@dataclass(frozen=True, slots=True, order=True)
class Vulnerability:
    """One vulnerability that a patch closes."""

    cve: str
    """e.g. `CVE-2026-12345`"""
    risk: Risk | None = None
    """None: nobody has said"""

    def __post_init__(self) -> None:
        checked_cve(self.cve)

    @classmethod
    def read(cls, text: str) -> Vulnerability:
        """`CVE-2026-12345`, or `CVE-2026-12345 critical`; `ValueError` says what it is not."""
        cve, _, risk = text.strip().partition(" ")
        risk = risk.strip()
        if risk and risk not in list(Risk):
            raise ValueError(f"{risk[:40]!r} is none of {', '.join(Risk)}")
        return cls(cve, Risk(risk) if risk else None)

    def __str__(self) -> str:
        return f"{self.cve} {self.risk}" if self.risk else self.cve


def checked_cve(text: str) -> str:
    """The id itself; `ValueError` if it is none."""
    if not _CVE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no CVE id such as CVE-2026-12345")
    return text


@dataclass(frozen=True, slots=True)
class Advice:
    """What the tracker said last."""

    vulnerabilities: tuple[Vulnerability, ...] = ()
    embargo_until: datetime | None = None
    product: tuple[str, str] | None = None
    """metapackage and version"""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Advice:
        """From a payload on record."""
        until = said.get("embargo_until")
        return cls(
            tuple(Vulnerability(cve, Risk(risk) if risk else None) for cve, risk in said.get("cves", ())),
            datetime.fromisoformat(until) if until else None,
            (str(said["metapackage"]), str(said["version"])),
        )

    def written(self) -> dict[str, Any]:
        """As the record has it."""
        metapackage, version = self.product or ("", "")
        return {
            "cves": [[v.cve, v.risk.value if v.risk else None] for v in self.vulnerabilities],
            "embargo_until": self.embargo_until.isoformat() if self.embargo_until else None,
            "embargoed": "yes" if self.embargo_until else "no",
            "metapackage": metapackage,
            "version": version,
        }

    def shown(self) -> list[dict[str, str | None]]:
        """For JSON and pages: `cve`, `severity` (None: nobody has said)."""
        return [{"cve": v.cve, "severity": v.risk.value if v.risk else None} for v in self.vulnerabilities]

    def says_the_same(self, other: Advice) -> bool:
        """Tell whether nothing has changed for whoever reads it."""
        return (self.vulnerabilities, self.embargo_until) == (other.vulnerabilities, other.embargo_until)

    def is_secret(self, now: datetime) -> bool:
        """Tell whether nothing of the patch may be said in public."""
        return self.embargo_until is not None and now < self.embargo_until

    def is_named_in(self, said: Mapping[str, Any]) -> bool:
        """Tell whether the payload of another record names the very version."""
        return self.product is not None and self.product == (said.get("metapackage"), said.get("version"))
