"""Security advice of a patch: which vulnerabilities it closes, how grave they are, what its provider says of others
(VEX, in the words of OpenVEX 0.2), and until when nobody is to know.
"""

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


class Status(StrEnum):
    """How a version stands to a vulnerability that it does not close."""

    NOT_AFFECTED = "not_affected"
    AFFECTED = "affected"
    UNDER_INVESTIGATION = "under_investigation"


class Because(StrEnum):
    """Why a version is not affected."""

    NO_COMPONENT = "component_not_present"
    NO_CODE = "vulnerable_code_not_present"
    NEVER_RUN = "vulnerable_code_not_in_execute_path"
    OUT_OF_REACH = "vulnerable_code_cannot_be_controlled_by_adversary"
    MITIGATED = "inline_mitigations_already_exist"


@dataclass(frozen=True, slots=True, order=True)
class Impact:
    """What the provider says of a vulnerability that the patch does not close."""

    cve: str
    status: Status
    because: Because | None = None
    """with `NOT_AFFECTED`, and only there"""

    def __post_init__(self) -> None:
        checked_cve(self.cve)
        if (self.because is not None) != (self.status is Status.NOT_AFFECTED):
            raise ValueError(f"{Status.NOT_AFFECTED} says why, the others do not; why is one of {', '.join(Because)}")

    @classmethod
    def read(cls, text: str) -> Impact:
        """`CVE-2026-12346 not_affected vulnerable_code_not_present`, or `CVE-2026-12347 under_investigation`.

        `ValueError` says what it is not, and what can stand there.
        """
        cve, *words = text.split() or [""]
        if len(words) not in (1, 2):
            raise ValueError(f"{text[:80]!r} is no CVE id with one of {', '.join(Status)} behind it")
        for word, known in zip(words, (Status, Because), strict=False):
            if word not in list(known):
                raise ValueError(f"{word[:60]!r} is none of {', '.join(known)}")
        return cls(cve, Status(words[0]), Because(words[1]) if words[1:] else None)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.cve, self.status, self.because)))

    @property
    def in_words(self) -> str:
        """For people: `not affected (vulnerable code not present)`."""
        status = self.status.replace("_", " ")
        return f"{status} ({self.because.replace('_', ' ')})" if self.because else status


@dataclass(frozen=True, slots=True)
class Advice:
    """What the tracker said last."""

    vulnerabilities: tuple[Vulnerability, ...] = ()
    embargo_until: datetime | None = None
    product: tuple[str, str] | None = None
    """metapackage and version"""
    impacts: tuple[Impact, ...] = ()

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Advice:
        """From a payload on record."""
        until = said.get("embargo_until")
        return cls(
            tuple(Vulnerability(cve, Risk(risk) if risk else None) for cve, risk in said.get("cves", ())),
            datetime.fromisoformat(until) if until else None,
            (str(said["metapackage"]), str(said["version"])),
            tuple(map(Impact.read, said.get("vex", ()))),
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
            "vex": list(map(str, self.impacts)),
        }

    def shown(self) -> list[dict[str, str | None]]:
        """For JSON and pages: `cve`, `severity` (None: nobody has said)."""
        return [{"cve": v.cve, "severity": v.risk.value if v.risk else None} for v in self.vulnerabilities]

    def shown_impacts(self) -> list[dict[str, str | None]]:
        """For JSON and pages: `cve`, `status`, `because` (None unless it is not affected), `in_words`."""
        return [
            {"cve": i.cve, "status": i.status.value, "because": i.because and i.because.value, "in_words": i.in_words}
            for i in self.impacts
        ]

    def says_the_same(self, other: Advice) -> bool:
        """Tell whether nothing has changed for whoever reads it."""
        mine, theirs = ((a.vulnerabilities, a.impacts, a.embargo_until) for a in (self, other))
        return mine == theirs

    def is_secret(self, now: datetime) -> bool:
        """Tell whether nothing of the patch may be said in public."""
        return self.embargo_until is not None and now < self.embargo_until

    def is_named_in(self, said: Mapping[str, Any]) -> bool:
        """Tell whether the payload of another record names the very version."""
        return self.product is not None and self.product == (said.get("metapackage"), said.get("version"))
