from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from pps.domain.texts import clean_text, one_line


@given(st.text() | st.text(alphabet="\ud800\udfff\u202e\u2028\r\n\x00\x1b ab"))
def test_clean_text_can_be_encoded_and_holds_no_control_character(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode()
    assert not [c for c in cleaned if unicodedata.category(c) == "Cc" and c not in "\t\n"]
    assert not set(cleaned) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069")
    assert clean_text(cleaned) == cleaned


def test_every_kind_of_line_end_becomes_a_newline() -> None:
    assert clean_text("a\r\nb\rc\u2028d\x0be") == "a\nb\nc\nd\ne"


@given(st.text())
def test_one_line_is_one_line_and_not_too_long(text: str) -> None:
    line = one_line(text, at_most=20)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 20
