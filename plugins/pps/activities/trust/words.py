"""What is signed, in words: who signs should know what they allow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from pps.domain.base.errors import PackageError, TamperedError
from pps.domain.packages.manifest import Manifest
from pps.domain.trust.keys import Root
from pps.domain.trust.statement import FIRST, Action, Statement


def in_words(document: str, before: Root | None = None) -> list[str]:
    """A document for a person who is about to sign it, a sentence a line.

    Args:
        before: of a list of keys, the one in force now.

    Raises:
        PackageError: it is no document that we know.
    """
    if document.startswith("pps-statement "):
        return _statement(Statement.parse(document))
    if document.startswith("pps-root "):
        return _keys(Root.parse(document), before)
    if document.startswith("pps-current "):
        return ["What is in force, for a week:", *(f"  {line}" for line in document.splitlines()[1:])]
    raise PackageError("document", "is no statement, no list of keys and no list of what is current.")


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _statement(it: Statement) -> list[str]:
    what = "install and announce" if it.action is Action.INSTALL else "remove, and announce no longer,"
    follows = "it is the first" if it.previous == FIRST else f"it follows {it.previous}"
    return [
        f"Allows every site with a kit that wants {it.product} on {it.platform} to {what} {it.preview}.",
        f"Announced as {it.tag}. MANIFEST {it.manifest}.",
        f"At most {it.packed} bytes packed, {it.unpacked} unpacked, in {it.files} files.",
        f"Statement {it.sequence} of {it.product} on {it.platform}; {follows}.",
        f"From {_day(it.issued)} until {_day(it.expires)}.",
    ]


def _keys(it: Root, before: Root | None) -> list[str]:
    said = [f"Keys number {it.number}, scheme {it.scheme}: from now on sites believe these, and no others."]
    known = {} if before is None else {(k.name, k.key): k for k in (*before.roots, *before.signers, *before.current)}
    for kind, keys in (("root key", it.roots), ("signs", it.signers), ("says what is current", it.current)):
        for key in keys:
            new = "" if before is None or (key.name, key.key) in known else "   NEW"
            role = f" as {key.role}" if kind == "signs" else ""
            said.append(f"  {key.person}, {kind}{role}: {key.name} {_short(key.key)}{new}")
            known.pop((key.name, key.key), None)
    said += [f"  gone: {k.name} of {k.person} {_short(k.key)}" for k in known.values()]
    said += [f"  revoked: {_short(key)}" for key in it.revoked]
    return said


def _short(key: str) -> str:
    return key if len(key) <= 100 else f"{key[:60]}...{key[-30:]}"


def contents(statement: Statement, manifest: str) -> list[str]:
    """The packages that a statement lets sites have, a line each; compared with the statement itself.

    Raises:
        TamperedError: this is not the MANIFEST that the statement names.
    """
    if hashlib.sha256(manifest.encode()).hexdigest() != statement.manifest:
        raise TamperedError(
            statement.preview,
            "comes with another MANIFEST than its statement names.",
            "Do not sign. Tell the PPS coordination.",
        )
    return [f"{p.ref.name} {p.ref.version} {p.ref.arch}" for p in Manifest.parse(manifest).packages]


def changes(packages: Sequence[str], before: Sequence[str]) -> list[str]:
    """What has come and gone between two statements' packages, a sentence a line."""
    new = [f"  new: {package}" for package in packages if package not in before]
    gone = [f"  gone: {package}" for package in before if package not in packages]
    return [*new, *gone] or ["  the same packages"]
