"""What is found in a release: a fault keeps it out until it is mended, or waived by a role with a reason.

What could not be looked at cannot be waived: nobody knows what it would be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pps.domain.base.texts import one_line

_LONGEST = 600


class Weight(StrEnum):
    """What a finding means for the release. Stored: never rename."""

    FAULT = "fault"
    """it is not taken with this"""
    WARNING = "warning"
    """somebody should look"""
    HINT = "hint"


_ORDER = list(Weight)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    code: str
    """which rule; stored: never rename"""
    weight: Weight
    about: str
    """a package, a platform, a variable, ...; "" for the release as a whole"""
    sentence: str
    remedy: str = ""
    may_be_waived: bool = False

    @property
    def key(self) -> str:
        """Names what was found: what is found later, in other words, is another finding, which nobody has waived."""
        whole = "\n".join((self.code, self.about, self.sentence))
        return hashlib.sha256(whole.encode()).hexdigest()[:12]


def fault(code: str, about: object, sentence: str, remedy: str, *, may_be_waived: bool = True) -> Finding:
    """A finding that keeps the release out."""
    return Finding(code, Weight.FAULT, one_line(str(about)), one_line(sentence, _LONGEST), remedy, may_be_waived)


def warning(code: str, about: object, sentence: str, remedy: str) -> Finding:
    """A finding that somebody should look at."""
    return Finding(code, Weight.WARNING, one_line(str(about)), one_line(sentence, _LONGEST), remedy)


def hint(code: str, about: object, sentence: str, remedy: str = "") -> Finding:
    """A finding that may be of use."""
    return Finding(code, Weight.HINT, one_line(str(about)), one_line(sentence, _LONGEST), remedy)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, faults first."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda f: _ORDER.index(f.weight)))


@dataclass(frozen=True, slots=True)
class Waiver:
    """A fault with which a release may go on all the same."""

    key: str
    """of the finding"""
    reason: str
    role: str
    user: str
    at: str
    """ISO 8601"""


def open_faults(findings: Iterable[Finding], waivers: Mapping[str, Waiver]) -> tuple[Finding, ...]:
    """What keeps the release out; none means that it may be taken."""
    return tuple(f for f in findings if f.weight is Weight.FAULT and not (f.may_be_waived and f.key in waivers))


def reasons_against_waiver(finding: Finding | None, waivers: Mapping[str, Waiver]) -> tuple[str, ...]:
    """Say why a finding cannot be waived; no reasons means that it can."""
    if finding is None:
        return ("The newest look at this release has found no such thing.",)
    if finding.key in waivers:
        return ("It is waived already.",)
    if finding.weight is not Weight.FAULT:
        return (f"It is a {finding.weight}: it keeps nothing out, so there is nothing to waive.",)
    if not finding.may_be_waived:
        return ("It cannot be waived: with it, nobody knows what would be released.",)
    return ()
