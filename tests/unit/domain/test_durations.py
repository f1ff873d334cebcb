"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pps.domain.durations import duration_text, parse_duration


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
