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


_ADDRESS = re.compile(r"([^\s@<>\"',;:()]?)[^\s@<>\"',;:()]*@([A-Za-z0-9][A-Za-z0-9.-]*)")
# somebody is named before the sign; "@import" is a word of a style sheet
_MAILBOX = re.compile(rf"(?=[^\s@<>\"',;:()]+@){_ADDRESS.pattern}")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


def without_addresses(text: str) -> str:
    """Return `text` with every mail address as `a***@host`, for readers whom they are none of the business of."""
    return _ADDRESS.sub(r"\1***@\2", text)


def for_the_public(text: str) -> str:
    """Return what people wrote as it may be published: mail addresses masked, logins in addresses taken out."""
    return _MAILBOX.sub(r"\1***@\2", _LOGIN.sub("", text))


LONGEST_REASON = 1000
"""characters of a reason that somebody gives for what is done"""


def reasons_against_reason(text: str) -> tuple[str, ...]:
    """Say why a text does not tell others why something is done; no reasons means that it does.

    Not by its meaning, which only people can judge: by what "x", "..." and "see mail" have in common.
    """
    line = one_line(text, LONGEST_REASON + 1)
    reasons = []
    if len(line) > LONGEST_REASON:
        reasons.append(f"The reason is longer than {LONGEST_REASON} characters.")
    if len(re.findall(r"[^\W\d_]{2,}", line)) < 3:
        reasons.append("The reason must be a sentence that those who read it will understand: three words at least.")
    return tuple(reasons)
