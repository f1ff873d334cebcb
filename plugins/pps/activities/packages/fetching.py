"""The packages of a patch: found in the provider's index, fetched, and each checked to be what it says it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pps.activities.desk import Desk
from pps.activities.ports.packages import (
    Artefacts,
    IndexedPackage,
    OpenedPackage,
    PackageReader,
    PackageRepositories,
    PackageRepository,
    TarballLimits,
    UnpackBudget,
)
from pps.domain.base.errors import PackageError
from pps.domain.packages.patch import Patch
from pps.domain.packages.repository_trust import Trust
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout

#: Packages that a sentence names.
_NAMED = 5


def find_packages(patch: Patch, repository: PackageRepository, limits: TarballLimits) -> tuple[IndexedPackage, ...]:
    """Look up all packages of a patch in the provider's (verified) index, its own first, then the externals.

    `PackageError` for one that is missing or named twice, or for more bytes than are allowed.
    """
    refs = (*patch.packages, *patch.externals)
    if len(set(refs)) != len(refs):
        raise PackageError(patch.subject, "names a package twice.", "Correct the patch.")
    indexed = repository.resolve(refs)
    if (total := sum(p.size for p in indexed)) > limits.package_bytes_at_most:
        raise PackageError(
            patch.subject,
            f"has {total} bytes of packages; {limits.package_bytes_at_most} are allowed.",
            "See policies.yaml, tarball.",
        )
    return indexed


def note_trust(desk: Desk, trust: Trust) -> None:
    """Put on record that the provider's index need not be signed, and why; the bulletin shows it."""
    if trust.unsigned and not desk.rollout.has(FactKind.INDEX_UNSIGNED):
        payload = {"repository": desk.patch.repository.url, "reason": trust.unsigned}
        desk.record(desk.fact(FactKind.INDEX_UNSIGNED, "", "", payload))


def check_identity(package: IndexedPackage, opened: OpenedPackage) -> None:
    """Raise `PackageError` if a file says that it is another package than the index says."""
    if opened.ref != package.ref:
        raise PackageError(
            str(package.ref),
            f"is listed in the index, but the file says that it is {opened.ref}.",
            "Ask the provider of the repository.",
        )


def keep_packages(
    patch: Patch,
    repository: PackageRepository,
    reader: PackageReader,
    artefacts: Artefacts,
    limits: TarballLimits,
    workdir: Path,
) -> tuple[IndexedPackage, ...]:
    """Fetch all packages of a patch, and keep the very bytes that its index names; needs room below `workdir`."""
    indexed = find_packages(patch, repository, limits)
    with empty_folder(workdir) as work:
        for package in indexed:
            folder = work / package.sha256
            folder.mkdir(parents=True, exist_ok=True)
            path = repository.fetch(package, folder)
            with reader.open(path, UnpackBudget(0, 0)) as opened:
                check_identity(package, opened)
            artefacts.keep_package(path, package.sha256)
            path.unlink()
    return indexed


def keep_packages_once(
    desk: Desk, patch: Patch, *, repositories: PackageRepositories, **needed: Any
) -> tuple[tuple[str, str], ...]:
    """Keep the packages of a rollout's patch and put that on record; what was kept first stays. Returns them.

    What is tried, and what may be released, are these very bytes.

    Args:
        patch: with the repository that is to be read: the mirror, where there is one.
        needed: the further arguments of `keep_packages`.
    """
    record = desk.rollout
    if not record.has(FactKind.PACKAGES_KEPT):
        repository = repositories.open(patch.repository)
        kept = [[str(p.ref), p.sha256] for p in keep_packages(patch, repository, **needed)]
        payload = {"packages": kept, "index": repository.index.written()}
        desk.record(desk.fact(FactKind.PACKAGES_KEPT, "", "", payload))
        record = desk.look_again()  # of two attempts at once, one was first
    return kept_packages(record)


def kept_packages(record: Rollout) -> tuple[tuple[str, str], ...]:
    """(package, sha256) of the bytes that are being tried."""
    kept = record.need(FactKind.PACKAGES_KEPT, "Deliver the update first.").payload["packages"]
    return tuple((name, sha256) for name, sha256 in kept)


def reasons_if_changed(record: Rollout, patch: Patch) -> tuple[str, ...]:
    """Say that a patch names other packages now than those that were tried; no reasons means that it does not."""
    tried, now = {name for name, _ in kept_packages(record)}, {str(ref) for ref in (*patch.packages, *patch.externals)}
    if tried == now:
        return ()
    differing = ", ".join(sorted(tried ^ now)[:_NAMED])
    return (f"Patch {patch.number} names other packages now than those that were tried ({differing}).",)


@contextmanager
def empty_folder(workdir: Path) -> Iterator[Path]:
    """A folder of this build alone: two attempts may run at once."""
    workdir.mkdir(parents=True, exist_ok=True)
    work = workdir / f"build-{os.getpid()}-{os.urandom(4).hex()}"
    work.mkdir(mode=0o700)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
