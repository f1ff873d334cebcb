"""Which indexes of ours are signed again before their signatures expire (docs/adr/0022)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pps.activities.packages.production import SUITE
from pps.activities.packages.uploads import upload_repository, uploading_providers
from pps.activities.ports.record import Facts
from pps.activities.quality.release_testing import FOLDER
from pps.domain.base.errors import RolloutError, ServiceError
from pps.domain.packages.mirrors import LIST, MirrorList
from pps.domain.packages.patch import Repository, RepositoryKind
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PILOTS, RolloutPath

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnIndex:
    """One repository that we publish."""

    root: Any
    """its folder: a pathlib-like path, perhaps in an object store"""
    repository: Repository
    """kind and suite; the address is not needed"""
    lists_release: bool = False
    """a mirror from before indexes were signed, whose list names its Release file with its digest"""
    rollout: str = ""
    """whose mirror or release test it is; "" for production"""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something that we have published, and that is not what was published."""

    place: str
    why: str
    sha256: str
    """of what should be there; "" for an index"""
    rollout: str = ""
    """whose it is, if that is known"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What our repositories hold, against what was published."""

    found: tuple[Misfit, ...]
    not_seen: tuple[str, ...] = ()
    """why something could not be looked at: of that, nobody knows"""

    def complain(self) -> None:
        """`ServiceError` if something could not be looked at."""
        if self.not_seen:
            raise ServiceError("our repositories", " ".join(self.not_seen), "Look at: pps doctor")


def own_indexes(
    facts: Facts, production: Any, mirrors: Any | None, now: datetime, ended_for: timedelta, uploads: Any | None = None
) -> Iterator[OwnIndex]:
    """Production's indexes, those of mirrors and release tests that are open or ended less than `ended_for` ago, and
    those of providers who have uploaded packages.
    """
    if uploads is not None:
        for provider in uploading_providers(facts):
            for kind in RepositoryKind:
                yield OwnIndex(uploads / provider / kind.value, upload_repository(kind, ""))
    for kind in RepositoryKind:
        yield OwnIndex(production / kind.value, Repository(kind, "", SUITE, ("main",)))
    for row in facts.rollouts(paths=[RolloutPath.RELEASE_TEST, *PILOTS], closed_after=now - ended_for):
        if row.path == RolloutPath.RELEASE_TEST:
            for kind in RepositoryKind:
                yield OwnIndex(
                    production / FOLDER / row.name / kind.value,
                    Repository(kind, "", FOLDER, ("main",)),
                    rollout=row.name,
                )
        elif mirrors is not None:
            made = facts.rollout(row.name).the(FactKind.MIRROR_MADE)
            if made is not None and "skipped" not in made.payload:
                yield _of_mirror(mirrors / made.payload["mirror"], made.payload, row.name)


def _of_mirror(root: Any, payload: Any, rollout: str) -> OwnIndex:
    repository = Repository(RepositoryKind(payload["kind"]), "", payload["suite"], tuple(payload["components"]))
    listed = f"dists/{repository.suite}/Release"
    try:
        known = {file.path for file in MirrorList.parse((root / LIST).read_bytes().decode()).files}
    except (OSError, ValueError, RolloutError):  # `pps mirror verify` says what is wrong with it
        known = set()
    return OwnIndex(root, repository, lists_release=listed in known, rollout=rollout)


def renew_all(indexes: Iterable[OwnIndex], renew: Callable[[OwnIndex], bool]) -> tuple[str, ...]:
    """Sign again what needs it; one that cannot be signed does not keep the others from it.

    Raises:
        ServiceError: names all of those that could not be signed.
    """
    renewed, failed = [], []
    for own in indexes:
        try:
            if renew(own):
                renewed.append(str(own.root))
        except ServiceError as error:
            log.warning("%s", error)
            failed.append(str(error))
    if failed:
        raise ServiceError("signatures of our repositories", " ".join(failed), "Look at: pps keys sign")
    return tuple(renewed)


def not_as_published(
    indexes: Iterable[OwnIndex], look: Callable[[OwnIndex], Iterable[Misfit]], facts: Facts
) -> Comparison:
    """What in our repositories is not as it was published, each with the rollout that it belongs to.

    Cost grows with what is published, not with history. An older index of ours that was put back is not seen here:
    it carries our signature.
    """
    found: list[Misfit] = []
    failed: list[str] = []
    for own in indexes:
        try:
            found += [replace(misfit, rollout=own.rollout) for misfit in look(own)]
        except ServiceError as error:
            failed.append(str(error))
    wanted = {m.sha256 for m in found if not m.rollout and m.sha256}
    owners = _owners(facts, wanted) if wanted else {}
    found = [m if m.rollout else replace(m, rollout=owners.get(m.sha256, "")) for m in found]
    return Comparison(tuple(found), tuple(failed))


def _owners(facts: Facts, wanted: set[str]) -> dict[str, str]:
    """sha256 -> the rollout that kept it; read only when something is wrong."""
    kept = facts.facts_of_kind([FactKind.PACKAGES_KEPT])
    return {sha256: fact.rollout for fact in kept for _, sha256 in fact.payload["packages"] if sha256 in wanted}
