"""Durations as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pps.domain.base.durations import duration_text, parse_duration, parse_moment


@pytest.mark.parametrize("text", ["20s", "90m", "36h", "13d", "2w"])
def test_what_was_written_is_read_and_written_again(text: str) -> None:
    assert duration_text(parse_duration(text)) == text


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5d", "7 d", "7days", "7d\n", "٣d", "9999999d", "1d1h"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whole number with a unit"):
        parse_duration(text)


def test_the_shortest_text_is_written() -> None:
    assert duration_text(timedelta(hours=168)) == "1w"
    assert duration_text(timedelta(hours=25)) == "25h"
    assert duration_text(timedelta(0)) == "0w"


@pytest.mark.parametrize(
    "text",
    ["2026-03-05T14:00+01:00", "2026-03-05 13:00 UTC", "2026-03-05T13:00Z", "2026-03-05 13:00UTC", "20260305T1300Z"],
)
def test_a_moment_is_read_as_iso_8601_or_as_we_print_it(text: str) -> None:
    assert parse_moment(text) == datetime(2026, 3, 5, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "2026-03-05", "2026-03-05T14:00", "13:00Z", "tomorrow", "0001-01-01T00:00+14:00", "2026-02-30T00:00Z", "UTC"],
)
def test_a_moment_without_its_zone_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="its zone"):
        parse_moment(text)
