"""What the API answers on a site: for everybody, and for those who run it; as `answers`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pps.domain.record.site_states import SiteState
from pps.web.api.answers import Answer
from pps.web.sites import Do


class SiteWindow(Answer):
    """Days and hours in which we may write there, in the site's own time zone."""

    words: str
    days: list[str]
    begins: str
    ends: str
    """not later than `begins`: on the next day"""


class SiteWindows(Answer):
    """All windows of the site; it is open where one of them is."""

    words: str
    each: list[SiteWindow]
    open: bool
    opens: datetime | None
    """none while one is open"""
    closes: datetime | None
    """none while none is open, and where one always is"""


class SitePin(Answer):
    """A version that the site does not want."""

    what: str
    metapackage: str
    version: str
    """empty: none of it"""
    reason: str
    since: datetime


class SiteOptOut(Answer):
    """The site takes no previews now."""

    reason: str
    since: datetime


class SiteWishes(Answer):
    """What a site wishes now."""

    windows: SiteWindows | None
    """none: at any time"""
    pins: list[SitePin]
    opt_out: SiteOptOut | None


class SitePreview(Answer):
    """A preview at the site, for everybody."""

    rollout: str
    patch: int
    metapackage: str
    version: str
    stage: str
    tag: str | None
    state: SiteState
    since: datetime | None


class PublicSite(Answer):
    """A site for everybody; nothing of what the registry says where it has left that."""

    format: Literal[1]
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
    timezone: str | None
    previews: list[SitePreview]
    wishes: SiteWishes | None


class Receipt(Answer):
    """What was brought to the site."""

    tarball: str
    how: str
    bytes: int | None
    seconds: float | None
    digest: str
    """of its MANIFEST"""
    size: int | None


class Done(Answer):
    """One thing that was done at the site."""

    at: datetime
    what: str
    reason: str
    receipt: Receipt | None


class ProbeSaid(Answer):
    """What one probe said."""

    probe: str
    state: str
    text: str
    perfdata: str


class Probes(Answer):
    """What the probes said last."""

    at: datetime
    passed: bool
    results: list[ProbeSaid]


class WorkPreview(Answer):
    """A preview at the site, for those who run it."""

    rollout: str
    software: str
    stage: str
    state: SiteState
    since: datetime | None
    reason: str
    tag: str
    announced: bool
    """the tag is in the site's list"""
    batch: str
    """of the agreed plan, in words"""
    not_before: datetime | None
    """when more comes at the earliest; none: no date can be named"""
    because: list[str]
    done: list[Done]
    probes: Probes | None
    feedback_until: datetime | None
    leaves: datetime | None
    """in the night after this it leaves the site"""


class SiteQuestion(Answer):
    """A question that waits for the site."""

    rollout: str
    title: str
    due: datetime
    whose: list[str]
    link: str


class SiteDate(Answer):
    """A date that comes."""

    at: datetime
    what: str
    rollout: str


class ReportTaken(Answer):
    """A report of a site that fetches by itself was read."""

    site: str
    new: int
    """facts that were not on record yet"""


class SiteWork(Answer):
    """What was done at a site, what comes, and what it wishes."""

    format: Literal[1]
    site: str
    roc: str
    platform: str
    timezone: str
    accepts_previews: bool
    wishes: SiteWishes
    previews: list[WorkPreview]
    questions: list[SiteQuestion]
    dates: list[SiteDate]


class WishSaid(Answer):
    """What was said, or tried, and what follows from it."""

    site: str
    do: Do
    dry_run: bool
    new: bool
    """false: it stood already"""
    follows: list[str]
    timezone: str
    wishes: SiteWishes
