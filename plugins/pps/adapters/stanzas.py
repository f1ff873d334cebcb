"""Stanzas of an APT index, read as a stream and as APT reads them: CR LF as well as LF; a line of blanks ends none.

Where APT takes one of two answers (a field that stands twice: the last), nothing is taken: what a site would install
is then not what we have looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pps.adapters.archive import CappedStream
from pps.domain.errors import PackageError

_CHUNK = 1 << 16
_LINE_BYTES = 1 << 20
_STANZA_BYTES = 4 << 20
_NEXT = "Ask the provider of the repository."


@dataclass
class Stanza:
    """The fields that were asked for, by lower-case name."""

    fields: dict[str, str] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    """names of fields, asked for or not, that stand in it more than once"""

    def one_line(self, name: str) -> str:
        """The value of a field that has one line, wherever that stands; empty if it has none or several."""
        lines = [line for line in self.fields.get(name, "").split("\n") if line]
        return lines[0] if len(lines) == 1 else ""


def stanzas(stream: CappedStream, wanted: frozenset[str]) -> Iterator[Stanza]:
    """The stanzas of an index; comments are left out, and a byte order mark at the beginning is none of it."""
    names: set[bytes] = set()
    now, last, size = Stanza(), "", 0
    for number, raw in enumerate(_lines(stream)):
        line = raw.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r") if number == 0 else raw.rstrip(b"\r")
        size += len(line)
        if size > _STANZA_BYTES:
            raise _none(stream, f"it has a stanza of more than {_STANZA_BYTES} bytes")
        if not line:
            if names:
                yield now
                names, now = set(), Stanza()
            last, size = "", 0
        elif line[:1] in b" \t":
            if last:
                now.fields[last] += "\n" + line.strip().decode(errors="replace")
        elif not line.startswith(b"#"):
            name, colon, value = line.partition(b":")
            if not colon or not name.strip():
                raise _none(stream, f"line {number + 1} is none of it: {line[:60].decode(errors='replace')!r}")
            key = name.strip().lower()
            text = key.decode(errors="replace")
            if key in names:
                now.twice.append(text[:60])
            names.add(key)
            last = text if text in wanted else ""
            if last:
                now.fields[last] = value.strip().decode(errors="replace")
    if names:
        yield now


def _lines(stream: CappedStream) -> Iterator[bytes]:
    rest = b""
    while data := stream.take(_CHUNK):
        *whole, rest = (rest + data).split(b"\n")
        if len(rest) > _LINE_BYTES:
            raise _none(stream, f"it has a line of more than {_LINE_BYTES} bytes")
        yield from whole
    if rest:
        yield rest


def _none(stream: CappedStream, why: str) -> PackageError:
    return PackageError(stream.subject, f"is no index of APT: {why}.", _NEXT)
