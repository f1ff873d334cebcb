"""Sites: who they are, how to reach them, what they agreed to (SD 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pps.domain.base.errors import ConfigurationError, InvalidNameError
from pps.domain.base.names import (
    addresses_of,
    checked_addresses,
    checked_host,
    checked_name,
    checked_site_path,
    checked_subcluster,
)
from pps.domain.sites.place import reasons_against_place


class PartnerLevel(StrEnum):
    """What a partner site is prepared to do, should the need arise (SD 3, 4.1)."""

    SILVER = "Silver"
    """non-backward-compatible client updates"""
    GOLD = "Gold"
    """pilots of backward-compatible servers"""
    PLATINUM = "Platinum"
    """pilots of non-backward-compatible servers"""


class Infrastructure(StrEnum):
    """GOCDB's PRODUCTION_INFRASTRUCTURE: where the site's services are published."""

    PRODUCTION = "Production"
    PPS = "PPS"
    TEST = "Test"
    SC = "SC"
    """service challenges"""


class CertificationStatus(StrEnum):
    """GOCDB's CERTIFICATION_STATUS of a site (not of a patch)."""

    CANDIDATE = "Candidate"
    UNCERTIFIED = "Uncertified"
    CERTIFIED = "Certified"
    SUSPENDED = "Suspended"
    CLOSED = "Closed"


class ProductionCheck(StrEnum):
    """How a site's production is compared before and after a preview came."""

    NAMES = "names"
    """names, modes, sizes, inodes and ctimes: reads no file; only root can set a ctime"""
    CONTENT = "content"
    """every byte of every file, each time"""


class Scheme(StrEnum):
    """How a site's kit checks signatures (docs/kit.md); fixed when it is installed."""

    SSH = "ssh"
    OPENSSL = "openssl"
    """where OpenSSH is older than 8.1"""


class Reached(StrEnum):
    """How a preview comes to a site, and how we hear of it."""

    SSH = "ssh"
    """we go there"""
    PULL = "pull"
    """it fetches by itself, and says so when it has: nobody of us ever connects (docs/kit.md)"""


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """Operating system and architecture, e.g. `debian12` on `amd64`; written `debian12-amd64`."""

    os: str
    arch: str

    def __post_init__(self) -> None:
        checked_name(self.os, "operating system")
        checked_name(self.arch, "architecture")

    def __str__(self) -> str:
        return f"{self.os}-{self.arch}"

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `os-arch`; the architecture follows the last dash."""
        os, _, arch = checked_name(text, "platform").rpartition("-")
        return cls(os, arch)


@dataclass(frozen=True, slots=True)
class SshEndpoint:
    """How to reach a site over SSH. No secret is in here; `connection` names an Airflow Connection."""

    host: str
    port: int
    user: str
    host_key: str
    """`<type> <base64>` as in a known_hosts line; pinned, never learnt."""
    connection: str = ""
    """Airflow Connection to use; empty: `ssh_site_<name>`, made from the registry."""

    def __post_init__(self) -> None:
        checked_host(self.host, "SSH host")
        checked_name(self.user, "SSH user")


@dataclass(frozen=True, slots=True, order=True)
class SiteService:
    """A grid service of a site, as GOCDB lists it (`get_service`)."""

    type: str
    """GOCDB's SERVICE_TYPE: CREAM-CE, Site-BDII, ..."""
    host: str
    in_production: bool = True

    def __post_init__(self) -> None:
        checked_name(self.type, "service type")
        checked_host(self.host, f"host of a {self.type}")


def reasons_against_ways(reached: Reached, *, has_ssh: bool) -> tuple[str, ...]:
    """Say why nobody could reach a site; no reasons means that somebody can, or need not."""
    if reached is Reached.SSH and not has_ssh:
        return ("is missing; a site without it fetches by itself (reached: pull).",)
    return ()


def reasons_against_fetching(reached: Reached, kit: Scheme | None, *, canary: bool) -> tuple[str, ...]:
    """Say why a site cannot be one that only fetches; no reasons means that it can, or does not want to."""
    if reached is not Reached.PULL:
        return ()
    reasons = []
    if kit is None:
        reasons.append("is reached by pull, and has no kit: what it fetches it could not verify (docs/kit.md).")
    if canary:
        reasons.append(
            "is reached by pull, and cannot be a canary: others wait for canaries, it comes in its own time."
        )
    return tuple(reasons)


@dataclass(frozen=True, slots=True)
class Site:
    """One grid site as the registry describes it."""

    name: str
    roc: str
    platform: Platform
    ssh: SshEndpoint | None
    """None: nobody of us gets in; only where it is `reached` by pull"""
    preview_root: str
    """Folder at the site under which previews are installed, side by side."""
    production_root: str
    """Root of the production client; we only ever read it."""
    profile_d: str
    """The site's own profile.d, whose settings a preview inherits (SD 4.1.1)."""
    tag_dir: str
    """Root of the tag directory: `<tag_dir>/<subcluster>/<vo>/<vo>.list`."""
    subcluster: str
    """GlueSubClusterUniqueID that carries the tags."""
    contact: str
    """One address, or several with commas between them; each gets a mail of its own."""
    infrastructure: Infrastructure = Infrastructure.PRODUCTION
    certification: CertificationStatus = CertificationStatus.CERTIFIED
    accepts_previews: bool = True
    canary: bool = False
    """The site volunteered to get previews first."""
    partner_levels: frozenset[PartnerLevel] = field(default_factory=frozenset)
    timezone: str = "UTC"
    administrators: tuple[str, ...] = ()
    """Users who answer for the site: names in Airflow, no addresses."""
    services: tuple[SiteService, ...] = ()
    latitude: float | None = None
    """Degrees, north positive. Both are known, or neither: then the site stands beside the map, not on it."""
    longitude: float | None = None
    """Degrees, east positive."""
    cpus: int | None = None
    """Logical CPUs that the site declares."""
    production_check: ProductionCheck = ProductionCheck.NAMES
    kit: Scheme | None = None
    """It verifies itself what it installs, with signatures of this kind; None: it has no kit, and trusts us."""
    kit_wanted_from: datetime | None = None
    """Since then it gets no preview without a kit; None: it does."""
    reached: Reached = Reached.SSH
    token: int = 1
    """Number of the token that it reports with; a higher one makes those before it worthless."""

    def __post_init__(self) -> None:
        checked_name(self.name, "site")
        checked_name(self.roc, "ROC")
        checked_subcluster(self.subcluster, "SubCluster")
        checked_addresses(self.contact, f"contact of {self.name}")
        for what in ("preview_root", "production_root", "profile_d", "tag_dir"):
            checked_site_path(getattr(self, what), f"{what} of {self.name}")
        if f"{self.preview_root}/".startswith(f"{self.production_root}/"):
            # else every preview would look like a change of production
            raise InvalidNameError(
                f"preview_root of {self.name}", "lies inside its production_root.", "Keep previews beside production."
            )
        ways = reasons_against_ways(self.reached, has_ssh=self.ssh is not None)
        if reasons := (*ways, *reasons_against_fetching(self.reached, self.kit, canary=self.canary)):
            raise ConfigurationError(self.name, " ".join(reasons), "Correct it in the site registry.")
        if reasons := reasons_against_place(self.latitude, self.longitude, self.cpus):
            raise ConfigurationError(self.name, " ".join(reasons), "Correct it in the site registry.")

    @property
    def fetches(self) -> bool:
        """Tell whether nobody of us ever connects to it: it fetches by itself."""
        return self.reached is Reached.PULL

    @property
    def login(self) -> SshEndpoint:
        """How to reach it over SSH; `ConfigurationError` where nobody of us gets in."""
        if self.ssh is None or self.fetches:
            why = "fetches by itself: nobody of us connects to it."
            raise ConfigurationError(self.name, why, "Change `reached` in the site registry if that is wrong.")
        return self.ssh

    @property
    def contacts(self) -> tuple[str, ...]:
        """Each address of `contact`."""
        return addresses_of(self.contact)

    @property
    def place(self) -> tuple[float, float] | None:
        """Latitude and longitude, or None where they are not known."""
        return None if self.latitude is None or self.longitude is None else (self.latitude, self.longitude)

    @property
    def connection(self) -> str:
        """Id of the Airflow Connection that reaches this site."""
        return (self.ssh.connection if self.ssh else "") or f"ssh_site_{self.name}"


def verified(sites: Mapping[str, Site]) -> Mapping[str, bool]:
    """Site -> whether it verifies itself what it installs; empty where none does: nothing is to be told apart."""
    if not any(site.kit for site in sites.values()):
        return {}
    return {name: site.kit is not None for name, site in sites.items()}


def reasons_against_preview(
    site: Site, platforms: Iterable[Platform], level: PartnerLevel | None = None
) -> tuple[str, ...]:
    """Say why a site gets no preview of a client; no reasons means it does.

    Source: SD 4.1.1, "distributed to collaborating sites in production"; SD 4.1.2, 2: "a number of selected
    production sites (PP "Silver" partners)".

    Args:
        platforms: those that the patch was built for.
        level: what the site must have agreed to; None for a backward-compatible client.
    """
    reasons = []
    if level is not None and level not in site.partner_levels:
        reasons.append(f"{site.name} is no {level} partner.")
    if not site.accepts_previews:
        reasons.append(f"{site.name} has not opted in to previews.")
    if site.infrastructure is not Infrastructure.PRODUCTION:
        reasons.append(f"{site.name} is not a production site ({site.infrastructure}).")
    if site.certification is not CertificationStatus.CERTIFIED:
        reasons.append(f"{site.name} has the status {site.certification} in GOCDB, says the site registry.")
    if level is not None and site.fetches:
        reasons.append(f"{site.name} fetches by itself: only backward compatible clients can be fetched.")
    if site.platform not in (offered := sorted(platforms)):
        reasons.append(f"{site.name} runs {site.platform}; the patch is for {', '.join(map(str, offered))}.")
    return tuple(reasons)
