from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.domain.texts import clean_text, for_the_public, one_line


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ask bruno@cnaf.example.org, please.", "Ask b***@cnaf.example.org, please."),
        ("See https://ana:geheim@wiki.example.org/x", "See https://wiki.example.org/x"),
        ("ftp://ana@files.example.org", "ftp://files.example.org"),
        ("<style>@import url(//x)</style>", "<style>@import url(//x)</style>"),
        ("5 jobs @ 2 GB", "5 jobs @ 2 GB"),
    ],
)
def test_what_is_published_shows_no_mailbox_and_no_login(text: str, shown: str) -> None:
    assert for_the_public(text) == shown
