"""A release that a provider submits: what is found when it is looked at, each finding with its remedy.

A fault keeps a release out until it is mended, or waived by a role with a reason. What could not be looked at cannot be
waived: nobody knows what it would be.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pps.domain.base.errors import ConfigurationError, HostileArchiveError, RolloutError, ServiceError
from pps.domain.base.names import checked_name
from pps.domain.base.texts import one_line
from pps.domain.packages.patch import PackageRef, Patch, PatchState, Repository, RepositoryKind
from pps.domain.packages.versions import age

#: The number of a patch that no tracker has yet.
UNNUMBERED = 999_999_999
#: States in which a provider's correction is taken; what is on its way to production, or dead, is corrected no more.
_CORRECTABLE = (
    PatchState.READY_FOR_INTEGRATION,
    PatchState.READY_FOR_CERTIFICATION,
    PatchState.IN_CERTIFICATION,
    PatchState.CERTIFIED,
    PatchState.WITH_PROVIDER,
)
_FOR_ALL = ("all", "noarch")
#: How both kinds of packages call the same architecture.
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "ppc64el": "ppc64le"}
_YUM_SYSTEMS = ("el", "sl", "slc", "centos", "rhel", "rocky", "alma", "fedora", "suse", "sles", "opensuse")
_APT_SYSTEMS = ("debian", "ubuntu")
_LONGEST = 600


class Weight(StrEnum):
    """What a finding means for the release. Stored: never rename."""

    FAULT = "fault"
    """it is not taken with this"""
    WARNING = "warning"
    """somebody should look"""
    HINT = "hint"


_ORDER = list(Weight)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    code: str
    """which rule; stored: never rename"""
    weight: Weight
    about: str
    """a package, a platform, a variable, ...; "" for the release as a whole"""
    sentence: str
    remedy: str = ""
    may_be_waived: bool = False

    @property
    def key(self) -> str:
        """Names what was found: what is found later, in other words, is another finding, which nobody has waived."""
        whole = "\n".join((self.code, self.about, self.sentence))
        return hashlib.sha256(whole.encode()).hexdigest()[:12]


def fault(code: str, about: object, sentence: str, remedy: str, *, may_be_waived: bool = True) -> Finding:
    """A finding that keeps the release out."""
    return Finding(code, Weight.FAULT, one_line(str(about)), one_line(sentence, _LONGEST), remedy, may_be_waived)


def warning(code: str, about: object, sentence: str, remedy: str) -> Finding:
    """A finding that somebody should look at."""
    return Finding(code, Weight.WARNING, one_line(str(about)), one_line(sentence, _LONGEST), remedy)


def hint(code: str, about: object, sentence: str, remedy: str = "") -> Finding:
    """A finding that may be of use."""
    return Finding(code, Weight.HINT, one_line(str(about)), one_line(sentence, _LONGEST), remedy)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, faults first."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda f: _ORDER.index(f.weight)))


@dataclass(frozen=True, slots=True)
class Release:
    """What a provider submits."""

    patch: Patch
    """without a number, unless the tracker has it: `UNNUMBERED`"""
    depends_on: tuple[int, ...] = ()
    """patches that must be in production before this one"""

    @property
    def key(self) -> str:
        """Names it for ever: the same product and version is the same release, however often it is corrected."""
        return release_key(self.patch.metapackage, self.patch.version)

    @property
    def name(self) -> str:
        """As people call it."""
        return f"{self.patch.metapackage} {self.patch.version}"


def release_key(product: str, version: str) -> str:
    """The name of a release; `InvalidNameError` for what cannot be one."""
    return f"{checked_name(product, 'product')}/{checked_name(version, 'version')}"


# --- before anything is fetched


def of_the_document(release: Release) -> tuple[Finding, ...]:
    """What the document alone tells."""
    patch = release.patch
    found: list[Finding] = []
    if not patch.packages:
        found.append(fault("no-packages", "", "It names no packages.", "Name every package, with version and arch."))
    if not patch.platforms:
        found.append(fault("no-platform", "", "It names no platform.", "Name the platforms, e.g. debian12-amd64."))
    if not patch.release_notes.strip():
        found.append(
            fault("no-notes", "", "It has no release notes.", "Say what changes, and for whom, in a few lines.")
        )
    refs = (*patch.packages, *patch.externals)
    for ref in dict.fromkeys(r for r in refs if refs.count(r) > 1):
        found.append(
            fault("twice", ref, f"{ref} is named twice.", "Name each package once.", may_be_waived=False),
        )
    if not patch.bugs and not patch.test_cases:
        found.append(
            hint(
                "nothing-to-try",
                "",
                "It names neither bugs nor test cases, so users are asked for an opinion on the whole only.",
                "Name what is fixed, and what is worth trying.",
            )
        )
    return (*found, *_of_platforms(patch, refs))


def _of_platforms(patch: Patch, refs: Sequence[PackageRef]) -> Iterable[Finding]:
    kind = patch.repository.kind
    for platform in patch.platforms:
        others = _YUM_SYSTEMS if kind is RepositoryKind.APT else _APT_SYSTEMS
        system = re.sub(r"[^a-z].*", "", platform.os.lower())
        if system in others:
            yield fault(
                "platform-kind",
                platform,
                f"{platform} does not install from a repository of the kind {kind.value}.",
                "Submit a release of its own, with its own repository, for the other kind of platforms.",
            )
        elif refs and not any(fits(ref.arch, platform.arch) for ref in refs):
            yield fault(
                "platform-without-packages",
                platform,
                f"No package of this release is for {platform.arch}, or for all architectures.",
                "Name the packages for it, or leave the platform out.",
            )


def fits(arch: str, of_platform: str) -> bool:
    """Tell whether a package of this architecture can be installed on a platform of that one."""
    return arch in (*_FOR_ALL, of_platform, _ARCHITECTURES.get(of_platform, of_platform)) or (
        _ARCHITECTURES.get(arch) == of_platform
    )


def of_other_patches(states: Mapping[int, PatchState | None]) -> Iterable[Finding]:
    """What the tracker says of the patches that it depends on; None: it has no such patch."""
    for number, state in states.items():
        about = f"patch {number}"
        if state is None:
            yield fault("depends-on", about, f"It depends on {about}, which the tracker does not have.", "Correct it.")
        elif state in (PatchState.REJECTED, PatchState.OBSOLETE):
            yield fault(
                "depends-on",
                about,
                f'It depends on {about}, which is "{state}".',
                "Depend on the patch that took its place.",
            )
        elif state is not PatchState.IN_PRODUCTION:
            yield warning(
                "depends-on",
                about,
                f'It depends on {about}, which is "{state}": it cannot go to production before that one.',
                "Nothing is wrong; it may have to wait.",
            )


def reasons_against_correction(state: PatchState, number: int) -> tuple[str, ...]:
    """Say why a release that the tracker has cannot be submitted again; no reasons means that it can."""
    if state in _CORRECTABLE:
        return ()
    return (f'Patch {number} of this version is "{state}": what changes now needs a version of its own.',)


# --- repository and packages


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


# --- what stands


@dataclass(frozen=True, slots=True)
class Waiver:
    """A fault with which a release may go on all the same."""

    key: str
    """of the finding"""
    reason: str
    role: str
    user: str
    at: str
    """ISO 8601"""


def open_faults(findings: Iterable[Finding], waivers: Mapping[str, Waiver]) -> tuple[Finding, ...]:
    """What keeps the release out; none means that it may be taken."""
    return tuple(f for f in findings if f.weight is Weight.FAULT and not (f.may_be_waived and f.key in waivers))


def reasons_against_waiver(finding: Finding | None, waivers: Mapping[str, Waiver]) -> tuple[str, ...]:
    """Say why a finding cannot be waived; no reasons means that it can."""
    if finding is None:
        return ("The newest look at this release has found no such thing.",)
    if finding.key in waivers:
        return ("It is waived already.",)
    if finding.weight is not Weight.FAULT:
        return (f"It is a {finding.weight}: it keeps nothing out, so there is nothing to waive.",)
    if not finding.may_be_waived:
        return ("It cannot be waived: with it, nobody knows what would be released.",)
    return ()
