"""A copy of what a tracker said last, so that only what has changed is asked for again; it may be lost at any time."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

#: A change is dated by the tracker's clock when it begins, and seen when it is written; it may be older than it looks.
OVERLAP = timedelta(minutes=2)

Items = dict[str, dict[str, Any]]
Some = Callable[[list[str]], Iterable[dict[str, Any]]]
Since = Callable[[datetime], Iterable[dict[str, Any]]]
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


def _iso(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Copy:
    """Class -> id -> item; an item has its `id`, and `at`, when it changed last, as the tracker writes it.

    What is asked for next begins at the newest moment that the tracker itself has written, a little before it. Our own
    clock can only make that earlier: a moment that lies in the future, from a day on which the tracker's clock was
    wrong, hides no change.
    """

    def __init__(
        self,
        file: Path | None,
        of: str,
        *,
        at: str = "at",
        moment: Callable[[str], datetime] = _iso,
        clock: Clock = utc_now,
    ) -> None:
        """Args:
        file: where it is kept; None: nowhere. It counts if it is there, whole, and of the same.
        of: tracker, fields and whatever else makes another copy of it.
        at: name of the moment in an item.
        moment: reads one; ValueError where it is none.
        """
        self._file, self._of, self._at, self._moment, self._clock = file, of, at, moment, clock
        self._items: dict[str, Items] = {}
        self._until: dict[str, str] = {}
        """class -> what changed before this is known"""
        self._whole: dict[str, str] = {}
        """class -> when all of it was read last, by our clock"""
        self._changed = False
        try:
            kept = json.loads(file.read_text(encoding="utf-8")) if file else {}
            if kept.get("of") == of:
                items = {str(k): {str(i): dict(v) for i, v in c.items()} for k, c in kept["items"].items()}
                until, whole = ({str(k): str(_iso(v)) for k, v in kept[n].items()} for n in ("until", "whole"))
                self._items, self._until, self._whole = items, until, whole
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass

    def items(self, klass: str) -> Items:
        """What is known of a class."""
        return self._items.get(klass, {})

    def bring_up_to_date(self, klass: str, ids: list[str], read: Some, changed_since: Since) -> None:
        """Take over what is new or has changed, and forget what is gone.

        Args:
            ids: all that there are now.
            read: items of these ids.
            changed_since: items that changed at or after this moment.
        """
        begin, known, there = self._clock(), self._items.setdefault(klass, {}), set(ids)
        self._forget(known, known.keys() - there)
        if since := self._since(klass):
            self._take(klass, [i for i in changed_since(since) if i["id"] in there], begin)
        else:
            known.clear()
        self._take(klass, read([i for i in ids if i not in known]), begin)

    def follow(
        self, klass: str, whole: Callable[[], Iterable[dict[str, Any]]], changed_since: Since, every: timedelta
    ) -> None:
        """The same for a tracker that does not list its ids: what was deleted there is seen when all of it is read.

        Args:
            whole: all items.
            changed_since: items that changed at or after this moment; `gone` is in those that are to be forgotten.
            every: so often all of it is read.
        """
        begin, known, since = self._clock(), self._items.setdefault(klass, {}), self._since(klass)
        last = self._whole.get(klass)
        if since and last and timedelta(0) <= begin - _iso(last) < every:
            found = list(changed_since(since))
            self._forget(known, known.keys() & {i["id"] for i in found if i.get("gone")})
            self._take(klass, found, begin)
            return
        found = list(whole())
        self._forget(known, known.keys() - {i["id"] for i in found})
        self._until.pop(klass, None)
        self._take(klass, found, begin)
        self._whole[klass] = str(begin)
        self._changed = True

    def _since(self, klass: str) -> datetime | None:
        until = self._until.get(klass)
        return _iso(until) - OVERLAP if until else None

    def _forget(self, known: Items, gone: Iterable[str]) -> None:
        for one in list(gone):
            del known[one]
            self._changed = True

    def _take(self, klass: str, found: Iterable[dict[str, Any]], begin: datetime) -> None:
        known, moments = self._items[klass], []
        for item in found:
            with suppress(ValueError):  # where nothing has a date, all is read anew the next time
                moments.append(self._moment(str(item.get(self._at))))
            if not item.get("gone") and known.get(item["id"]) != item:
                known[item["id"]] = item
                self._changed = True
        before = _iso(self._until[klass]) if klass in self._until else None
        if moments:
            # what changed while this was being read may have been read before it changed
            newest = max(moments) - max(self._clock() - begin, timedelta(0))
            until = min(max(newest, before or newest), begin)
            self._until[klass] = str(until)
            # no reason to write all of it for a moment's sake: from an earlier one more is asked for
            self._changed |= before is None or until < before or until - before > OVERLAP

    def keep(self) -> None:
        """Write it, aside and renamed; a disk that does not take it costs the next reader time, nothing else."""
        if self._file is None or not self._changed:
            return
        try:
            # of a name of its own, and for us alone: several of us may write at once
            number, part = tempfile.mkstemp(dir=self._file.parent, prefix=f".{self._file.name}.")
            with os.fdopen(number, "w", encoding="utf-8") as out:
                json.dump({"of": self._of, "items": self._items, "until": self._until, "whole": self._whole}, out)
            Path(part).replace(self._file)
        except OSError:
            return
