"""What all trackers of entries (issues, tickets) have in common; an adapter says how one entry is read and written."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pps import __version__
from pps.activities.ports.tracker import Reading, Remark
from pps.adapters.trackers.http import ChangedMeanwhileError
from pps.adapters.trackers.kept_copy import Clock, Copy, Items, utc_now
from pps.adapters.trackers.mapping import WordBook
from pps.config.patch_documents import parse_patch, patch_document
from pps.config.tracker_models import TrackerFile
from pps.domain.base.errors import PackageError, PatchNotFoundError, RefusedError, ServiceError
from pps.domain.packages.patch import Case, Patch, PatchState

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Have ways of their own: the workflow's, and SA3's.
_NOT_EDITED = frozenset({"number", "state", "basic_certification_passed"})
#: What others than the provider say of a patch after it was entered.
_SAID_LATER = ("state", "basic_certification_passed", "install_tested", "programming_ph")
#: Where an entry keeps what it was entered from.
SUBMISSION = "submission"
#: A tracker that goes on and on is not read to its end.
_MOST_PAGES = 1000
_INDENT = "    "
_BUG = ("number", "severity", "originator", "title")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a tracker, in the tracker's words."""

    number: int
    states: tuple[str, ...]
    """the state; several, or none, where the tracker does not keep people from that"""
    values: Mapping[str, Any]
    """its attributes"""
    at: str
    """when it changed last, by the tracker's clock"""
    version: Any = None
    """whatever the adapter needs to change exactly this version"""
    problems: tuple[str, ...] = ()
    """why it cannot be read, beside what its values show"""
    is_patch: bool = True


class EntryTracker(ABC):
    """`ports.Tracker` over entries that the tracker numbers itself; the number of a patch is that of its entry."""

    def __init__(self, file: TrackerFile, copy: Path | None = None, clock: Clock = utc_now) -> None:
        """Args:
        copy: file for what was read last, which may be lost at any time; None: everything is read anew.
        """
        self.url = file.url.rstrip("/")
        self._file, self._words = file, WordBook(file)
        self._copy, self._clock = copy, clock

    # --- what an adapter says ---

    @abstractmethod
    def page(self, number: int) -> str:
        """See the port."""

    @abstractmethod
    def _comments(self, number: int) -> tuple[Remark, ...]:
        """The comments on an entry, oldest first."""

    @abstractmethod
    def _entry(self, number: int) -> Entry:
        """The entry; `PatchNotFoundError` where there is none, or it is no patch."""

    @abstractmethod
    def _entries(self, since: datetime | None = None) -> Iterable[Entry]:
        """All entries that are patches; or those that changed at or after a moment, also what is no patch (now)."""

    @abstractmethod
    def _say(self, number: int, text: str) -> None:
        """Comment on it."""

    @abstractmethod
    def _move(self, entry: Entry, state: str) -> None:
        """Give it this state, and no other; the same once more changes nothing."""

    @abstractmethod
    def _change(self, entry: Entry, values: Mapping[str, str]) -> None:
        """Change these attributes; "" is none."""

    @abstractmethod
    def _make(self, state: str, values: Mapping[str, str]) -> int:
        """Make an entry, and return its number."""

    def _fit(self, text: str) -> str:
        """A comment as the tracker will give it back."""
        return text

    # --- reading ---

    def patch(self, number: int) -> Patch:
        """Read a patch; see the port."""
        found = self._read(self._entry(number))
        if found.patch is None:
            raise PackageError(
                f"patch {number}", "; ".join(found.problems) + ".", "Correct the patch where it was entered."
            )
        return found.patch

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        """All patches, newest first; see the port. One that cannot be read is left out, with a warning in the log."""
        found = []
        for entry in self._all():
            reading = self._read(entry)
            if reading.patch is None:
                log.warning(
                    "left out of the list of patches: patch %s: %s", reading.number, "; ".join(reading.problems)
                )
            elif state in (None, reading.patch.state):
                found.append(reading.patch)
        return tuple(sorted(found, key=lambda p: -p.number))

    def readings(self, number: int | None = None) -> tuple[Reading, ...]:
        """See the port."""
        if number is not None:
            return (self._read(self._entry(number)),)
        return tuple(sorted(map(self._read, self._all()), key=lambda r: -(r.number or 0)))

    def comments(self, number: int) -> tuple[Remark, ...]:
        """See the port."""
        self._entry(number)
        return self._comments(number)

    def _all(self) -> list[Entry]:
        """All patches, as the tracker is now; an entry to be changed is read anew."""
        copy = Copy(self._copy, f"{__version__} {self._file.model_dump_json()}", clock=self._clock)
        copy.follow(
            "entry",
            lambda: self._whole(copy.items("entry")),
            lambda since: map(self._kept, self._entries(since)),
            self._file.read_whole_every,
        )
        copy.keep()
        return [
            Entry(int(i), tuple(e["states"]), e["values"], e["at"], problems=tuple(e["problems"]))
            for i, e in copy.items("entry").items()
        ]

    def _whole(self, known: Items) -> Iterable[dict[str, Any]]:
        """All patches as the copy keeps them.

        Args:
            known: those that it has.
        """
        return map(self._kept, self._entries())

    def _kept(self, entry: Entry) -> dict[str, Any]:
        """An entry as the copy keeps it, without what is not ours."""
        if not entry.is_patch:
            return {"id": str(entry.number), "at": entry.at, "gone": True}
        ours = {a.name for a in self._words.attributes.values()} | {SUBMISSION}
        values = {name: value for name, value in entry.values.items() if name in ours}
        known = {"states": list(entry.states), "values": values, "problems": list(entry.problems)}
        return {"id": str(entry.number), "at": entry.at, **known}

    def _read(self, entry: Entry) -> Reading:
        values = dict(entry.values)
        for field, columns in (("bugs", _bugs_in), ("test_cases", _cases_in)):
            name = self._words.attribute(field)
            if isinstance(values.get(name), str):
                values[name] = columns(values[name])
        for field in ("platforms", "cves"):
            name = self._words.attribute(field)
            if isinstance(values.get(name), str):  # a choice of several is one line in a form
                values[name] = values[name].replace(", ", "\n")
        state = entry.states[0] if len(entry.states) == 1 else None
        reading = self._words.read(entry.number, state, values, self.page(entry.number))
        problems = list(entry.problems)
        if state is None:
            known = ", ".join(entry.states) or "none"
            problems.append(f"state: it must have exactly one, and has {known}")
        found = tuple(p for p in reading.problems if state is not None or not p.startswith("state:"))
        return replace(reading, patch=None, problems=(*problems, *found)) if problems else reading

    # --- writing ---

    def set_state(self, number: int, state: PatchState, comment: str, *, only_from: PatchState | None = None) -> None:
        """Move a patch; see the port.

        The comment is first: a move that breaks off is made up for by the next attempt, a comment would be lost. Its
        last line says the move, and keeps it apart from an earlier one to the same state.
        """
        entry, word = self._entry(number), self._words.state(state.value)
        if entry.states == (word,):
            return
        if only_from and entry.states != (self._words.state(only_from.value),):
            raise self._changed_meanwhile(number)
        if comment.strip():
            mark = f"{_MOVED}{word}"
            text = self._fit(f"{comment.strip()}\n\n{mark}")
            moves = [r.text for r in self._comments(number) if _plain(r.text).rpartition("\n")[2].startswith(_MOVED)]
            if not moves or _plain(moves[-1]) != _plain(text):
                self._say(number, text)
                now = self._entry(number)
                if now.states not in (entry.states, (word,)):
                    raise self._changed_meanwhile(number)
                entry = now
        self._move(entry, word)

    def comment(self, number: int, text: str) -> None:
        """Add a comment; see the port."""
        if not text.strip():
            raise RefusedError(f"patch {number}", ("A comment needs a text.",), "Say something.")
        self._entry(number)
        self._say_once(number, text)

    def _say_once(self, number: int, text: str) -> None:
        said = self._fit(text)
        if all(_plain(r.text) != _plain(said) for r in self._comments(number)):
            self._say(number, said)

    def enter(self, patch: Patch, *, submission: str = "") -> int:
        """Enter a patch; see the port. This tracker numbers its entries itself."""
        if submission:
            same = (e.number for e in self._all() if e.values.get(SUBMISSION) == submission)
            if (known := next(filter(self._is_there, sorted(same)), None)) is not None:
                return known
            values = {n: v for n, v in {**self._texts(patch), SUBMISSION: submission}.items() if v}
            return self._make(self._words.state(patch.state.value), values)
        try:
            old = self.patch(patch.number)
        except PatchNotFoundError as error:
            raise RefusedError(
                patch.subject,
                (f"The tracker at {self.url} numbers its entries itself, and there is none of this number.",),
                "Enter it with the name of what it is entered from (submission).",
            ) from error
        later = {name: getattr(old, name) for name in _SAID_LATER}
        if replace(patch, **later, bugs=old.bugs) != old or set(patch.bugs) != set(old.bugs):
            raise RefusedError(patch.subject, ("It exists with other content.",), "Edit it, or enter a new one.")
        return patch.number

    def _is_there(self, number: int) -> bool:
        """Whether a patch of the copy was not deleted since."""
        try:
            self._entry(number)
        except PatchNotFoundError:
            return False
        return True

    def edit(self, number: int, fields: Mapping[str, Any]) -> None:
        """Change fields of a patch; see the port."""
        if unknown := sorted(set(fields) & _NOT_EDITED):
            raise RefusedError(
                f"patch {number}", (f"These fields cannot be edited: {', '.join(unknown)}.",), "Leave them out."
            )
        entry = self._entry(number)
        reading = self._read(entry)
        if reading.patch is None:
            raise PackageError(f"patch {number}", "; ".join(reading.problems) + ".", "Correct it in the tracker.")
        patch = parse_patch({**patch_document(reading.patch), **fields}, unknown="forbid")
        self._change(entry, self._texts(patch, frozenset(fields)))

    def _texts(self, patch: Patch, fields: frozenset[str] | None = None) -> dict[str, str]:
        """The tracker's attributes of a patch."""
        texts = self._words.write(patch, fields)
        lines = {"bugs": self._bugs_out(patch), "test_cases": "\n".join(map(_case_out, patch.test_cases))}
        for field, text in lines.items():
            if (name := self._words.attribute(field)) and (fields is None or field in fields):
                texts[name] = text
        return texts

    def _bugs_out(self, patch: Patch) -> str:
        return "\n".join(
            f"{b.number} | {self._words.severity(b.severity.value)} | {b.originator} | {b.title}" for b in patch.bugs
        )

    # --- errors ---

    def _not_found(self, number: int, why: str = "not found") -> PatchNotFoundError:
        return PatchNotFoundError(
            f"patch {number}",
            f"{why} in the tracker at {self.url}, {self._file.project}.",
            "Check the number, and url and project in tracker.yaml.",
        )

    def _changed_meanwhile(self, number: int) -> ChangedMeanwhileError:
        return ChangedMeanwhileError(f"patch {number}", "somebody else changed it meanwhile.", "Look at it again.")


_MOVED = "State: "


def pages(ask: Callable[[int], Sequence[T]], fault: Callable[[str], ServiceError]) -> Iterator[T]:
    """What is on all pages, up to the first one with nothing on it: no link of an answer is followed.

    Args:
        ask: for the page of this number; the first one is 1.
    """
    for page in range(1, _MOST_PAGES + 1):
        found = ask(page)
        if not found:
            return
        yield from found
    raise fault(f"its list has more than {_MOST_PAGES} pages.")


def _plain(text: str) -> str:
    """A text without what trackers change on its way: line ends, blanks at ends, control characters."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join("".join(c for c in line if c.isprintable()).rstrip() for line in lines).strip()


def _case_out(case: Case) -> str:
    lines = [f"{case.name} | {case.title}"]
    if case.how:
        lines += [_INDENT + line for line in case.how.split("\n")]
    return "\n".join(lines)


def _cases_in(text: str) -> list[dict[str, str]]:
    cases: list[dict[str, str]] = []
    how: list[list[str]] = []
    blank = 0
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line:  # one of `how` that lost its blanks on the way, or one between two cases
            blank += 1
        elif cases and line.startswith(_INDENT):
            how[-1] += [*[""] * blank, line.removeprefix(_INDENT)]
            blank = 0
        elif line.strip():
            cases.append(_columns(line, ("name", "title")))
            how.append([])
            blank = 0
    return [{**case, "how": "\n".join(lines)} for case, lines in zip(cases, how, strict=True)]


def _bugs_in(text: str) -> list[dict[str, str]]:
    return [_columns(line, _BUG) for line in text.replace("\r\n", "\n").split("\n") if line.strip()]


def _columns(line: str, names: tuple[str, ...]) -> dict[str, str]:
    # the last column is a title, which may hold anything
    return dict(zip(names, (cell.strip() for cell in line.split("|", len(names) - 1)), strict=False))
