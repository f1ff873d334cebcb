"""Which of two versions of a package is the newer one, as dpkg and rpm see it."""

from __future__ import annotations

import re
from functools import cmp_to_key
from itertools import zip_longest
from typing import Any

from pps.domain.packages.patch import RepositoryKind

_TEXT_THEN_DIGITS = re.compile(r"(\D*)(\d*)")
_RPM_PARTS = re.compile(r"\d+|[A-Za-z]+|~|\^")


def debian_order(one: str, other: str) -> int:
    """Negative if `one` is older than `other`, 0 if they count as equal: `[epoch:]upstream[-revision]`.

    Source: Debian Policy, 5.6.12: in parts without digits letters come first, `~` before everything, even
    before the end; parts of digits are compared as numbers.
    """
    (epoch, upstream, revision), (other_epoch, other_upstream, other_revision) = _parts(one), _parts(other)
    return (
        _sign(epoch, other_epoch)
        or _debian_part(upstream, other_upstream)
        or _debian_part(revision or "0", other_revision or "0")
    )


def rpm_order(one: str, other: str) -> int:
    """Negative if `one` is older than `other`, 0 if they count as equal: `[epoch:]version-release`.

    Source: rpm-version(7): runs of digits or letters one by one, a number above a word, more parts above fewer; `~`
    below the end, `^` above it, but below anything else.
    """
    (epoch, version, release), (other_epoch, other_version, other_release) = _parts(one), _parts(other)
    return _sign(epoch, other_epoch) or _rpm_part(version, other_version) or _rpm_part(release, other_release)


def age(kind: RepositoryKind) -> Any:
    """A sort key for version texts, oldest first."""
    return cmp_to_key(debian_order if kind is RepositoryKind.APT else rpm_order)


def _parts(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit()):
        epoch, rest = "0", version
    main, dash, last = rest.rpartition("-")
    return int(epoch), main if dash else rest, last if dash else ""


def _sign(one: int, other: int) -> int:
    return (one > other) - (one < other)


def _debian_part(one: str, other: str) -> int:
    ours, theirs = (_TEXT_THEN_DIGITS.findall(part) for part in (one, other))
    for (text, digits), (other_text, other_digits) in zip_longest(ours, theirs, fillvalue=("", "")):
        if order := _debian_text(text, other_text) or _sign(int(digits or "0"), int(other_digits or "0")):
            return order
    return 0


def _debian_text(one: str, other: str) -> int:
    for char, other_char in zip_longest(one, other, fillvalue=""):
        if order := _sign(_weight(char), _weight(other_char)):
            return order
    return 0


def _weight(char: str) -> int:
    if char == "~":
        return -1
    if char == "":
        return 0
    return ord(char) if char.isalpha() else ord(char) + 256


def _rpm_part(one: str, other: str) -> int:
    for ours, theirs in zip_longest(_RPM_PARTS.findall(one), _RPM_PARTS.findall(other), fillvalue=""):
        if ours != theirs and (order := _rpm_run(ours, theirs)):
            return order
    return 0


def _rpm_run(one: str, other: str) -> int:
    if order := _sign(_rank(one), _rank(other)):
        return order
    if one.isdigit():
        return _sign(int(one), int(other))
    return (one > other) - (one < other)


def _rank(run: str) -> int:
    if run == "~":
        return -1
    if run == "^":
        return 1
    if run == "":
        return 0
    return 3 if run.isdigit() else 2
