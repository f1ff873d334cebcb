"""What the API answers to those who have signed in; as `answers`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pps.domain.people.effort import Grouping
from pps.domain.people.feedback import Opinion, Outcome
from pps.domain.people.verdicts import BugVerdict, CaseVerdict
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.web.api.answers import Answer, BugTally, CaseTally, FeedbackStanding, FollowUp
from pps.workflow.answers import Standing


class RegisterRow(Answer):
    """One row of the register."""

    rollout: str
    path: RolloutPath
    patch: int
    stage: str
    opened_at: datetime
    closed_at: datetime | None
    failed: str | None
    """why its run does not go on; null where it does, or is over"""


class Register(Answer):
    """A part of the register of rollouts, newest first."""

    total: int
    rollouts: list[RegisterRow]


class Fact(Answer):
    """One fact of a record; mail addresses are masked."""

    kind: FactKind
    subject: str
    occasion: str
    at: datetime
    actor: str
    payload: dict[str, Any]


class Facts(Answer):
    """A part of a record, in the order of recording."""

    total: int
    facts: list[Fact]


class MailRow(Answer):
    """A mail: whether it was sent; not what it says."""

    to: str
    subject: str
    sent_at: datetime | None
    error: str


class Outbox(Answer):
    """The mails of a rollout."""

    mails: list[MailRow]


class VoAnswer(FeedbackStanding):
    """An answer, with what it says."""

    vo: str
    opinion: Opinion
    text: str
    bugs: dict[str, BugVerdict]
    test_cases: dict[str, CaseVerdict]
    follow_ups: list[FollowUp]


class FeedbackList(Answer):
    """What was said of a preview."""

    rollout: str
    outcome: Outcome
    silent: list[str]
    """VOs that were invited, and have not answered"""
    answers: list[VoAnswer]
    bugs: list[BugTally]
    test_cases: list[CaseTally]


class SchemeStanding(Answer):
    """How a statement stands with one kind of signatures."""

    signed_as: list[str]
    missing: list[str]


class StatementForSigners(Answer):
    """A statement, and what it can be compared with."""

    what: str
    """product and platform"""
    document: str
    """the very bytes that are signed"""
    manifest: str
    """MANIFEST, whose digest stands in it; "" where the store has it no longer"""
    before: str
    """the statement that it follows; "" if it is the first"""
    manifest_before: str
    sites: list[str]
    """with a kit, of this platform"""
    schemes: dict[str, SchemeStanding]


class Statements(Answer):
    """What is signed for a rollout, for sites with a kit."""

    statements: list[StatementForSigners]


class Question(Answer):
    """A question that waits for an answer."""

    rollout: str
    step: str
    subject: str
    title: str
    due: datetime
    assigned_to: list[str]
    mine: bool
    """put to whoever asks"""
    link: str


class Questions(Answer):
    """All that wait, the most urgent first."""

    questions: list[Question]


class Verdict(Answer):
    """What has become of an answer."""

    standing: Standing
    reasons: list[str]


class LateAnswer(Answer):
    """A site's answer to a release test that came too late: it is kept, and decides nothing."""

    rollout: str
    site: str
    choice: str
    user: str
    late: bool
    counts: bool
    at: datetime


class Said(Answer):
    """What somebody has put on record."""

    rollout: str
    at: datetime
    user: str
    new: bool
    """it was not on record before"""


class SaidOfSite(Said):
    """The same, of a site."""

    site: str


class SignaturesTaken(Said):
    """Signatures that are on record."""

    signer: str
    role: str


class SaidForVo(Said):
    """The same, for a VO."""

    vo: str


class MeetingMoved(Said):
    """When the meeting begins now."""

    meeting: str
    starts: datetime


class Justified(Said):
    """Why software that is not certified is used."""

    reason: str


class FollowedUp(SaidForVo):
    """A follow-up to an answer of the VO."""

    text: str
    release_notes: str
    """whether they show it"""


class Controlled(Said):
    """A rollout was paused, let go on, or stopped."""

    what: FactKind
    reason: str


class Extended(Said):
    """VOs are asked for longer."""

    due: datetime
    was: datetime | None
    """null: the date had not been agreed on yet"""
    reason: str


class Settings(Answer):
    """How the Airflow that serves this is set, as far as rollouts depend on it."""

    executor: str
    secrets_backend: str
    worker_secrets_backend: str
    execution_api: str
    base_url: str
    runs_a_loop: int
    """how many DAG runs the scheduler looks at in each loop"""
    user: str
    """account of the api-server"""
    uid: int
    groups: list[int]
    at: datetime
    """by its clock"""


class CreditTotal(Answer):
    """The sum of a group."""

    key: str
    """"" for those that belong to none"""
    credits: int
    effort_ph: int
    """person hours"""
    times: int
    """how many activities were completed"""


class Credit(Answer):
    """One completed activity."""

    at: datetime
    activity: str
    site: str
    region: str
    person: str
    role: str
    rollout: str
    credits: int
    effort_ph: int


class Credits(Answer):
    """Who has done how much."""

    by: Grouping
    since: date | None
    until: date | None
    site: str | None
    person: str | None
    activity: str | None
    region: str | None
    totals: list[CreditTotal]
    credits: int
    effort_ph: int
    times: int
    each: tuple[Credit, ...] = ()
    """with `show=list`: the newest first"""


class Followed(Answer):
    """A thing that is followed."""

    what: str
    """e.g. `patch:4711`, `product:glite-WN`, `site:PIC`"""
    since: datetime


class Following(Answer):
    """What somebody follows."""

    user: str
    mails_to: str
    """"" where the account has no mail address: then there is the feed only"""
    feed: str
    following: list[Followed]
