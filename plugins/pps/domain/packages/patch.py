"""The patch: the unit of release in the tracker (packages, fixed bugs, release notes)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pps.domain.base.names import checked_address, checked_name, checked_package_name, checked_version
from pps.domain.packages.advice import Advice, Impact, Vulnerability
from pps.domain.sites.site import Platform


class PatchState(StrEnum):
    """States of a patch in the tracker."""

    READY_FOR_INTEGRATION = "Ready for integration"
    READY_FOR_CERTIFICATION = "Ready for certification"
    IN_CERTIFICATION = "In certification"
    CERTIFIED = "Certified"
    READY_FOR_PRODUCTION = "Ready for production"
    READY_FOR_ROLLOUT = "Ready for rollout"
    ROLLING_OUT = "Rolling out"
    IN_PRODUCTION = "In production"
    WITH_PROVIDER = "With provider"
    REJECTED = "Rejected"
    OBSOLETE = "Obsolete"


class Severity(StrEnum):
    """Severity of a bug, assigned by the EMT."""

    CRITICAL = "critical"
    MAJOR = "major"
    NORMAL = "normal"
    MINOR = "minor"


class BugState(StrEnum):
    """Where a bug stands in the tracker."""

    OPEN = "open"
    REOPENED = "reopened"
    FIXED = "fixed"
    CLOSED = "closed"


class PatchKind(StrEnum):
    """What a patch updates; the two are previewed in different ways (SD 4.1)."""

    CLIENT = "client"
    """client tools: worker nodes, user interfaces, VOBOXes"""
    SERVER = "server"
    """a grid service"""


class RepositoryKind(StrEnum):
    """Layout of a package repository."""

    APT = "apt"
    YUM = "yum"


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug or request that the patch fixes; its originator is invited to verify (SD 4.1.1, step 7)."""

    number: int
    title: str
    severity: Severity
    originator: str
    """mail address"""

    def __post_init__(self) -> None:
        checked_address(self.originator, f"originator of bug {self.number}")


@dataclass(frozen=True, slots=True)
class Case:
    """A test case: what users are asked to try, and to judge by itself."""

    name: str
    title: str
    how: str = ""
    """what to do, in Markdown; "" where the title says it"""

    def __post_init__(self) -> None:
        checked_name(self.name, "test case")


@dataclass(frozen=True, slots=True)
class Repository:
    """Where the provider publishes the packages of a patch."""

    kind: RepositoryKind
    url: str
    suite: str = ""
    """APT only: the part after `dists/`, e.g. `bookworm`."""
    components: tuple[str, ...] = ()
    """APT only, e.g. `("main",)`."""


@dataclass(frozen=True, slots=True)
class PackageRef:
    """A package as the patch names it; the repository's index knows the rest.

    `version` is the index's own spelling: `[epoch:]version-release`; for APT the Debian version.
    """

    name: str
    version: str
    arch: str

    def __post_init__(self) -> None:
        checked_package_name(self.name, "package")
        checked_version(self.version, f"version of package {self.name}")
        checked_package_name(self.arch, f"architecture of package {self.name}")

    def __str__(self) -> str:
        return f"{self.name}-{self.version}.{self.arch}"


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch as the tracker describes it, at one moment."""

    number: int
    title: str
    state: PatchState
    metapackage: str
    """e.g. `glite-WN`"""
    version: str
    """e.g. `3.1.23`"""
    platforms: tuple[Platform, ...]
    repository: Repository
    packages: tuple[PackageRef, ...]
    """the middleware itself"""
    externals: tuple[PackageRef, ...] = ()
    """what it depends on and brings along"""
    bugs: tuple[Bug, ...] = ()
    release_notes: str = ""
    special_configuration: str = ""
    """Configuration section of the release notes; a BC client's is empty."""
    new_variables: tuple[str, ...] = ()
    changed_variables: tuple[str, ...] = ()
    basic_certification_passed: bool = False
    """SA3's flag: the first round of certification tests was passed."""
    install_tested: tuple[Platform, ...] = ()
    """platforms on which certification did an installation test"""
    programming_ph: int | None = None
    """person hours, as validated by the Release Manager"""
    provider: str = ""
    """mail address of whoever provides the packages; what fails goes back to them"""
    kind: PatchKind = PatchKind.CLIENT
    service_type: str = ""
    """of a server update: the grid service, as GOCDB calls it (SERVICE_TYPE): CREAM-CE, Site-BDII, ..."""
    component_parameters: tuple[str, ...] = ()
    """new parameters of component-specific configuration files; those of YAIM are `new_variables`"""
    operational_changes: str = ""
    """what changes for those who run the service; empty: nothing significant"""
    database_schema_changed: bool = False
    clients_compatible: bool = True
    """the existing clients work with the updated service"""
    new_functionality: bool = False
    installation_guide: str = ""
    """where the documentation for its installation is; "" where there is none"""
    configuration_guide: str = ""
    test_cases: tuple[Case, ...] = ()
    """what VOs can judge one by one, beside the bugs; many patches have none"""
    cves: tuple[Vulnerability, ...] = ()
    """vulnerabilities that it closes"""
    vex: tuple[Impact, ...] = ()
    """what its provider says of others"""
    embargo_until: datetime | None = None
    """until then nothing of it is to be said in public"""

    def __post_init__(self) -> None:
        if not 0 < self.number < 10**9:
            raise ValueError(f"patch number {self.number} is not between 1 and 999999999")
        checked_name(self.metapackage, f"metapackage of patch {self.number}")
        checked_name(self.version, f"version of patch {self.number}")
        if self.service_type:
            checked_name(self.service_type, f"service type of patch {self.number}")
        if self.provider:
            checked_address(self.provider, f"provider of patch {self.number}")
        if len({v.cve for v in self.cves}) != len(self.cves):
            raise ValueError("a CVE is named twice in cves")
        if len({i.cve for i in self.vex} - {v.cve for v in self.cves}) != len(self.vex):
            raise ValueError("a CVE is named twice in vex, or is in cves as well")
        if self.embargo_until is not None and self.embargo_until.tzinfo is None:
            raise ValueError("embargo_until must say its offset from UTC")

    @property
    def subject(self) -> str:
        """How people call it, in errors and mails."""
        return f"patch {self.number} ({self.metapackage} {self.version})"

    @property
    def advice(self) -> Advice:
        """What it closes, and until when nobody is to know."""
        return Advice(self.cves, self.embargo_until, (self.metapackage, self.version), self.vex)


def what_is_missing(patch: Patch) -> tuple[str, ...]:
    """What the tracker does not say of a patch, and what follows from that; one sentence each.

    None of it makes a patch unusable: it is what its provider, or certification, may still want to say.
    """
    server = patch.kind is PatchKind.SERVER
    sentences = (
        (not patch.provider, "provider: nobody is named to whom a failed deployment test goes back."),
        (not patch.bugs, "bugs: none, so nobody is invited to verify them (SD 4.1.1, step 7)."),
        (not patch.release_notes.strip(), "release_notes: none; VOs read them before they try it."),
        (not patch.install_tested, "install_tested: on no platform, so it does not go to production (SD 4.1.1)."),
        (not patch.basic_certification_passed, "basic_certification_passed: not set, so it is no preview (SD 4.1.1)."),
        (
            server and patch.programming_ph is None,
            "programming_ph: not validated by the Release Manager, so the update counts as major (SD 4.1.3).",
        ),
        (server and not patch.service_type, "service_type: nobody can tell which sites run the service (SD 4.1.3)."),
        (
            server and not (patch.installation_guide and patch.configuration_guide),
            "installation_guide, configuration_guide: a pilot is set up only with both (SD 4.1.3).",
        ),
    )
    return tuple(sentence for missing, sentence in sentences if missing)
