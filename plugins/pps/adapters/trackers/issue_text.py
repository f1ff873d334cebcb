"""An issue's body as issue forms write it: `### Heading`, an empty line, the value; `_No response_` where it is none.

A heading counts where a reader of the page sees one: not inside a code fence, not inside an HTML comment. A value that
would be misread, or not come back as it was, is written as a code block, which forms do as well (`render:`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

NOTHING = "_No response_"
_HEADING = re.compile(r"### +(\S[^\n]*)\n?")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`\n]*$)|~{3,})", re.MULTILINE)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    """"" for what stands above the first heading"""
    heading: str
    raw: str


@dataclass(frozen=True, slots=True)
class IssueText:
    """A body, cut at its headings; `str()` gives it back as it was."""

    sections: tuple[_Section, ...]

    @classmethod
    def of(cls, body: str) -> IssueText:
        """Cut it; any text is a body."""
        sections = []
        name, heading = "", ""
        lines: list[str] = []
        state = _Reader()
        for line in _LINE.findall(body):
            if state.plain and (found := _HEADING.fullmatch(line)):
                sections.append(_Section(name, heading, "".join(lines)))
                name, heading, lines = found[1].rstrip(), line, []
                continue
            state.see(line)
            lines.append(line)
        return cls((*sections, _Section(name, heading, "".join(lines))))

    def __str__(self) -> str:
        return "".join(s.heading + s.raw for s in self.sections)

    @property
    def values(self) -> dict[str, str]:
        """Heading -> value; the first one where a heading stands twice."""
        found: dict[str, str] = {}
        for section in self.sections:
            if section.heading:
                found.setdefault(section.name, _value(section.raw))
        return found

    @property
    def twice(self) -> tuple[str, ...]:
        """Headings that stand more than once, so that nobody can say which one is meant."""
        often = Counter(s.name for s in self.sections if s.heading)
        return tuple(sorted(name for name, times in often.items() if times > 1))

    def changed(self, values: Mapping[str, str]) -> IssueText:
        """With these values; sections of other names stay as they are, new ones come last."""
        sections = [
            _Section(s.name, s.heading, _raw(values[s.name])) if s.heading and s.name in values else s
            for s in self.sections
        ]
        there = {s.name for s in sections if s.heading}
        new = [n for n in values if n not in there]
        if new and (last := sections[-1]) != _Section("", "", ""):
            # a heading stands on a line of its own
            ends = plain_ends(last.raw)
            raw = last.raw + "\n" * (2 - (len(ends) - len(ends.rstrip("\n"))))
            sections[-1] = _Section(last.name, last.heading, raw)
        sections += [_Section(name, f"### {name}\n", _raw(values[name])) for name in new]
        return IssueText(tuple(sections))


class _Reader:
    """Where we are: in plain text, in a code fence, in an HTML comment."""

    def __init__(self) -> None:
        self._fence, self._comment = "", False

    @property
    def plain(self) -> bool:
        return not self._fence and not self._comment

    def see(self, line: str) -> None:
        text = line.rstrip("\r\n")
        if self._fence:
            self._fence = "" if _closes(self._fence, text) else self._fence
        elif self._comment:
            self._comment = "-->" not in text
        elif found := _FENCE.match(text):
            self._fence = found[1]
        elif re.match(r" {0,3}<!--", text):
            self._comment = "-->" not in text


def _closes(fence: str, line: str) -> bool:
    text = line.strip()
    return len(line) - len(line.lstrip(" ")) < 4 and len(text) >= len(fence) and set(text) == {fence[0]}


def plain_ends(text: str) -> str:
    """With one kind of line ends: browsers send another one than we."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _value(raw: str) -> str:
    raw = plain_ends(raw)
    text = raw.strip("\n \t")
    if text == NOTHING:
        return ""
    lines = text.split("\n")
    if len(lines) > 1 and (fence := _FENCE.match(lines[0])):
        closing = next((at for at, line in enumerate(lines[1:], 1) if _closes(fence[1], line)), None)
        if closing == len(lines) - 1:
            return "\n".join(lines[1:-1])
    # an empty line follows a value; what is more belongs to it, where it is of several lines
    more = len(raw) - len(raw.rstrip("\n")) - 2 if len(lines) > 1 else 0
    return text + "\n" * more


def _raw(value: str) -> str:
    return f"\n{_written(value)}\n\n"


def _written(value: str) -> str:
    if not value:
        return NOTHING
    value = plain_ends(value)
    # what a page would read as something else than text, and what would lose its ends
    whole = value.rstrip("\n") if "\n" in value.strip("\n") else value
    risky = value == NOTHING or whole != whole.strip() or "<!--" in value
    if risky or any(line.startswith("### ") or _FENCE.match(line) for line in value.split("\n")):
        longest = max((len(run) for run in re.findall("`+", value)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}text\n{value}\n{fence}"
    return value
