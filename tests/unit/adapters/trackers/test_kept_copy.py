"""The copy of what a tracker said: whichever clock is wrong, and however long it takes, no change is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pps.adapters.trackers.kept_copy import Copy

BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)
DAY = timedelta(days=1)


class Desk:
    """A tracker with a clock of its own, and us with ours."""

    def __init__(self, file: Path) -> None:
        self.file, self.theirs, self.ours = file, BEGIN, BEGIN
        self.items: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.takes = timedelta(0)
        self.meanwhile: dict[str, Any] = {}

    def change(self, item: str, **values: Any) -> None:
        self.items[item] = {"id": item, "at": self.theirs.isoformat(), **values}

    def pass_time(self, by: timedelta) -> None:
        self.theirs, self.ours = self.theirs + by, self.ours + by

    def read(self) -> dict[str, Any]:
        """By a process of its own."""
        copy = Copy(self.file, "x", clock=lambda: self.ours)
        copy.follow("entry", self._whole, self._since, DAY)
        copy.keep()
        return copy.items("entry")

    def _whole(self) -> list[dict[str, Any]]:
        self.asked.append("whole")
        found = list(self.items.values())
        self.pass_time(self.takes / 2)
        for item, values in self.meanwhile.items():
            self.change(item, **values)
        self.pass_time(self.takes / 2)
        if self.takes:  # on the last page, after that
            self.change("last")
            found.append(self.items["last"])
        return found

    def _since(self, moment: datetime) -> list[dict[str, Any]]:
        self.asked.append("since")
        return [item for item in self.items.values() if datetime.fromisoformat(item["at"]) >= moment]


def test_all_is_read_once_a_day_and_when_our_clock_was_set_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "copy.json")
    desk.change("1")
    for _ in range(6):
        assert desk.read() == desk.items
        desk.pass_time(DAY / 4)
    assert desk.asked == ["whole", "since", "since", "since", "whole", "since"]
    desk.ours -= 5 * DAY
    desk.read()
    assert desk.asked[-1] == "whole"


def test_a_change_dated_in_the_future_hides_none_after_the_clock_was_set_right(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "copy.json")
    desk.theirs += timedelta(hours=5)
    desk.change("1", of="the future")
    desk.change("2")
    desk.read()
    desk.theirs -= timedelta(hours=5)
    for n in range(3):
        desk.pass_time(timedelta(minutes=10))
        desk.change("2", n=n)
        assert desk.read()["2"]["n"] == n
    assert desk.asked == ["whole", "since", "since", "since"]


def test_what_changes_while_a_slow_tracker_is_read_is_seen_the_next_time(tmp_path: Path) -> None:
    for name, ahead in (("a", timedelta(0)), ("b", DAY), ("c", -DAY)):
        desk = Desk(tmp_path / name)
        desk.theirs += ahead
        desk.takes, desk.meanwhile = timedelta(minutes=40), {"1": {"n": 2}}
        desk.change("1", n=1)
        assert desk.read()["1"]["n"] == 1
        desk.takes = timedelta(0)
        assert desk.read()["1"]["n"] == 2
        assert desk.asked == ["whole", "since"]


def test_a_copy_of_something_else_or_with_damage_is_none(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "copy.json")
    desk.change("1")
    desk.read()
    good = json.loads(desk.file.read_text())
    for damage in ({"of": "y"}, {"until": {"entry": "soon"}}, {"whole": {}}, {"until": {}}, {"items": {"entry": [1]}}):
        desk.file.write_text(json.dumps(good | damage))
        desk.read()
        assert desk.asked[-1] == "whole", damage


def test_where_nothing_has_changed_nothing_is_written(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "copy.json")
    desk.change("1")
    desk.read()
    before = desk.file.stat().st_ino
    desk.pass_time(timedelta(hours=1))
    desk.read()
    assert desk.file.stat().st_ino == before
