"""Patches as issues: what GitHub and GitLab have in common.

A patch is an issue with a label of ours. What its provider says of it are sections of the issue's body, as an issue
form writes them. Whoever opens an issue may edit its body at any time, but not its labels: so the state, and what
certification says, are labels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from pps.activities.ports.tracker import Ticket
from pps.adapters.trackers.careful_session import RedirectedError
from pps.adapters.trackers.entries import SUBMISSION, Entry, EntryTracker
from pps.adapters.trackers.issue_text import IssueText, plain_ends
from pps.adapters.trackers.kept_copy import Clock
from pps.config.tracker_models import TrackerFile
from pps.domain.base.errors import ConfigurationError, RefusedError, RolloutError, ServiceError

#: Fields that are a label: a flag is its name, the others `NAME: VALUE`.
_FLAG = "basic_certification_passed"
_SAID_BY_LABELS = ("install_tested", "programming_ph")
_MOST_TEXT = 1024 * 1024
#: The label of trouble tickets; theirs is not `label`, so that they are no patches.
TROUBLE = "trouble"
_MOST_TITLE = 250


#: What a library stumbles over in an answer that is none of its tracker.
_STUMBLES = (AssertionError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)


class IssueTracker(EntryTracker):
    """A tracker whose entries have a title, a body, and labels; a library speaks to it."""

    _name: str
    _place: str
    """where the issues are: what its users call it"""
    _token: str
    """what our token must be good for"""
    _errors: tuple[type[Exception], ...]
    """of the library"""
    _fault: Callable[[str], ServiceError]

    def __init__(self, file: TrackerFile, copy: Path | None, clock: Clock) -> None:
        super().__init__(file, copy, clock)
        self._states = frozenset(file.states_there.values())
        names = [file.label, *self._states, *(self._words.attribute(f) for f in (_FLAG, *_SAID_BY_LABELS))]
        if wrong := [name for name in names if "," in name]:
            why = f"{wrong[0]!r} cannot be a label: it holds a comma, which stands between labels."
            raise ConfigurationError("tracker.yaml", why, "Choose another word.")
        if file.label == TROUBLE:
            raise ConfigurationError("tracker.yaml", f"label {TROUBLE} is that of tickets.", "Choose another one.")

    @abstractmethod
    def _rewrite(self, entry: Entry, title: str, body: str) -> None:
        """Give an issue this title and body, if it is still of this version."""

    @abstractmethod
    def _relabel(self, number: int, add: Collection[str], remove: Collection[str]) -> None:
        """Add labels, then take others away; what is so already is no error."""

    @abstractmethod
    def _open(self, title: str, body: str, labels: list[str]) -> int:
        """Open an issue."""

    @abstractmethod
    def _troubles(self) -> Iterable[tuple[int, str, bool]]:
        """Issues with the label of troubles: number, body, and whether it is open."""

    @abstractmethod
    def _close(self, number: int) -> None:
        """Close an issue."""

    @abstractmethod
    def _heard(self, error: Exception) -> tuple[int, str]:
        """Status and sentence of the answer behind an error of the library; 0: it was no answer of this tracker."""

    @contextmanager
    def _spoken(self, number: int | None = None) -> Iterator[None]:
        """The library's errors as ours; none of them holds our token."""
        known: tuple[type[Exception], ...] = (*self._errors, *_STUMBLES)
        try:
            yield
        except RedirectedError as error:
            if number is None:
                raise
            raise self._not_found(number, "it has moved elsewhere, so it is not") from error
        except RolloutError:
            raise
        except known as error:
            status, said = self._heard(error)
            if not status:
                raise self._fault(f"its answer is not one of {self._name}'s ({type(error).__name__}).") from error
            raise self._refusal(status, said, number) from None

    def _refusal(self, status: int, said: str, number: int | None) -> RolloutError:
        where, why = f"tracker {self.url}", f"(HTTP {status}) {said}".strip()
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return ServiceError(where, f"asks us to wait {why}.", "Try again later.")
        if status in (401, 403):
            next_step = f"Correct the token in the connection pps_tracker: {self._token}."
            return ConfigurationError(where, f"refuses our token {why}.", next_step)
        if status in (404, 410):
            if number is not None:
                return self._not_found(number)
            next_step = "Check project in tracker.yaml, and that the token may see it."
            return ConfigurationError(where, f"has no {self._place} {self._file.project} for us.", next_step)
        if status in (400, 409, 422):
            return RefusedError(where, (said or why,), "Look at the issue in the tracker.")
        return ServiceError(where, f"does not do it {why}.", "Try again.")

    def open_ticket(self, ticket: Ticket) -> str:
        """See the port: an issue with a label of its own."""
        self._entry(ticket.patch)
        if (known := self._trouble(ticket.marker)) is not None:
            return self.page(known[0])
        body = f"{ticket.text}\n\nPatch: #{ticket.patch}\n\n[{ticket.marker}]"
        return self.page(self._open(ticket.title[:_MOST_TITLE], body, [TROUBLE]))

    def close_ticket(self, marker: str, text: str) -> None:
        """See the port. The comment is first: what breaks off is made up for by the next attempt."""
        known = self._trouble(marker)
        if known is None or not known[1]:
            return
        self._say_once(known[0], text)
        self._close(known[0])

    def _trouble(self, marker: str) -> tuple[int, bool] | None:
        """The oldest issue with this marker as its last line, and whether it is open."""
        found = [(n, is_open) for n, body, is_open in self._troubles() if _last_line(body) == f"[{marker}]"]
        return min(found, default=None)

    def _is_patch(self, labels: Collection[str]) -> bool:
        return self._file.label in labels

    def _issue(self, number: int, title: str, body: str, labels: Collection[str], at: str) -> Entry:
        """An issue as an entry."""
        text = IssueText.of(body[:_MOST_TEXT])
        values: dict[str, object] = dict(text.values)
        # what people wrote about these is no more than a text
        for field in (_FLAG, *_SAID_BY_LABELS):
            values.pop(self._words.attribute(field), None)
        values[self._words.attribute("title")] = title
        if name := self._words.attribute(_FLAG):
            values[name] = "yes" if name in labels else "no"
        for field in _SAID_BY_LABELS:
            if (name := self._words.attribute(field)) and (said := sorted(_said(name, labels))):
                values[name] = "\n".join(said)
        for field in ("database_schema_changed", "clients_compatible", "new_functionality"):
            name = self._words.attribute(field)
            if name in values:
                values[name] = _ticked(str(values[name]))
        ours = {a.name for a in self._words.attributes.values()} | {SUBMISSION}
        problems = [f"{name}: its heading stands more than once in the issue" for name in text.twice if name in ours]
        if len(body) > _MOST_TEXT:
            problems.append(f"the issue's text is longer than {_MOST_TEXT} characters")
        states, is_patch = tuple(sorted(self._states & set(labels))), self._is_patch(labels)
        return Entry(number, states, values, at, (at, body, labels), tuple(problems), is_patch)

    def _move(self, entry: Entry, state: str) -> None:
        """See the base: the new label first, so that an issue never has no state."""
        self._relabel(entry.number, [state], [s for s in entry.states if s != state])

    def _change(self, entry: Entry, values: Mapping[str, str]) -> None:
        """See the base."""
        _, body, labels = entry.version
        texts, said = self._parted(values)
        title = texts.pop(self._words.attribute("title"), str(entry.values[self._words.attribute("title")]))
        self._rewrite(entry, title, self._body(IssueText.of(body), texts))
        names = [n for f in _SAID_BY_LABELS if (n := self._words.attribute(f)) in values]
        gone = {label for label in labels for name in names if label.startswith(f"{name}: ")} - set(said)
        self._relabel(entry.number, [label for label in said if label not in labels], sorted(gone))

    def _make(self, state: str, values: Mapping[str, str]) -> int:
        """See the base."""
        texts, said = self._parted(values)
        title = texts.pop(self._words.attribute("title"), "")
        return self._open(title, self._body(IssueText.of(""), texts), [self._file.label, state, *said])

    def _parted(self, values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """What is a text, and what is a label."""
        texts, labels = dict(values), []
        if texts.pop(flag := self._words.attribute(_FLAG), "no") == "yes":
            labels.append(flag)
        for field in _SAID_BY_LABELS:
            name = self._words.attribute(field)
            labels += [f"{name}: {word}" for word in texts.pop(name, "").split("\n") if word]
        return texts, labels

    def _body(self, old: IssueText, texts: Mapping[str, str]) -> str:
        body = str(old.changed(texts))
        there = IssueText.of(body)
        lost = sorted(n for n, t in texts.items() if there.values.get(n) != plain_ends(t) or n in there.twice)
        if lost:
            why = f"It has an open code block or comment, or a heading twice, so that {', '.join(lost)} would be lost."
            raise RefusedError("the issue", (why,), "Correct its text in the tracker.")
        return body


def _said(name: str, labels: Collection[str]) -> list[str]:
    return [label.removeprefix(f"{name}: ") for label in labels if label.startswith(f"{name}: ")]


def _last_line(body: str) -> str:
    return body.rstrip().rpartition("\n")[2].strip()


def _ticked(text: str) -> str:
    """A form's tick box as yes or no."""
    box = text.strip()[:5].lower()
    return {"- [x]": "yes", "- [ ]": "no"}.get(box, text)
