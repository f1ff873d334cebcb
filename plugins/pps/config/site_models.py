"""The shape of config/sites.yaml: the registry."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pps.config.base_models import Addresses, Host, Model, Name, PlatformName, SitePath, SubClusterId
from pps.domain.sites.place import reason_against, reason_against_half_a_place
from pps.domain.sites.site import (
    CertificationStatus,
    Infrastructure,
    PartnerLevel,
    Platform,
    ProductionCheck,
    Reached,
    Scheme,
    Site,
    SiteService,
    SshEndpoint,
    reasons_against_fetching,
    reasons_against_ways,
)


@cache
def _timezones() -> frozenset[str]:
    # Python walks through the whole time zone database for it, 4 ms each time, and a registry has hundreds of sites
    return frozenset(available_timezones())


def _known_timezone(name: str) -> str:
    if name not in _timezones():
        raise ValueError("is not a time zone; take a name like Europe/Rome")
    return name


# Rust's `$` is the very end of the text; no newline slips through.
HostKey = Annotated[
    str, Field(pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]{40,1200}={0,3}$")
]


def _as_the_domain_has(key: str) -> BeforeValidator:
    """Before pydantic, for which "43.1" and `yes` are numbers, too."""

    def judge(value: object) -> object:
        if reason := reason_against(key, value):
            raise ValueError(reason)
        return value

    return BeforeValidator(judge)


class SshModel(Model):
    """How to reach a site."""

    host: Host
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: Name
    host_key: HostKey
    connection: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = ""


class ServiceModel(Model):
    """A grid service of a site (GOCDB's SERVICE_TYPE, HOSTNAME, IN_PRODUCTION)."""

    type: Name
    host: Host
    in_production: bool = True


class SiteModel(Model):
    """One site of sites.yaml."""

    name: Name
    roc: Name
    platform: PlatformName
    reached: Reached = Reached.SSH
    ssh: Annotated[SshModel | None, Field(validate_default=True)] = None
    preview_root: SitePath
    production_root: SitePath
    profile_d: SitePath
    tag_dir: SitePath
    subcluster: SubClusterId
    contact: Addresses
    infrastructure: Infrastructure = Infrastructure.PRODUCTION
    certification: CertificationStatus = CertificationStatus.CERTIFIED
    accepts_previews: bool = True
    canary: bool = False
    partner_levels: tuple[PartnerLevel, ...] = ()
    timezone: Annotated[str, AfterValidator(_known_timezone)] = "UTC"
    administrators: tuple[Name, ...] = ()
    """User names in Airflow of those who answer for the site."""
    services: tuple[ServiceModel, ...] = ()
    latitude: Annotated[float, _as_the_domain_has("latitude")] | None = None
    longitude: Annotated[float, _as_the_domain_has("longitude")] | None = None
    cpus: Annotated[int, _as_the_domain_has("cpus")] | None = None
    production_check: ProductionCheck = ProductionCheck.NAMES
    kit: Scheme | None = None
    token: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @field_validator("ssh")
    @classmethod
    def _some_way_in(cls, ssh: SshModel | None, known: ValidationInfo) -> SshModel | None:
        if reasons := reasons_against_ways(known.data.get("reached", Reached.SSH), has_ssh=ssh is not None):
            raise ValueError(" ".join(reasons))
        return ssh

    @model_validator(mode="after")
    def _may_fetch(self) -> SiteModel:
        if reasons := reasons_against_fetching(self.reached, self.kit, canary=self.canary):
            raise ValueError(f"{self.name} {' '.join(reasons)}")
        return self

    @model_validator(mode="after")
    def _whole_place(self) -> SiteModel:
        if reason := reason_against_half_a_place(self.latitude, self.longitude):
            raise ValueError(reason)
        return self

    def to_domain(self, kit_wanted_from: datetime | None = None) -> Site:
        """The domain's site."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values["kit_wanted_from"] = kit_wanted_from
        values["platform"] = Platform.parse(self.platform)
        values["ssh"] = SshEndpoint(**self.ssh.model_dump()) if self.ssh else None
        values["partner_levels"] = frozenset(self.partner_levels)
        values["services"] = tuple(SiteService(**s.model_dump()) for s in self.services)
        return Site(**values)


class KitKeys(Model):
    """Keys that kits of one scheme believe (docs/keys.md); paths are relative to the folder of sites.yaml."""

    keys: Annotated[tuple[Path, ...], Field(min_length=1)]
    """`root.1`, `root.2`, ... in their order: a site that was asleep is sent those that it lacks"""
    current_key_file: Path
    """the private half of the online key: signs what is in force, nothing else"""


class SitesFile(Model):
    """sites.yaml: the registry."""

    ssh_key_file: Path | None = None
    """Private key with which all sites are reached, unless a site names a Connection of its own."""
    kits: dict[Scheme, KitKeys] = Field(default_factory=dict)
    """of sites that verify themselves what they install"""
    kits_wanted_from: AwareDatetime | None = None
    """since then a site without a kit gets no preview; what it has stays"""
    sites: tuple[SiteModel, ...]

    @model_validator(mode="after")
    def _each_kit_has_keys(self) -> SitesFile:
        if self.kits_wanted_from and not self.kits:
            raise ValueError("kits_wanted_from is set, and `kits` names no keys, so no site could have a kit")
        for site in self.sites:
            if site.kit is not None and site.kit not in self.kits:
                raise ValueError(f"{site.name} has a kit with scheme {site.kit}; `kits` names no keys for it")
        return self

    @model_validator(mode="after")
    def _each_site_once(self) -> SitesFile:
        names = [s.name.lower() for s in self.sites]
        if doubles := sorted({s.name for s in self.sites if names.count(s.name.lower()) > 1}):
            raise ValueError(f"sites listed twice: {', '.join(doubles)}")
        return self
