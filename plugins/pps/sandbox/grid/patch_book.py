"""The patches of the sandbox tracker: legal moves, versions and history, one JSON file for each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pps.config.patch_documents import parse_patch, patch_document
from pps.domain.base.errors import ConfigurationError, RolloutError
from pps.domain.packages.patch import Bug, Patch, PatchState

S = PatchState
_ALWAYS = {S.WITH_PROVIDER, S.REJECTED, S.OBSOLETE}
#: Where a patch may go next.
LEGAL_MOVES: Mapping[PatchState, frozenset[PatchState]] = {
    state: frozenset(moves)
    for state, moves in {
        S.READY_FOR_INTEGRATION: {S.READY_FOR_CERTIFICATION} | _ALWAYS,
        S.READY_FOR_CERTIFICATION: {S.IN_CERTIFICATION} | _ALWAYS,
        S.IN_CERTIFICATION: {S.CERTIFIED} | _ALWAYS,
        # SD 4.1.1, last paragraph: a release that needs no further deployment test goes to production at once
        S.CERTIFIED: {S.READY_FOR_PRODUCTION, S.IN_PRODUCTION} | _ALWAYS,
        S.READY_FOR_PRODUCTION: {S.READY_FOR_ROLLOUT, S.IN_PRODUCTION, S.REJECTED, S.OBSOLETE},
        S.READY_FOR_ROLLOUT: {S.ROLLING_OUT, S.IN_PRODUCTION, S.REJECTED, S.OBSOLETE},
        S.ROLLING_OUT: {S.IN_PRODUCTION, S.REJECTED, S.OBSOLETE},
        S.IN_PRODUCTION: {S.OBSOLETE},
        S.WITH_PROVIDER: {S.READY_FOR_INTEGRATION, S.READY_FOR_CERTIFICATION, S.REJECTED, S.OBSOLETE},
        S.REJECTED: {S.WITH_PROVIDER, S.OBSOLETE},
        S.OBSOLETE: set(),
    }.items()
}
FLAGS = ("basic_certification_passed",)
#: Fields that an edit may change; state, flags and bugs have ways of their own.
EDITABLE = frozenset(f.name for f in dataclasses.fields(Patch)) - {"number", "state", "bugs", *FLAGS}


class BookError(RolloutError):
    """A request that the tracker refuses, with the HTTP status that says so."""

    def __init__(self, status: int, subject: str, why: str, next_step: str = "") -> None:
        super().__init__(subject, why, next_step)
        self.status = status


@dataclass(frozen=True, slots=True)
class BookEntry:
    """A patch with its version (1, 2, ...) and its history, oldest first."""

    patch: Patch
    version: int
    history: tuple[Mapping[str, str], ...]


class PatchBook:
    """All patches, in memory and in `<folder>/<number>.json`; every change is on the disk before it is answered."""

    def __init__(self, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._now = now
        folder.mkdir(parents=True, exist_ok=True)
        self._entries = {e.patch.number: e for e in map(_load, sorted(folder.glob("[0-9]*.json")))}

    def patches(self, state: PatchState | None = None) -> list[BookEntry]:
        """Newest number first."""
        found = [e for e in self._entries.values() if state in (None, e.patch.state)]
        return sorted(found, key=lambda e: -e.patch.number)

    def entry(self, number: int) -> BookEntry:
        """One patch, or a 404."""
        if number not in self._entries:
            raise BookError(404, f"patch {number}", "is not in the tracker.")
        return self._entries[number]

    def create(self, patch: Patch) -> tuple[BookEntry, bool]:
        """Enter a patch; (entry, whether it is new). The same content once more is the same patch."""
        old = self._entries.get(patch.number)
        if old is None:
            return self._keep(patch, None, "created", ""), True
        # what the workflow has changed since then is no other content
        same = dataclasses.replace(
            patch, state=old.patch.state, basic_certification_passed=old.patch.basic_certification_passed
        )
        if same != old.patch:
            raise BookError(
                409, f"patch {patch.number}", "exists with other content.", "Take another number, or edit it."
            )
        return old, False

    def edit(self, number: int, fields: Mapping[str, object], version: int) -> BookEntry:
        """Change fields of a patch that is at `version`."""
        entry = self._at(number, version)
        if unknown := sorted(set(fields) - EDITABLE):
            raise BookError(422, f"patch {number}", f"these fields cannot be edited: {', '.join(map(repr, unknown))}.")
        patch = parse_patch({**patch_document(entry.patch), **fields}, unknown="forbid")
        if patch == entry.patch:
            return entry
        return self._keep(patch, entry, f"edited {', '.join(sorted(fields))}", "")

    def move(self, number: int, state: PatchState, comment: str, version: int | None = None) -> BookEntry:
        """Change the state; the state that it has changes nothing, an illegal move is a 409."""
        entry = self._at(number, version)
        old = entry.patch.state
        if state is old:
            return entry
        if state not in LEGAL_MOVES[old]:
            allowed = ", ".join(sorted(f'"{s}"' for s in LEGAL_MOVES[old])) or "nothing"
            raise BookError(409, f"patch {number}", f'cannot go from "{old}" to "{state}"; allowed: {allowed}.')
        return self._keep(dataclasses.replace(entry.patch, state=state), entry, f'"{old}" -> "{state}"', comment)

    def comment(self, number: int, text: str) -> BookEntry:
        """Add a comment to the history; a text that is there already is not added again."""
        entry = self.entry(number)
        if any(event["what"] == "comment" and event["comment"] == text for event in entry.history):
            return entry
        return self._keep(entry.patch, entry, "comment", text)

    def flag(self, number: int, flag: str, value: bool, comment: str) -> BookEntry:
        """Set or clear a flag."""
        if flag not in FLAGS:
            raise BookError(404, f"flag {flag[:80]!r}", f"is not known; there is {', '.join(FLAGS)}.")
        entry = self.entry(number)
        if getattr(entry.patch, flag) is value:
            return entry
        changes: dict[str, Any] = {flag: value}
        return self._keep(
            dataclasses.replace(entry.patch, **changes), entry, f"{flag} {'set' if value else 'cleared'}", comment
        )

    def add_bug(self, number: int, bug: Bug) -> BookEntry:
        """Attach a bug, or replace the one of the same number."""
        entry = self.entry(number)
        if bug in entry.patch.bugs:
            return entry
        others = tuple(b for b in entry.patch.bugs if b.number != bug.number)
        bugs = tuple(sorted((*others, bug), key=lambda b: b.number))
        return self._keep(dataclasses.replace(entry.patch, bugs=bugs), entry, f"bug {bug.number}", "")

    def _at(self, number: int, version: int | None) -> BookEntry:
        entry = self.entry(number)
        if version is not None and entry.version != version:
            raise BookError(412, f"patch {number}", f"is at version {entry.version}, not {version}.", "Read it again.")
        return entry

    def _keep(self, patch: Patch, old: BookEntry | None, what: str, comment: str) -> BookEntry:
        event = {"at": self._now().isoformat(timespec="seconds"), "what": what, "comment": comment}
        entry = BookEntry(patch, old.version + 1 if old else 1, (*(old.history if old else ()), event))
        row = {"patch": patch_document(patch), "version": entry.version, "history": list(entry.history)}
        path = self._folder / f"{patch.number}.json"
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(row, indent=1), encoding="utf-8")
        part.replace(path)
        self._entries[patch.number] = entry
        return entry


def _load(path: Path) -> BookEntry:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        entry = BookEntry(parse_patch(row["patch"]), int(row["version"]), tuple(row["history"]))
    except (ValueError, KeyError, TypeError, RolloutError) as error:
        why = f"is not a patch of the sandbox tracker ({error})."
        raise ConfigurationError(str(path), why, "Delete it to forget the patch.") from error
    if path.stem != str(entry.patch.number):
        raise ConfigurationError(str(path), f"holds patch {entry.patch.number}.", "Rename it.")
    return entry
