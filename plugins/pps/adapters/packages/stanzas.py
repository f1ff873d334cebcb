"""Stanzas of an APT index, read as a stream and as APT reads them: CR LF as well as LF; blanks alone do not end one.

Where APT takes one of two answers (a field that stands twice: the last), nothing is taken: what a site would install
is then not what we have looked at. (python-debian takes the last as well, and holds a stanza of any length in memory.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pps.adapters.packages.archive import CappedStream
from pps.domain.base.errors import PackageError

_CHUNK = 1 << 16
#: All of Debian has some 1.5 million lines.
_LINES = 20_000_000
_FIELDS = 1000
_NEXT = "Ask the provider of the repository."


@dataclass
class Stanza:
    """The fields that were asked for: lower-case name -> lines, the first that of the name."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    """names of fields, asked for or not, that stand in it more than once"""

    def lines(self, name: str) -> list[str]:
        """The lines of a field that hold anything."""
        return [line for line in self.fields.get(name, ()) if line]

    def one_line(self, name: str) -> str:
        """The value of a field that has one line, wherever that stands; empty if it has none or several."""
        lines = self.lines(name)
        return lines[0] if len(lines) == 1 else ""


def stanzas(stream: CappedStream, wanted: frozenset[str], stanza_bytes: int = 1 << 20) -> Iterator[Stanza]:
    """The stanzas of an index; comments are left out, and so is a byte order mark at the beginning.

    Args:
        wanted: names of the fields that are kept.
        stanza_bytes: how long one may be.
    """
    names: set[bytes] = set()
    now, size = Stanza(), 0
    lines: list[str] | None = None
    for number, raw in enumerate(_lines(stream, stanza_bytes)):
        line = raw.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r") if number == 0 else raw.rstrip(b"\r")
        size += len(line)
        if size > stanza_bytes or len(names) + len(now.twice) > _FIELDS or number > _LINES:
            raise _none(
                stream, f"it has a stanza of more than {stanza_bytes} bytes or {_FIELDS} fields, or too many lines"
            )
        if not line:
            if names:
                yield now
                names, now = set(), Stanza()
            lines, size = None, 0
        elif line[:1] in b" \t":
            if lines is not None:
                lines.append(line.strip().decode(errors="replace"))
        elif not line.startswith(b"#"):
            name, colon, value = line.partition(b":")
            if not colon or not name.strip():
                raise _none(stream, f"line {number + 1} is not a field: {line[:60].decode(errors='replace')!r}")
            key = name.strip().lower()
            text = key[:60].decode(errors="replace")
            if key in names:
                now.twice.append(text)
            names.add(key)
            lines = [value.strip().decode(errors="replace")] if text in wanted else None
            if lines is not None:
                now.fields[text] = lines
    if names:
        yield now


def _lines(stream: CappedStream, longest: int) -> Iterator[bytes]:
    rest = b""
    while data := stream.take(_CHUNK):
        *whole, rest = (rest + data).split(b"\n")
        if len(rest) > longest:
            raise _none(stream, f"it has a line of more than {longest} bytes")
        yield from whole
    if rest:
        yield rest


def _none(stream: CappedStream, why: str) -> PackageError:
    return PackageError(stream.subject, f"is no index of APT: {why}.", _NEXT)
