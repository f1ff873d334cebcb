"""A copy of what Roundup said last, so that only what has changed is asked for again; it may be lost at any time."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

_FORM = "%Y-%m-%d.%H:%M:%S"
#: A change is dated by the tracker's clock when it begins, and seen when it is written; it may be older than it looks.
_OVERLAP = timedelta(minutes=2)

Items = dict[str, dict[str, Any]]
Some = Callable[[list[str]], Iterable[dict[str, Any]]]
Since = Callable[[str], Iterable[dict[str, Any]]]


class Copy:
    """Class -> id -> item. Compared with the tracker by its own times alone, so no clock of ours matters."""

    def __init__(self, file: Path | None, of: str, items: dict[str, Items] | None = None) -> None:
        self._file, self._of = file, of
        self._items = items or {}
        self._changed = False

    @classmethod
    def of(cls, file: Path | None, of: str) -> Copy:
        """The copy in a file, if it is there, whole, and of the same tracker and fields."""
        try:
            kept = json.loads(file.read_text(encoding="utf-8")) if file else {}
            if kept.get("of") == of:
                return cls(
                    file, of, {str(k): {str(i): dict(v) for i, v in c.items()} for k, c in kept["items"].items()}
                )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return cls(file, of)

    def items(self, klass: str) -> Items:
        """What is known of a class."""
        return self._items.get(klass, {})

    def bring_up_to_date(self, klass: str, ids: list[str], read: Some, changed_since: Since) -> None:
        """Take over what is new or has changed, and forget what is gone.

        Args:
            ids: all that there are now.
            read: items of these ids.
            changed_since: items that changed at or after this moment, as the tracker writes it.
        """
        known = self._items.setdefault(klass, {})
        there = set(ids)
        for gone in known.keys() - there:
            del known[gone]
            self._changed = True
        if newest := max((str(i.get("activity") or "") for i in known.values()), default=""):
            self._take(known, (i for i in changed_since(_before(newest)) if i["id"] in there))
        self._take(known, read([i for i in ids if i not in known]))

    def _take(self, known: Items, found: Iterable[dict[str, Any]]) -> None:
        for item in found:
            if known.get(item["id"]) != item:
                known[item["id"]] = item
                self._changed = True

    def keep(self) -> None:
        """Write it, aside and renamed; a disk that does not take it costs the next reader time, nothing else."""
        if self._file is None or not self._changed:
            return
        try:
            # of a name of its own, and for us alone: several of us may write at once
            number, part = tempfile.mkstemp(dir=self._file.parent, prefix=f".{self._file.name}.")
            with os.fdopen(number, "w", encoding="utf-8") as out:
                json.dump({"of": self._of, "items": self._items}, out)
            Path(part).replace(self._file)
        except OSError:
            return


def _before(newest: str) -> str:
    try:
        return (datetime.strptime(newest, _FORM) - _OVERLAP).strftime(_FORM)
    except ValueError:  # a tracker that dates otherwise is read anew
        return "1970-01-01.00:00:00"
