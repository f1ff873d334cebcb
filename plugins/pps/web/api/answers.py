"""What the API answers to anybody, as `openapi.json` describes it. Keys may be added, none is renamed.

Nothing is filtered by these: tests compare real answers with them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pps.domain.base.conditions import ConditionState
from pps.domain.packages.advice import Because, Risk, Status
from pps.domain.people.feedback import Opinion, Outcome
from pps.domain.people.verdicts import BugVerdict, CaseVerdict
from pps.domain.record.rollouts import RolloutPath
from pps.domain.record.site_states import SiteState


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Problem(Answer):
    """Why something was refused, or cannot be answered now, and what to do next: one text for people."""

    detail: str


class FeedbackState(Answer):
    """How the asking of the VOs stands."""

    until: datetime | None
    """the agreed date; none before it is agreed"""
    outcome: Outcome


class FollowUp(Answer):
    """What those in charge say to an answer."""

    text: str
    role: str
    at: datetime


class VoSays(Answer):
    """What a VO says: of the whole, and beside it of each bug and test case; its text is in the release notes."""

    vo: str
    at: datetime
    opinion: Opinion
    bugs: dict[str, BugVerdict]
    """by number; those that are not named were not tried"""
    test_cases: dict[str, CaseVerdict]
    words: str
    follow_ups: list[FollowUp]


class BugTally(Answer):
    """Which VOs say what of a bug."""

    bug: int
    fixed: list[str]
    not_fixed: list[str]
    not_tried: list[str]
    words: str


class CaseTally(Answer):
    """Which VOs say what of a test case."""

    test_case: str
    works: list[str]
    does_not_work: list[str]
    not_tried: list[str]
    words: str


class TakenBack(Answer):
    """A VO has withdrawn its answer."""

    vo: str
    at: datetime


class FeedbackNumbers(FeedbackState):
    """The same, with how many VOs have answered, and what they say."""

    invited: int
    answered: int
    vos: list[str]
    """those that were invited"""
    said: list[VoSays]
    """the answers that count"""
    bugs: list[BugTally]
    """those of which something was said"""
    test_cases: list[CaseTally]
    withdrawn: list[TakenBack]


class AtSite(Answer):
    """A preview at one site."""

    site: str
    state: SiteState
    since: datetime | None


class AtKnownSite(AtSite):
    """The same, with what the registry says of the site; nothing where it has left the registry."""

    roc: str | None
    """its region"""
    platform: str | None
    verified: bool | None
    """it installs only what two people have signed; null where no site has a kit, or it left the registry"""


class Rollout(Answer):
    """Where a rollout stands."""

    rollout: str
    stage: str
    opened_at: datetime | None
    tag: str | None
    jdl: str | None
    """the line with which a job asks for the preview"""
    feedback: FeedbackNumbers
    sites: list[AtSite]


class Overruled(Answer):
    """EMT and coordination have overruled the policies."""

    urgency: str
    reason: str
    by: list[str]
    """roles"""


class Closed(Answer):
    """A vulnerability that a patch closes."""

    cve: str
    severity: Risk | None
    """none: nobody has said"""


class Impact(Answer):
    """What its provider says of a vulnerability that a patch does not close."""

    cve: str
    status: Status
    because: Because | None
    """none unless it is not affected"""
    in_words: str


class ToTry(Answer):
    """A test case of the patch."""

    name: str
    title: str
    how: str
    """in Markdown; empty where the title says it"""


class Preview(Answer):
    """One preview in the bulletin."""

    rollout: str
    patch: int
    title: str
    metapackage: str
    version: str
    platforms: list[str]
    stage: str
    """starting, canaries, preview, stopped, released, not released, release test, ended, withdrawn"""
    opened_at: datetime
    closed_at: datetime | None
    updated_at: datetime | None
    path: str | None
    overruled: Overruled | None
    unsigned: str | None
    """why the provider's index was believed without a signature"""
    withdrawn: str | None
    """why it was withdrawn"""
    paused: str | None
    """why it is paused; none where it is not"""
    cves: list[Closed]
    """vulnerabilities that it closes"""
    tag: str | None
    jdl: str | None
    test_cases: list[ToTry]
    feedback: FeedbackNumbers
    release_notes: str | None
    """where they are, below /pps/"""
    remarks: list[str]
    counts: dict[str, int]
    """state -> number of sites"""


class PreviewAtSites(Preview):
    """The same, with its sites."""

    sites: list[AtKnownSite]


class Bulletin(Answer):
    """The release bulletin."""

    version: Literal[1]
    updated_at: datetime | None
    rollouts: list[PreviewAtSites]


class State(Answer):
    """Of one preview at one site."""

    state: SiteState
    since: datetime | None


class MapSite(Answer):
    """A site of the map."""

    site: str
    roc: str | None
    platform: str | None
    latitude: float | None
    longitude: float | None
    cpus: int | None
    verified: bool | None
    """it installs only what two people have signed; null where no site has a kit, or it left the registry"""
    fetches: bool
    """by itself: nobody of us connects to it"""
    states: dict[str, State]
    """rollout -> state"""


class Map(Answer):
    """The data set of the live map."""

    version: Literal[1]
    edition: str
    """changes whenever the content does"""
    at: datetime
    updated_at: datetime | None
    previews: list[Preview]
    sites: list[MapSite]


class Condition(Answer):
    """One of the conditions between a patch and production."""

    name: str
    source: str
    """section of the service description"""
    state: ConditionState
    sentence: str
    who: list[str]
    """who can act: roles, VOs, sites"""
    until: datetime | None
    """when it changes by itself at the latest"""
    rollout: str


class PatchRollout(Answer):
    """One of a patch's rollouts."""

    rollout: str
    path: RolloutPath
    what: str
    opened_at: datetime | None
    closed_at: datetime | None
    outcome: str | None
    counts: dict[str, int]
    feedback: FeedbackNumbers | None
    """none before VOs are asked"""
    release_notes: str | None
    bill: str | None
    """what was released, as CycloneDX"""
    licences: str | None
    """each licence, with the packages that name it"""
    verification: str | None
    """how it was verified, signed"""


class Event(Answer):
    """Something that has happened to a patch."""

    at: datetime
    what: str
    rollout: str
    is_decision: bool


class Why(Answer):
    """Why a patch is still where it is."""

    version: Literal[1]
    patch: int
    metapackage: str
    software_version: str
    title: str
    state: str | None
    """in the tracker; none while it does not answer"""
    tracker: str
    """what is to be said of the tracker"""
    tracker_page: str | None
    """where people read it in the tracker; none while that does not answer"""
    in_production: bool
    cves: list[Closed]
    """vulnerabilities that it closes"""
    vex: list[Impact]
    """what its provider says of others"""
    answer: str
    conditions: list[Condition]
    rollouts: list[PatchRollout]
    events: list[Event]


class FeedbackStanding(Answer):
    """An answer of a VO, as it is on record."""

    identity: str
    late: bool
    invited: bool
    replaced: bool
    withdrawn_at: datetime | None
    at: datetime


class FeedbackTaken(FeedbackStanding):
    """The same, for whoever has just given it."""

    change_token: str | None
    """with which it can be changed and withdrawn, where it came without an invitation; nobody else gets it"""
