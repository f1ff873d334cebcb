"""What is found in the packages of a release: in their repository, their files, and what they depend on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from pps.domain.base.errors import ConfigurationError, HostileArchiveError, RolloutError, ServiceError
from pps.domain.packages.findings import Finding, fault, warning
from pps.domain.packages.patch import PackageRef, Patch, Repository, RepositoryKind
from pps.domain.packages.versions import age


def of_repository_error(error: RolloutError) -> Finding:
    """An index that cannot be believed, or not be had. Nobody can waive that: nothing else could be looked at."""
    if isinstance(error, ConfigurationError):
        return fault(
            "key",
            error.subject,
            error.why,
            "Send the coordination your public key, and the repository's address; then submit again.",
            may_be_waived=False,
        )
    if isinstance(error, ServiceError):
        return fault(
            "repository-away", error.subject, error.why, "Bring it back, then submit again.", may_be_waived=False
        )
    return fault("index", error.subject, error.why, _for_provider(error.next_step), may_be_waived=False)


def of_package_error(ref: PackageRef, error: RolloutError) -> Finding:
    """A package that is not what the index says, or that cannot be read."""
    if isinstance(error, ServiceError):
        return of_repository_error(error)
    code = "hostile" if isinstance(error, HostileArchiveError) else "unreadable"
    remedy = "Build it again, publish it, and make the index anew."
    return fault(code, ref, f"{error.subject}: {error.why}", remedy, may_be_waived=False)


def of_missing(ref: PackageRef) -> Finding:
    """A package that the index does not have."""
    return fault(
        "missing",
        ref,
        f"{ref} is not in the repository's index.",
        "Publish it, or correct name, version and architecture as the index spells them.",
        may_be_waived=False,
    )


def of_unsigned(repository: Repository, reason: str) -> Finding:
    """An index that is believed without a signature, for a reason of the operators."""
    return warning(
        "unsigned",
        repository.url,
        f"The index is not checked by a signature: {reason}",
        "Sign it, and send the coordination your public key.",
    )


def of_production(kind: RepositoryKind, ref: PackageRef, sha256: str, theirs: PackageRef, digest: str) -> list[Finding]:
    """A package beside the one that production has of its name.

    Args:
        theirs: what production has, the very same version where it has that; `digest` is its SHA-256.
    """
    order = age(kind)
    if order(ref.version) < order(theirs.version):
        return [
            fault(
                "version-not-above",
                ref,
                f"{ref} is older than {theirs.version}, which is in production: sites would not take it.",
                "Give it a version above that one.",
            )
        ]
    if ref == theirs and sha256 != digest:
        return [
            fault(
                "version-reused",
                ref,
                f"{ref} is in production already, with other content.",
                "Give the changed package a new version.",
                may_be_waived=False,
            )
        ]
    return []


def of_changelog(ref: PackageRef) -> Finding:
    """A package that does not say what has changed."""
    return warning(
        "no-changelog",
        ref,
        f"{ref} has no changelog.",
        "Add one: debian/changelog or %changelog, with an entry for this version.",
    )


# --- configuration


def of_variables(patch: Patch, new: Mapping[str, str], spoken_of: Collection[str]) -> Iterable[Finding]:
    """New variables that the notes do not name, and announced ones that no package has.

    Args:
        new: name -> file that says so, as the packages have it.
        spoken_of: whatever differs from production in their files.
    """
    notes = f"{patch.release_notes}\n{patch.special_configuration}"
    for name in dict.fromkeys((*new, *patch.new_variables)):
        if not re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", notes):
            where = f", which {new[name]} brings," if name in new else ""
            yield fault(
                "not-in-notes",
                name,
                f"The release notes do not name the new variable {name}{where} so sites would not know of it.",
                f"Say in the notes what {name} is for, and what happens without it.",
            )
    for name in patch.new_variables:
        if name not in spoken_of:
            yield warning(
                "variable-not-found",
                name,
                f"The document says that {name} is new; no file of the packages speaks of it.",
                "Correct the document, or look whether the right packages are in the repository.",
            )


# --- dependencies


def of_unsolved(platform: object, why: str) -> Finding:
    """Dependencies that nobody has solved: never taken for complete."""
    return warning(
        "dependencies-not-solved",
        platform,
        f"Whether all dependencies can be had on {platform} was not found out: {why}",
        "Ask the coordination to name the platform's own indexes (platform_indexes in service.yaml).",
    )


def of_unknown_files(platform: object, package: str, sentence: str) -> Finding:
    """A package that depends on a file which no index lists, while one of them lists few files: nobody knows."""
    return warning(
        "dependencies-not-solved",
        f"{package} on {platform}",
        f"Whether this can be installed on {platform} was not found out: {sentence} Not every index has a list of all "
        "files of its packages (filelists).",
        "Ask the coordination for indexes with lists of files (platform_indexes), or depend on a package by its name.",
    )


def of_problem(platform: object, package: str, sentence: str) -> Finding:
    """A package that cannot be installed on a platform, as its solver says."""
    return fault(
        "dependencies",
        f"{package} on {platform}" if package else platform,
        f"On {platform}: {sentence}",
        "Bring what is missing along (externals), or correct the dependency.",
    )


def of_distribution(kind: RepositoryKind, platform: object, ref: PackageRef, theirs: str) -> list[Finding]:
    """A package beside the version that the platform itself has of it."""
    order = age(kind)
    if order(ref.version) > order(theirs):
        return []
    return [
        fault(
            "not-above-platform",
            f"{ref} on {platform}",
            f"{platform} itself has {ref.name} {theirs}, so sites would not take {ref.version} from us.",
            "Give it a version above that one, or leave it to the platform.",
        )
    ]


def _for_provider(next_step: str) -> str:
    """Other texts are for operators, who ask the provider; here the provider reads them."""
    return "Correct the repository, and make its index anew." if "provider" in next_step else next_step
