"""What the API answers of a pilot to those who have signed in; as `answers`."""

from __future__ import annotations

from datetime import datetime

from pps.activities.pilots.steps import StepState
from pps.domain.people.feedback import Opinion
from pps.domain.pilots.lanes import LaneState
from pps.domain.pilots.pilot import Stage
from pps.domain.pilots.server_updates import Compatibility
from pps.domain.pilots.success import JudgedBy
from pps.domain.sites.site import PartnerLevel
from pps.web.api.answers import Answer


class PilotRequest(Answer):
    """Who has asked for it."""

    by: str
    role: str
    vo: str
    """"" where no VO asks"""
    scope: str


class PilotAnswer(Answer):
    """How the request was answered."""

    decision: str
    reason: str
    user: str
    """"" where nobody has answered in time"""


class PilotAgreement(Answer):
    """What the kick-off meeting has agreed on."""

    set_up_until: datetime
    run_for_s: float
    """counted from the completed installation"""
    feedback_until: datetime
    vos: list[str]
    requirements: str


class PilotWho(Answer):
    """Somebody who has a part in a step."""

    role: str
    name: str
    """of a site or a VO"""
    user: str


class PilotStep(Answer):
    """One of the ten steps of SD 4.1.3."""

    number: int
    name: str
    state: StepState
    at: datetime | None
    """when it was done"""
    until: datetime | None
    """when the present one ends at the latest"""
    who: list[PilotWho]
    told: str
    """what came of it, or why it is skipped"""


class PilotMeeting(Answer):
    """A meeting to which people are invited."""

    meeting: str
    starts: datetime
    ends: datetime
    moved: bool


class PilotQuestion(Answer):
    """A question that waits for an answer."""

    who: str
    """a site or a role"""
    step: str
    what: str
    due: datetime
    assigned_to: list[str]
    link: str
    evidence: list[str]
    """what is known for its answer, in sentences"""


class PilotProbe(Answer):
    """What our probe says of a service."""

    state: LaneState
    since: datetime
    text: str


class PilotAtSite(Answer):
    """A pilot at one site."""

    site: str
    state: str
    since: datetime | None
    version: str
    endpoint: str
    probe: PilotProbe | None
    available: str | None
    """share of what was seen of the run in which the service was well, e.g. `96.4 %`"""
    availability: float | None
    not_judged: float | None
    """share of the run that nobody could judge: the probe did not know, or nobody looked"""
    note: str


class PilotVo(Answer):
    """A VO that has a part in it."""

    vo: str
    asked_for_it: bool
    interest: str
    committed: bool
    opinion: Opinion | None
    text: str


class PilotFeedback(Answer):
    """The committed VOs that have answered in time, and those that have not."""

    given: list[str]
    silent: list[str]


class PilotInterval(Answer):
    """A time in which the state of a service was the same."""

    begin: datetime
    end: datetime
    state: LaneState
    text: str


class PilotIncident(Answer):
    """An outage of which people were told."""

    began: datetime
    ended: datetime | None
    text: str


class PilotLane(Answer):
    """What was seen at one site, without a gap."""

    site: str
    intervals: list[PilotInterval]
    incidents: list[PilotIncident]


class PilotGraph(Answer):
    """What the probes have seen."""

    begin: datetime
    end: datetime
    seen_until: datetime
    lanes: list[PilotLane]


class PilotEntry(Answer):
    """One line of the journal."""

    at: datetime
    who: str
    user: str
    text: str


class PilotDocumentation(Answer):
    """What must be documented for the sites, and where it is."""

    found: dict[str, str]
    missing: list[str]


class PilotMirror(Answer):
    """The mirror from which sites install, or why there is none."""

    address: str | None
    digest: str | None
    packages: int | None
    bytes: int | None
    source: str | None
    skipped: str | None
    at: datetime


class PilotCredit(Answer):
    """What somebody has earned so far."""

    who: str
    role: str
    credits: int


class PilotAssessment(Answer):
    """What the wrap-up meeting is shown."""

    by: JudgedBy
    reasons_against: list[str]
    inconclusive: list[str]
    remarks: list[str]
    no_feedback: bool


class Pilot(Answer):
    """One round of a pilot, as its page shows it; mail addresses are masked."""

    version: int
    pilot: str
    patch: int
    stage: Stage
    next: str
    first_round: str
    round: int
    kind: str | None
    compatibility: Compatibility
    level: PartnerLevel
    reasons: list[str]
    justification: str | None
    """why software that is not certified is used"""
    asked_by: PilotRequest | None
    answer: PilotAnswer | None
    agreed: PilotAgreement | None
    running_since: datetime | None
    runs_until: datetime | None
    steps: list[PilotStep]
    meetings: list[PilotMeeting]
    questions: list[PilotQuestion]
    sites: list[PilotAtSite]
    interested: dict[str, str]
    """VO -> what it wants"""
    vos: list[PilotVo]
    feedback: PilotFeedback
    graph: PilotGraph | None
    """none before anybody has looked at a service"""
    journal: list[PilotEntry]
    documentation: PilotDocumentation
    reports: dict[str, str]
    """site -> address of its report"""
    missing_reports: list[str]
    release_notes: str | None
    mirror: PilotMirror | None
    credits: list[PilotCredit]
    assessment: PilotAssessment | None
    """none before the run has ended"""
    decision: str | None
    outcome: str | None
    because: list[str]
    next_round: str | None
