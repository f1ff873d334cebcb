"""The shape of config/*.yaml. Strict: frozen, unknown keys forbidden, units in the keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from pps.activities.ports.mirrors import MirrorLimits
from pps.activities.ports.packages import TarballLimits
from pps.activities.ports.sites import SiteLimits
from pps.config.trust_models import PackageKeys
from pps.domain.base import durations
from pps.domain.base.errors import RolloutError
from pps.domain.base.names import (
    checked_address,
    checked_addresses,
    checked_host,
    checked_name,
    checked_site_path,
    checked_subcluster,
)
from pps.domain.clients.batches import BatchLimits
from pps.domain.people.feedback import FeedbackLimits
from pps.domain.people.roles import Role
from pps.domain.pilots.server_updates import MinorLimits
from pps.domain.pilots.success import Criteria
from pps.domain.sites.site import (
    CertificationStatus,
    Infrastructure,
    PartnerLevel,
    Platform,
    Site,
    SiteService,
    SshEndpoint,
)


def parse_duration(value: Any) -> timedelta:
    """Read `20s`, `90m`, `36h`, `14d`, `2w`; anything else is a `ValueError`."""
    return value if isinstance(value, timedelta) else durations.parse_duration(str(value))


def _by_the_domain(check: Callable[[str, str], str], what: str) -> AfterValidator:
    """Let the domain judge; as a ValueError its sentence joins pydantic's list instead of ending it."""

    def judge(value: str) -> str:
        try:
            return check(value, what)
        except RolloutError as error:
            raise ValueError(str(error)) from error

    return AfterValidator(judge)


@cache
def _timezones() -> frozenset[str]:
    # Python walks through the whole time zone database for it, 4 ms each time, and a registry has hundreds of sites
    return frozenset(available_timezones())


def _known_timezone(name: str) -> str:
    if name not in _timezones():
        raise ValueError("is not a time zone; take a name like Europe/Rome")
    return name


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, _by_the_domain(checked_name, "name")]
Address = Annotated[str, _by_the_domain(checked_address, "mail address")]
Addresses = Annotated[str, _by_the_domain(checked_addresses, "mail addresses")]
SubClusterId = Annotated[str, _by_the_domain(checked_subcluster, "SubCluster")]
SitePath = Annotated[str, _by_the_domain(checked_site_path, "path")]
PlatformName = Annotated[str, _by_the_domain(lambda v, _: str(Platform.parse(v)), "platform")]
Host = Annotated[str, _by_the_domain(checked_host, "host")]
# Rust's `$` is the very end of the text; no newline slips through.
HostKey = Annotated[
    str, Field(pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]{40,1200}={0,3}$")
]


class Model(BaseModel):
    """Base of all: what is not in the shape is an error, what was read is not changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    ssh: SshModel
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

    def to_domain(self) -> Site:
        """The domain's site."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values["platform"] = Platform.parse(self.platform)
        values["ssh"] = SshEndpoint(**self.ssh.model_dump())
        values["partner_levels"] = frozenset(self.partner_levels)
        values["services"] = tuple(SiteService(**s.model_dump()) for s in self.services)
        return Site(**values)


class SitesFile(Model):
    """sites.yaml: the registry."""

    ssh_key_file: Path | None = None
    """Private key with which all sites are reached, unless a site names a Connection of its own."""
    sites: tuple[SiteModel, ...]

    @model_validator(mode="after")
    def _each_site_once(self) -> SitesFile:
        names = [s.name.lower() for s in self.sites]
        if doubles := sorted({s.name for s in self.sites if names.count(s.name.lower()) > 1}):
            raise ValueError(f"sites listed twice: {', '.join(doubles)}")
        return self


class DistributionPolicy(Model):
    """policies.yaml, `distribution`."""

    canaries: PositiveInt
    sites_per_batch: PositiveInt
    sites_at_once_per_batch: PositiveInt
    canaries_healthy_at_least: Share
    failure_budget: Share
    failures_always_allowed: Annotated[int, Field(ge=0)]

    def to_domain(self) -> BatchLimits:
        """The domain's limits."""
        return BatchLimits(**{k: v for k, v in self.model_dump().items() if k != "sites_at_once_per_batch"})


class SiteLimitsPolicy(Model):
    """policies.yaml, `site_limits`: one conversation with a site."""

    connect_s: PositiveFloat
    silence_s: PositiveFloat
    total_s: PositiveFloat
    output_bytes: PositiveInt

    def to_port(self) -> SiteLimits:
        """The port's limits."""
        return SiteLimits(**self.model_dump())


class TaskLimitsPolicy(Model):
    """policies.yaml, `task_limits`: longest time of one try of a task, by what it does."""

    usual: Duration = timedelta(hours=1)
    at_sites: Duration = timedelta(hours=12)
    build: Duration = timedelta(hours=4)
    mirror: Duration = timedelta(hours=24)
    scenario: Duration = timedelta(hours=8)


class StrangersFilesPolicy(Model):
    """policies.yaml, `strangers_files`: what the child may take that reads one of a stranger's packages."""

    memory_bytes: Annotated[int, Field(ge=512 << 20)] = 1 << 30
    cpu_s: PositiveInt = 300
    wall_s: PositiveInt = 900
    file_bytes: PositiveInt = 8 << 30
    open_files: Annotated[int, Field(ge=16)] = 32


class TarballPolicy(Model):
    """policies.yaml, `tarball`: what a patch may unpack to."""

    unpacked_bytes_at_most: PositiveInt
    files_at_most: PositiveInt
    package_bytes_at_most: PositiveInt

    def to_port(self) -> TarballLimits:
        """The port's limits."""
        return TarballLimits(**self.model_dump())


_FEEDBACK = FeedbackLimits()


class FeedbackPolicy(Model):
    """policies.yaml, `feedback`. What a file of an earlier version has not is as in the file of this one."""

    open_for: Duration
    check_every: Duration
    late_for: Duration = _FEEDBACK.late_for
    answers_per_invitation: PositiveInt = _FEEDBACK.answers_per_invitation
    uninvited_at_most: PositiveInt = _FEEDBACK.uninvited_at_most
    uninvited_per_vo: PositiveInt = _FEEDBACK.uninvited_per_vo
    uninvited_per_network: PositiveInt = _FEEDBACK.uninvited_per_network

    def limits(self) -> FeedbackLimits:
        """As the activities take it."""
        return FeedbackLimits(**self.model_dump(exclude={"open_for", "check_every"}))


class CertificationPolicy(Model):
    """policies.yaml, `certification`."""

    check_every: Duration
    wait_at_most: Duration


class PublicationPolicy(Model):
    """policies.yaml, `publication`."""

    tag_vo: Name
    seen_within: Duration
    check_every: Duration


class QuestionsPolicy(Model):
    """policies.yaml, `questions`: to people."""

    remind_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...]
    """shares of the time given, ascending"""

    @model_validator(mode="after")
    def _ascending(self) -> QuestionsPolicy:
        if list(self.remind_at) != sorted(set(self.remind_at)):
            raise ValueError("remind_at must go up")
        return self


class LocalConfigurationPolicy(Model):
    """policies.yaml, `local_configuration` (SD 4.1.2, 3)."""

    answer_within: Duration
    announce_when_available: PositiveInt
    check_every: Duration


class DeploymentTestPolicy(Model):
    """policies.yaml, `deployment_test` (SD 4.2.2)."""

    step_within: Duration
    answer_within: Duration
    check_every: Duration
    wait_at_most: Duration


class ReleaseTestPolicy(Model):
    """policies.yaml, `release_test` (SD 4.2.3)."""

    answer_working_days: Annotated[float, Field(gt=0, le=30)]
    working_weekdays: Annotated[
        tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], Field(min_length=1)
    ]
    decide_within: Duration


class OverrulePolicy(Model):
    """policies.yaml, `overrule` (SD 4.1.3)."""

    answer_within: Duration


class MinorUpdatePolicy(Model):
    """policies.yaml, `minor_update` (SD 4.1.3, "Minor")."""

    major_bugs_below: PositiveInt
    normal_bugs_below: PositiveInt
    programming_ph_at_most: PositiveInt

    def to_domain(self) -> MinorLimits:
        """The domain's limits."""
        return MinorLimits(**self.model_dump())


class PilotPolicy(Model):
    """policies.yaml, `pilots` (SD 4.1.3)."""

    answer_within: Duration
    set_up_within: Duration
    minor_runs_for: Duration
    major_runs_for: Duration
    feedback_within: Duration
    probe_every: Duration
    incident_after: Duration
    roll_back_within: Duration
    check_every: Duration
    report_within: Duration
    wrap_up_within: Duration
    meeting_after: Duration
    meeting_lasts: Duration
    open_pilots_at_most: PositiveInt
    available_at_least: Share
    unknown_at_most: Share = 0.2

    @property
    def criteria(self) -> Criteria:
        """By which a pilot is judged that no user judges."""
        return Criteria(self.available_at_least, self.unknown_at_most)


class MirrorPolicy(Model):
    """policies.yaml, `mirror` (SD 4.1.3, 6)."""

    bytes_at_most: PositiveInt
    packages_at_most: PositiveInt

    def to_port(self) -> MirrorLimits:
        """The port's limits."""
        return MirrorLimits(**self.model_dump())


class SigningPolicy(Model):
    """policies.yaml, `signing`: of the indexes of our own repositories."""

    valid_for: Duration = timedelta(days=14)
    renew_when_left: Duration = timedelta(days=10)
    renew_ended_for: Duration = timedelta(days=90)
    key_ends_warning: Duration = timedelta(days=60)

    @model_validator(mode="after")
    def _in_time(self) -> SigningPolicy:
        if self.renew_when_left >= self.valid_for:
            raise ValueError("renew_when_left must be shorter than valid_for")
        return self


class WithdrawalPolicy(Model):
    """policies.yaml, `withdrawal`."""

    gone_within: Duration
    check_every: Duration
    retire_after: Duration


class Policies(Model):
    """policies.yaml: numbers, each with its source."""

    distribution: DistributionPolicy
    site_limits: SiteLimitsPolicy
    task_limits: TaskLimitsPolicy = TaskLimitsPolicy()
    strangers_files: StrangersFilesPolicy = StrangersFilesPolicy()
    tarball: TarballPolicy
    publication: PublicationPolicy
    feedback: FeedbackPolicy
    certification: CertificationPolicy
    questions: QuestionsPolicy
    local_configuration: LocalConfigurationPolicy
    deployment_test: DeploymentTestPolicy
    release_test: ReleaseTestPolicy
    overrule: OverrulePolicy
    withdrawal: WithdrawalPolicy
    minor_update: MinorUpdatePolicy
    pilots: PilotPolicy
    mirror: MirrorPolicy
    signing: SigningPolicy = SigningPolicy()


class VoModel(Model):
    """One VO of people.yaml."""

    name: Name
    contact: Address
    representatives: tuple[Name, ...] = ()
    """User names in Airflow that speak for it; none: only the coordination does."""


class RocModel(Model):
    """One ROC of people.yaml."""

    name: Name
    contact: Address


class PeopleFile(Model):
    """people.yaml: whom to tell, and who holds which role."""

    vos: tuple[VoModel, ...]
    rocs: tuple[RocModel, ...]
    roles: dict[Role, tuple[Name, ...]] = {}
    role_contacts: dict[Role, Address] = {}
    """Role -> where its people read that something waits for them."""


class ServiceFile(Model):
    """service.yaml: where the central services are. Secrets are Airflow connections, never here."""

    public_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    """Address under which people reach the bulletin and the feedback channel."""
    tracker_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    bdii_url: Annotated[str, Field(pattern=r"^ldaps?://[^\s]+$")]
    bdii_base: str = "o=grid"
    smtp_host: Host
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 25
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    mail_from: Address
    reply_to: Address
    artefact_store: str
    """ObjectStoragePath: file:///..., s3://..."""
    production_repository: str
    """ObjectStoragePath of the folder in which production packages and tarballs are published."""
    production_url: Annotated[str, Field(pattern=r"^(https?|file)://[^\s]+$")] | None = None
    """Address under which sites reach that folder; none: the folder's own."""
    release_test_url: Annotated[str, Field(pattern=r"^(https?|file)://[^\s]+$")] | None = None
    """Address under which sites reach `release-test/` of the production repository; none: the folder's own."""
    mirror_folder: str | None = None
    """ObjectStoragePath of the folder with mirrors of providers' repositories for pilots; none: no mirrors."""
    mirror_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None
    """Address under which sites reach that folder."""
    publication_folder: str
    """ObjectStoragePath of the folder with bulletin and release notes."""
    package_keys: PackageKeys = {}
    """Address -> who must have signed the repositories at and below it; others are refused."""
    plain_http_because: Annotated[str, Field(min_length=20, max_length=500)] | None = None
    """Why sites may reach us without TLS all the same; none: such an address is refused."""

    @model_validator(mode="after")
    def _sites_come_by_tls(self) -> ServiceFile:
        # the address of our keys is below public_url: whoever changes them on their way signs as we do
        if self.plain_http_because is None:
            for name in ("public_url", "production_url", "release_test_url", "mirror_url"):
                url = urlsplit(getattr(self, name) or "")
                if url.scheme == "http" and url.hostname not in _THIS_MACHINE:
                    raise ValueError(
                        f"{name} is a plain http address: anybody on the way can change what sites read there. Serve "
                        "it by https; if it has to be so, say why in plain_http_because (a sentence)"
                    )
        return self


_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
