"""The record, read through our API by somebody who has signed in: no database, and only what their role may read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Never, TypeVar

from pydantic import ValidationError

from pps.activities.ports.people import Mail
from pps.activities.ports.record import LastReport, LastSeen, OpenRollout
from pps.config.record_documents import MailDocument, RowDocument, facts_of
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError, ServiceError
from pps.domain.people.feedback import Limit
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, dossier_name

#: Asks the door `record`: what is wanted, and about what -> the answer.
Ask = Callable[[Mapping[str, Any]], dict[str, Any]]

M = TypeVar("M", RowDocument, MailDocument)
_NAMES = 100
"""records that are asked for at a time"""


class FarFacts:
    """`ports.record.Facts`, as far as it is read. Every method raises what `ask` raises."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def rollouts(
        self,
        *,
        open_only: bool = False,
        paths: Collection[str] = (),
        patch: int | None = None,
        not_cleared: bool = False,
        closed_after: datetime | None = None,
        as_of: datetime | None = None,
    ) -> tuple[OpenRollout, ...]:
        """The register, newest first; `not_cleared` is of the nights, which do not read from here."""
        wanted = {
            "open_only": open_only,
            "paths": sorted(str(path) for path in paths),
            "patch": patch,
            "closed_after": _text(closed_after),
            "as_of": _text(as_of),
        }
        return tuple(_read(RowDocument, row).to_port() for row in self._pages("rollouts", "rows", wanted))

    def rollout(self, name: str) -> Rollout:
        """All facts of a rollout; no facts: `NotYetAllowedError`."""
        facts = self._facts("facts", {"names": [name]})
        if not facts:
            raise NotYetAllowedError(f"rollout {name!r}", "is not on record.", "Names are listed by: pps rollout list.")
        return Rollout(name, facts)

    def dossier(self, patch: int) -> Rollout:
        """What is on record about a patch besides its rollouts."""
        name = dossier_name(patch)
        return Rollout(name, self._facts("facts", {"names": [name]}))

    def standing(self, names: Collection[str], as_of: datetime | None = None) -> Mapping[str, Rollout]:
        """Rollouts and dossiers as they stand."""
        return self._records("standing", names, {"as_of": _text(as_of)})

    def about(self, names: Collection[str], subject: str) -> Mapping[str, Rollout]:
        """Of these records what is about the whole, and about one subject."""
        return self._records("about", names, {"subject": subject})

    def has(self, rollout: str, kind: FactKind) -> bool:
        """Tell whether a fact of this kind is on record."""
        return any(fact.kind is kind for fact in self._facts("facts", {"names": [rollout]}))

    def newest(self, names: Collection[str]) -> Mapping[str, int]:
        """A number for each of these records, which grows with each fact."""
        found: dict[str, int] = {}
        for some in _batches(names):
            found |= self._ask({"ask": "newest", "names": some})["numbers"]
        return found

    def next_name(self, path: str, patch: int, run: str = "") -> str:
        """Name of the rollout that is open for this patch, else of the one that would be next."""
        return str(self._ask({"ask": "next-name", "paths": [str(path)], "patch": patch})["name"])

    def with_payload(self, kind: FactKind, key: str, values: Collection[str]) -> tuple[Fact, ...]:
        """Facts of this kind whose payload has one of these texts under `key`."""
        return self._facts("with-payload", {"kinds": [kind.value], "key": key, "values": sorted(values)})

    def facts_of_kind(
        self, kinds: Collection[FactKind], since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Fact, ...]:
        """Facts of these kinds, `since <= at < until`, in the order of recording."""
        wanted = {"kinds": sorted(k.value for k in kinds), "since": _text(since), "until": _text(until)}
        return self._facts("of-kind", wanted)

    def turned_away(self, rollout: str) -> Mapping[Limit, int]:
        """How many answers each limit has turned away."""
        found = self._ask({"ask": "turned-away", "names": [rollout]})["counts"]
        return {Limit(limit): int(count) for limit, count in found.items()}

    def outbox(self, rollout: str) -> tuple[tuple[Mail, datetime | None, str], ...]:
        """Every mail of a rollout, without its text."""
        return tuple(_read(MailDocument, m).to_port() for m in self._pages("outbox", "mails", {"names": [rollout]}))

    def last_seen(self) -> Mapping[str, LastSeen]:
        """The service's notes are not to be had; who has none reads all."""
        return {}

    def reports(self) -> Mapping[str, LastReport]:
        """Nor are the sites' reports."""
        return {}

    def __getattr__(self, name: str) -> Never:
        """What writes, or belongs to the service alone, is not to be had from here."""
        raise ConfigurationError(
            "pps",
            f"this command needs the database of facts ({name}), which only the service's own account has.",
            "Run it there, as docs/production.md says; or ask those who run the service.",
        )

    def _facts(self, ask: str, wanted: Mapping[str, Any]) -> tuple[Fact, ...]:
        try:
            return facts_of(list(self._pages(ask, "facts", wanted)))
        except ValidationError as error:
            raise _not_ours(error) from error

    def _records(self, ask: str, names: Collection[str], wanted: Mapping[str, Any]) -> dict[str, Rollout]:
        found: dict[str, list[Fact]] = {name: [] for name in names}
        for some in _batches(names):
            for fact in self._facts(ask, {"names": some, **wanted}):
                found.setdefault(fact.rollout, []).append(fact)
        return {name: Rollout(name, tuple(facts)) for name, facts in found.items()}

    def _pages(self, ask: str, key: str, wanted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        after = 0
        while True:
            said = self._ask({"ask": ask, "after": after, **wanted})
            yield from said[key]
            after += len(said[key])
            if not said[key] or after >= said["total"]:
                return


def _batches(names: Iterable[str]) -> Iterator[Sequence[str]]:
    every = list(dict.fromkeys(names))
    for first in range(0, len(every), _NAMES):
        yield every[first : first + _NAMES]


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _read(model: type[M], raw: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise _not_ours(error) from error


def _not_ours(error: ValidationError) -> ServiceError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return ServiceError("the record", f"came in a form that this pps does not know ({place}).", "Upgrade pps.")
