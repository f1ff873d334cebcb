r"""A statement: what two people allow sites to install, announce or remove. Sites with a kit do nothing without one.

Text, ASCII, at most 4 KiB, one `key value` a line, in this order, so that there is one spelling of each statement:

```text
pps-statement 1
product glite-WN
platform debian12-amd64
action install                                        install, or remove
preview glite-WN-3.1.24-PPS-0123456789ab              the folder at the site
tag VO-ops-PPS-GLITE-WN-3.1.24
sequence 17                                           of this product on this platform, counted from 1
manifest <sha256 of MANIFEST>
packed 1048576                                        bytes; no payload may be larger
unpacked 2097152                                      bytes of all files and of MANIFEST
files 40
issued 1790000000                                     seconds since 1970, UTC
expires 1795000000
previous <sha256 of the statement before; of the first 64 zeros>
```

It signs the MANIFEST and not a tar: what a site is sent depends on what it holds (a delta). The digests of `previous`
make a chain, so that nobody is told another story than all the others (`heads`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pps.domain.base.errors import PackageError
from pps.domain.packages.manifest import Manifest
from pps.domain.sites.site import Platform

FIRST = "0" * 64
MOST_BYTES = 4096
_FORM = "pps-statement 1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,199}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Action(StrEnum):
    """What a statement allows."""

    INSTALL = "install"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Statement:
    """See above; `issued` and `expires` are whole seconds."""

    product: str
    platform: str
    action: Action
    preview: str
    tag: str
    sequence: int
    manifest: str
    packed: int
    unpacked: int
    files: int
    issued: datetime
    expires: datetime
    previous: str

    def __post_init__(self) -> None:
        for key, value in self._lines():
            kind = _DIGEST if key in ("manifest", "previous") else _NUMBER if key in _NUMBERS else _NAME
            if not kind.fullmatch(value):
                raise PackageError(f"statement, {key} {value[:80]!r}", "may not stand in a statement.")
        if self.sequence < 1 or self.expires <= self.issued:
            raise PackageError("statement", "has no sequence from 1 on, or ends before it begins.")
        if not self.preview.startswith(f"{self.product}-"):
            raise PackageError(f"statement of {self.product}", f"names {self.preview}, which is no preview of it.")

    def _lines(self) -> Iterable[tuple[str, str]]:
        for key in self.__slots__:
            value = getattr(self, key)
            yield key, str(int(value.timestamp())) if isinstance(value, datetime) else str(value)

    @property
    def text(self) -> str:
        """The very bytes that are signed."""
        return "".join(f"{key} {value}\n" for key, value in [tuple(_FORM.split(" ")), *self._lines()])

    @property
    def digest(self) -> str:
        """sha256 of the text: what the next statement names as `previous`."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def what(self) -> str:
        """Product and platform, as sites name the policy of one: `glite-WN@debian12-amd64`."""
        return f"{self.product}@{self.platform}"

    @classmethod
    def parse(cls, text: str) -> Statement:
        """Read a statement; `PackageError` names the line that does not belong there."""
        if len(text.encode()) > MOST_BYTES:
            raise PackageError("statement", f"is longer than {MOST_BYTES} bytes.")
        lines = text.split("\n")
        if lines[0] != _FORM or lines[-1] != "" or len(lines) != len(cls.__slots__) + 2:
            raise PackageError("statement", f"does not begin with {_FORM!r} and end with its line previous.")
        values: dict[str, str] = {}
        for key, line in zip(cls.__slots__, lines[1:-1], strict=True):
            name, _, values[key] = line.partition(" ")
            kind = _DIGEST if key in ("manifest", "previous") else _NUMBER if key in _NUMBERS else _NAME
            if name != key or not kind.fullmatch(values[key]):
                raise PackageError(f"statement, {line[:80]!r}", f"stands where its line {key} is expected.")
        if values["action"] not in (*Action,):
            raise PackageError(f"statement, {values['action'][:80]!r}", "is no action: install, or remove.")
        read = {
            key: datetime.fromtimestamp(int(value), UTC)
            if key in ("issued", "expires")
            else int(value)
            if key in _NUMBERS
            else value
            for key, value in values.items()
        }
        return cls(**{**read, "action": Action(values["action"])})  # type: ignore[arg-type]


_NUMBERS = frozenset({"sequence", "packed", "unpacked", "files", "issued", "expires"})


def statement_of(
    manifest: Manifest,
    platform: Platform,
    tag: str,
    *,
    packed: int,
    before: Sequence[Statement],
    now: datetime,
    holds_for: timedelta,
) -> Statement:
    """The statement that lets sites install a preview.

    Args:
        packed: bytes of the largest payload, which is the whole one.
        before: all statements of this product and platform so far, in their order.
    """
    issued = now.astimezone(UTC).replace(microsecond=0)
    files = manifest.files.values()
    return Statement(
        product=manifest.metapackage,
        platform=str(platform),
        action=Action.INSTALL,
        preview=manifest.name,
        tag=tag,
        sequence=before[-1].sequence + 1 if before else 1,
        manifest=manifest.digest,
        packed=packed,
        unpacked=sum(entry.size for entry in files) + len(manifest.text.encode()),
        files=len(files),
        issued=issued,
        expires=issued + holds_for,
        previous=before[-1].digest if before else FIRST,
    )


def withdrawal_of(last: Statement, *, now: datetime, holds_for: timedelta) -> Statement:
    """The statement that has sites remove what `last`, the newest of its product and platform, let them install."""
    issued = now.astimezone(UTC).replace(microsecond=0)
    values = {key: getattr(last, key) for key in last.__slots__}
    changes = {
        "action": Action.REMOVE,
        "sequence": last.sequence + 1,
        "issued": issued,
        "expires": issued + holds_for,
        "previous": last.digest,
    }
    return Statement(**{**values, **changes})


def broken_link(chain: Sequence[Statement]) -> str:
    """Say where statements of one product and platform, in their order, are no chain; nothing if they are one."""
    previous, sequence = FIRST, 0
    for statement in chain:
        if statement.sequence != sequence + 1 or statement.previous != previous:
            return f"{statement.what}: statement {statement.sequence} does not follow {sequence}."
        previous, sequence = statement.digest, statement.sequence
    return ""
