"""The shape of config/policies.yaml: numbers, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from pps.activities.ports.mirrors import MirrorLimits
from pps.activities.ports.operations import Limits as HealthLimits
from pps.activities.ports.packages import TarballLimits
from pps.activities.ports.sites import SiteLimits
from pps.config.base_models import Duration, Model, Name, Share
from pps.domain.clients.batches import BatchLimits
from pps.domain.packages.advice import Risk
from pps.domain.people.feedback import FeedbackLimits, Terms
from pps.domain.pilots.server_updates import MinorLimits
from pps.domain.pilots.success import Criteria
from pps.domain.sites.places import Places

_NO_LIMITS = (
    "sites_at_once_per_batch",
    "sites_waiting_per_batch",
    "waits_below_bytes_per_s",
    "patience_with_late_sites",
    "check_every",
    "fetched_within",
)


class DistributionPolicy(Model):
    """policies.yaml, `distribution`."""

    canaries: PositiveInt
    sites_per_batch: PositiveInt
    sites_at_once_per_batch: PositiveInt
    canaries_healthy_at_least: Share
    failure_budget: Share
    failures_always_allowed: Annotated[int, Field(ge=0)]
    check_every: Duration = timedelta(seconds=30)
    """how often a batch that is held back by a pause asks whether it may begin"""
    sites_waiting_per_batch: Annotated[int, Field(ge=0)] = 80
    """sites that keep us waiting, beside those at once"""
    waits_below_bytes_per_s: PositiveInt = 65536
    patience_with_late_sites: Annotated[float, Field(ge=0, le=1)] = 0.05
    """share of a batch's time that it waits on when only sites are left that keep it waiting"""
    slow_from: Duration = timedelta(minutes=5)
    remembered_for: Duration = timedelta(days=30)
    fetched_within: Duration = timedelta(days=1)
    """a site that fetches by itself, and has not said for so long that it has what is offered, has failed"""

    def to_domain(self) -> BatchLimits:
        """The domain's limits."""
        return BatchLimits(**{k: v for k, v in self.model_dump().items() if k not in _NO_LIMITS})

    @property
    def places(self) -> Places:
        """How many sites of a batch are served at once."""
        return Places(self.sites_at_once_per_batch, self.sites_waiting_per_batch, self.waits_below_bytes_per_s)


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
    """policies.yaml, `task_limits`: how long one try of a task may take, by what it does."""

    usual: Duration = timedelta(hours=1)
    at_sites: Duration = timedelta(hours=12)
    build: Duration = timedelta(hours=4)
    mirror: Duration = timedelta(hours=24)
    scenario: Duration = timedelta(hours=8)


class StrangersFilesPolicy(Model):
    """policies.yaml, `strangers_files`: what the child process that reads a stranger's package may use."""

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


class StatementsPolicy(Model):
    """policies.yaml, `statements`: what sites with a kit want signed (docs/kit.md)."""

    sign_within: Annotated[Duration, Field(le=timedelta(days=30))] = timedelta(days=2)
    hold_for: Duration = timedelta(days=180)


_FEEDBACK = FeedbackLimits()


class FeedbackPolicy(Model):
    """policies.yaml, `feedback`. What a file of an earlier version lacks is as in the file of this one."""

    open_for: Duration
    check_every: Duration
    earliest: Duration | None = None
    enough: PositiveInt | None = None
    late_for: Duration = _FEEDBACK.late_for
    answers_per_invitation: PositiveInt = _FEEDBACK.answers_per_invitation
    uninvited_at_most: PositiveInt = _FEEDBACK.uninvited_at_most
    uninvited_per_vo: PositiveInt = _FEEDBACK.uninvited_per_vo
    uninvited_per_network: PositiveInt = _FEEDBACK.uninvited_per_network

    @model_validator(mode="after")
    def _in_time(self) -> FeedbackPolicy:
        if self.earliest is not None and self.earliest > self.open_for:
            raise ValueError("earliest must not be longer than open_for: the agreed date ends the asking in any case")
        return self

    def limits(self) -> FeedbackLimits:
        """As the activities take it."""
        return FeedbackLimits(**self.model_dump(exclude={"open_for", "check_every", "earliest", "enough"}))

    def terms(self) -> Terms:
        """When the asking may end before its agreed date."""
        return Terms(self.earliest, self.enough)


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
        """What a pilot is judged by if no user judges it."""
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


class SubmissionPolicy(Model):
    """policies.yaml, `submission`: of releases, by their providers."""

    looks_at_once: PositiveInt = 2
    looks_per_hour: PositiveInt = 30
    look_within: Duration = timedelta(hours=1)
    adopters_at_least: PositiveInt = 2
    upload_bytes_at_most: PositiveInt = 256 << 20
    uploads_per_day: PositiveInt = 200


class WatchPolicy(Model):
    """policies.yaml, `watch`: when the health page calls it trouble."""

    night_within: Duration = timedelta(hours=26)
    sent_within: Duration = timedelta(hours=2)
    waits_within: Duration = timedelta(days=1)
    backup_within: Duration = timedelta(hours=26)
    tracker_missed_for: Duration = timedelta(minutes=30)
    signatures_left: Duration = timedelta(days=7)

    def to_activity(self) -> HealthLimits:
        """The activity's limits."""
        return HealthLimits(**self.model_dump())


class ExposurePolicy(Model):
    """policies.yaml, `exposure`: how long a site may keep a vulnerability after its fix is in production."""

    critical: Duration = timedelta(days=7)
    high: Duration = timedelta(days=42)
    moderate: Duration = timedelta(days=120)
    low: Duration = timedelta(days=365)

    @property
    def deadlines(self) -> Mapping[Risk, timedelta]:
        """By how grave it is."""
        return {risk: getattr(self, risk.value) for risk in Risk}


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
    statements: StatementsPolicy = StatementsPolicy()
    deployment_test: DeploymentTestPolicy
    release_test: ReleaseTestPolicy
    overrule: OverrulePolicy
    withdrawal: WithdrawalPolicy
    minor_update: MinorUpdatePolicy
    pilots: PilotPolicy
    mirror: MirrorPolicy
    signing: SigningPolicy = SigningPolicy()
    submission: SubmissionPolicy = SubmissionPolicy()
    watch: WatchPolicy = WatchPolicy()
    exposure: ExposurePolicy = ExposurePolicy()
