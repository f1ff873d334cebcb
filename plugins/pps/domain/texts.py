"""Texts that people and sites wrote, made fit to be stored and shown.

They are data: nothing is escaped here (each door escapes its own way), only what no reader should
meet is taken out, e.g. control characters and marks that turn the writing direction round.
"""

from __future__ import annotations

import re

# C0 and C1 controls but tab and newline; bidirectional marks, overrides and isolates; invisible
# format characters that can hide one word inside another; the byte order mark.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_NEWLINES = re.compile("\r\n?|\x85|\x0b|\x0c|\u2028|\u2029")
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return `text` with `\\n` as its only newline and without control and direction characters.

    Half a surrogate pair becomes U+FFFD, since it cannot be encoded.
    """
    return _SURROGATES.sub("\ufffd", _UNWANTED.sub("", _NEWLINES.sub("\n", text)))


def one_line(text: str, at_most: int = 200) -> str:
    """Return `text` on one line, blanks squeezed, cut with an ellipsis: for subjects, titles and tables."""
    line = " ".join(clean_text(text).split())
    return line if len(line) <= at_most else line[: at_most - 1].rstrip() + "…"
