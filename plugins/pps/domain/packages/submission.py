"""A release that a provider submits, and what is found in it before anything is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pps.domain.base.names import checked_name
from pps.domain.packages.findings import Finding, fault, hint, warning
from pps.domain.packages.patch import PackageRef, Patch, PatchState, RepositoryKind

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
