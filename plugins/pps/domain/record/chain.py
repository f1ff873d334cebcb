"""Each fact carries the hash of the one before it in its rollout, so that what was recorded cannot be changed unseen.

The hash of a fact is the sha256 of one line of JSON (ASCII, keys sorted, no blanks):

```text
["pps-fact-1", hash before ("" for the first), rollout, kind, subject, occasion, time in UTC with microseconds,
 actor, payload]
```

A whole number is written without a fraction, whatever its type, since a database gives 5.0 back as 5. Whoever can write
to the whole database can also make a whole chain anew, or cut off its end: that shows only against heads that are
kept elsewhere (`Head`, docs/adr/0025).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pps.domain.base.errors import ConfigurationError

_FORM = "pps-fact-1"
_HEAD = re.compile(r"(\S+) ([1-9]\d{0,9}) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Link:
    """A fact as it is stored, whatever it says, with the two hashes that stand beside it."""

    rollout: str
    kind: str
    subject: str
    occasion: str
    at: datetime
    actor: str
    payload: Any
    previous: str
    digest: str

    @property
    def text(self) -> str:
        """For people: which fact it is."""
        words = [self.kind, *([f"of {self.subject}"] if self.subject else [])]
        return f"{' '.join(words)}, {self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def digest_of(
    previous: str, *, rollout: str, kind: str, subject: str, occasion: str, at: datetime, actor: str, payload: Any
) -> str:
    """The hash of a fact that follows one with the hash `previous`."""
    when = at.astimezone(UTC).isoformat(timespec="microseconds")
    row = [_FORM, previous, rollout, kind, subject, occasion, when, actor, _plain(payload)]
    line = json.dumps(row, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(line.encode("ascii")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(Decimal(repr(value)))  # not int(value): 1e300 is stored as its digits
    return value


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain has come to: how many facts, and the hash of the last one."""

    rollout: str
    number: int
    digest: str

    @property
    def line(self) -> str:
        """Its line in a file of heads."""
        return f"{self.rollout} {self.number} {self.digest}"


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """What was found in the chain of one rollout."""

    rollout: str
    facts: int
    head: str
    """hash of the last fact"""
    misfit: str = ""
    """the first fact that does not fit, and why: a sentence; "" if all do"""


def verify(rollout: str, links: Iterable[Link], known: Head | None = None) -> VerifiedChain:
    """Compute every hash again, and name the first fact that does not fit.

    Args:
        known: a head of this chain that was kept elsewhere; the chain may have grown since, nothing else.
    """
    before, number, misfit = "", 0, ""
    for number, link in enumerate(links, 1):
        if misfit:
            continue
        misfit = _misfit(number, before, link)
        before = link.digest
        if known is not None and number == known.number and link.digest != known.digest and not misfit:
            misfit = f"Fact {number} ({link.text}) is not what it was when its head was kept: the chain was made anew."
    if not misfit and number == 0:
        misfit = "It has no facts, but stands in the register of rollouts."
    if not misfit and known is not None and number < known.number:
        misfit = f"It has {number} facts, and had {known.number} when its head was kept: the end was cut off."
    return VerifiedChain(rollout, number, before, misfit)


def _misfit(number: int, before: str, link: Link) -> str:
    which = f"Fact {number} ({link.text})"
    if link.previous != before:
        what = f"fact {number - 1}" if number > 1 else "the beginning"
        return f"{which} does not follow {what}: a fact was changed, removed or put in between."
    computed = digest_of(
        link.previous,
        rollout=link.rollout,
        kind=link.kind,
        subject=link.subject,
        occasion=link.occasion,
        at=link.at,
        actor=link.actor,
        payload=link.payload,
    )
    return "" if computed == link.digest else f"{which} was changed after it was recorded."


def gone(known: Head) -> VerifiedChain:
    """What there is to say of a rollout that has a head kept elsewhere, and is in the register no longer."""
    return VerifiedChain(known.rollout, 0, "", f"It had {known.number} facts when its head was kept, and is gone.")


def heads_text(found: Iterable[VerifiedChain]) -> str:
    """A file of heads: one line a rollout, sorted."""
    return "".join(f"{line}\n" for line in sorted(Head(v.rollout, v.facts, v.head).line for v in found))


def parse_heads(text: str) -> dict[str, Head]:
    """Read such a file; `ConfigurationError` names the first line that is not a head."""
    heads = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _HEAD.fullmatch(line)
        if match is None or match[1] in heads:
            raise ConfigurationError("file of heads", f"line {number} is no head: {line[:80]!r}.", "Take another copy.")
        heads[match[1]] = Head(match[1], int(match[2]), match[3])
    return heads
