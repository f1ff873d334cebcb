"""A rollout: what its facts say has happened, and what may therefore happen next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pps.domain.base.errors import NotYetAllowedError
from pps.domain.base.names import checked_name
from pps.domain.packages.tags import RunTimeEnvironmentTag
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.site_states import STATE_AFTER, SiteProgress, SiteState, progress_at


class RolloutPath(StrEnum):
    """What a record of facts is about: a rollout path of SD 4, or the dossier of a patch. Stored for ever."""

    BC_CLIENT = "bc-client"
    """SD 4.1.1"""
    NON_BC_CLIENT = "non-bc-client"
    """SD 4.1.2"""
    PRE_DEPLOYMENT = "pre-deployment"
    """SD 4.2.2"""
    RELEASE_TEST = "release-test"
    """SD 4.2.3"""
    MINOR_PILOT = "minor-pilot"
    """SD 4.1.3, steps in green"""
    MAJOR_PILOT = "major-pilot"
    """SD 4.1.3, steps in red"""
    OVERRULE = "overrule"
    """a request to EMT and coordination to overrule the policies (SD 4.1.3)"""
    DOSSIER = "patch"
    """what is decided on a patch beside its rollouts: classification, joint decisions of EMT and coordination"""
    SAM = "sam"
    """tasks for the monitoring (SD 4.2.2); one record, of no patch"""
    FOLLOWING = "following"
    """who follows what; one record, of no patch, which nobody but its own people sees"""
    SITES = "sites"
    """what sites wish: windows, versions that they do not want; one record, of no patch"""
    RELEASES = "releases"
    """what providers have submitted, with what was found in it; one record, of no patch"""
    ADOPTERS = "adopters"
    """who tries releases early: slots that are offered, releases that are accepted, reports; one record, of no patch"""
    QUALITY = "quality"
    """targets of products, measures, reviews; one record, of no patch, for provider and release management"""
    STATEMENTS = "statements"
    """what two people sign for sites with a kit (docs/kit.md); one record, of no patch"""


#: Occasion of the facts that somebody was told of a withdrawal.
TOLD_OF_WITHDRAWAL = "withdrawn"

#: Records that are no rollouts: they are never closed, and stand in no list of rollouts.
NO_ROLLOUTS = (
    RolloutPath.DOSSIER.value,
    RolloutPath.SAM.value,
    RolloutPath.FOLLOWING.value,
    RolloutPath.SITES.value,
    RolloutPath.RELEASES.value,
    RolloutPath.ADOPTERS.value,
    RolloutPath.QUALITY.value,
    RolloutPath.STATEMENTS.value,
)

#: Paths that bring a preview of the client to sites.
PREVIEWS = (RolloutPath.BC_CLIENT, RolloutPath.NON_BC_CLIENT)

#: Paths that run a server in production at partner sites, on demand.
PILOTS = (RolloutPath.MINOR_PILOT, RolloutPath.MAJOR_PILOT)


def line_of(path: str) -> str:
    """Of the paths of one line, a patch has at most one open: a client is previewed in one way at a time."""
    return "preview" if path in PREVIEWS else "pilot" if path in PILOTS else path


def rollout_id(path: str, patch_number: int, attempt: int) -> str:
    """The name of a rollout: deterministic, so that starting twice cannot make two of them.

    `attempt` counts the rollouts of this patch that ended before, plus one.
    """
    return checked_name(f"{path}-{patch_number}-{attempt}", "rollout")


def dossier_name(patch_number: int) -> str:
    """The record of what is decided on a patch itself; it has one, and that is never closed."""
    return checked_name(f"{RolloutPath.DOSSIER}-{patch_number}", "dossier")


#: What plans a batch beside the agreed plan: a night, or somebody who wants sites to be tried again.
_LATER_PLANS = (FactKind.NIGHT_PLANNED, FactKind.RETRY_PLANNED)

#: A batch of one site, where each goes at its own pace (SD 4.1.2).
ONE_SITE = "at-"
#: The last batch of a plan: sites without which theirs have ended (SITE_KEEPS_WAITING).
STRAGGLERS = "stragglers"


def occasion_of(batch: str) -> str:
    """The occasion of facts about a batch's sites: its name; for each plan of a night, the night's name.

    So a site that fails in the second plan of a night as it did in the first has failed once.
    """
    return batch if batch.startswith(ONE_SITE) else batch.partition(".")[0]


@dataclass(frozen=True)
class Rollout:
    """A rollout as its facts tell it. `facts` are in the order in which they were recorded."""

    name: str
    facts: tuple[Fact, ...] = field(default_factory=tuple)

    def the(self, kind: FactKind) -> Fact | None:
        """The newest fact of this kind, or None."""
        return next((f for f in reversed(self.facts) if f.kind is kind), None)

    def has(self, kind: FactKind) -> bool:
        """Tell whether a fact of this kind is on record."""
        return self.the(kind) is not None

    def need(self, kind: FactKind, next_step: str) -> Fact:
        """The newest fact of this kind, or `NotYetAllowedError` that says what must happen first."""
        fact = self.the(kind)
        if fact is None:
            raise NotYetAllowedError(self.name, f"{kind.value!r} is not on record yet.", next_step)
        return fact

    @property
    def opened(self) -> Mapping[str, Any]:
        """What was agreed when it was opened: `path`, `patch`, `metapackage`, `version`, ..."""
        return self.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").payload

    @property
    def path(self) -> RolloutPath:
        """The path that it takes."""
        return RolloutPath(self.opened["path"])

    @property
    def patch_number(self) -> int:
        """Number of its patch in the tracker."""
        return int(self.opened["patch"])

    @property
    def tag(self) -> RunTimeEnvironmentTag:
        """The tag that announces this preview, as agreed when the rollout was opened."""
        opened = self.opened
        # a VO's name may hold dashes, so the tag alone does not tell where it ends
        return RunTimeEnvironmentTag(opened["tag_vo"], opened["tag"].removeprefix(f"VO-{opened['tag_vo']}-"))

    @property
    def planned_sites(self) -> tuple[str, ...]:
        """Every site of the agreed plan, canaries first; empty before the plan."""
        plan = self.the(FactKind.PLAN_AGREED)
        if plan is None:
            return ()
        return tuple(site for batch in plan.payload["batches"].values() for site in batch)

    def batch(self, name: str) -> tuple[str, ...]:
        """The sites of a batch: of the plan (`canary`, `fleet-1`, ..., `stragglers`), a night, a retry, `at-<site>`."""
        if name.startswith(ONE_SITE):
            return (name.removeprefix(ONE_SITE),)
        if name == STRAGGLERS:
            return tuple(dict.fromkeys(f.subject for f in self.facts if f.kind is FactKind.SITE_KEEPS_WAITING))
        for fact in self.facts:
            if fact.kind in _LATER_PLANS and fact.occasion == name:
                return tuple(fact.payload["sites"])
        plan = self.need(FactKind.PLAN_AGREED, "Plan the batches first.")
        if not self.is_planned(name):
            raise NotYetAllowedError(self.name, f"its plan has no batch {name!r}.", "Look at: pps rollout show.")
        return tuple(plan.payload["batches"][name])

    def is_planned(self, batch: str) -> bool:
        """Tell whether a batch is one of the agreed plan, not of a night or another try."""
        plan = self.the(FactKind.PLAN_AGREED)
        return plan is not None and batch in (*plan.payload["batches"], STRAGGLERS)

    def progress(self, site: str) -> SiteProgress:
        """Where the preview stands at one site."""
        facts = (f for f in reversed(self.facts) if f.subject == site and f.kind in STATE_AFTER)
        return progress_at(site, next(facts, None))

    def all_progress(self, sites: Iterable[str] | None = None) -> tuple[SiteProgress, ...]:
        """Where the preview stands, for every site of the plan and every other site with facts."""
        newest = {f.subject: f for f in self.facts if f.kind in STATE_AFTER}  # one pass, however many sites
        if sites is None:
            sites = dict.fromkeys((*self.planned_sites, *(f.subject for f in self.facts if f.kind in STATE_AFTER)))
        return tuple(progress_at(site, newest.get(site)) for site in sites)

    def occasion(self, kind: FactKind, subject: str, base: str) -> str:
        """The occasion under which to record that `kind` holds for a site now.

        While the site's newest fact is of this kind and of this `base`, it is the same occasion, and
        recording again counts once. If other things have happened to the site since, it is a
        new one: `base`, `base.2`, `base.3`. So a task that is cleared after a repair is on
        record, and a retry is not.
        """
        mine = [f for f in self.facts if f.subject == subject and f.kind in STATE_AFTER]
        same = [f for f in mine if f.kind is kind and (f.occasion == base or f.occasion.startswith(f"{base}."))]
        if same and mine[-1] is same[-1]:
            return same[-1].occasion
        return base if not same else f"{base}.{len(same) + 1}"

    def installation(self, site: str) -> Fact | None:
        """The fact that the preview was installed at the site; None if it never was, or is known to be lost since."""
        for fact in reversed(self.facts):
            if fact.subject == site and fact.kind in (FactKind.PREVIEW_LOST, FactKind.PREVIEW_REMOVED):
                return None
            if fact.subject == site and fact.kind is FactKind.PREVIEW_INSTALLED:
                return fact
        return None

    def holds_preview(self, site: str) -> bool:
        """Tell whether the preview was installed at the site, and is not known to be lost since."""
        return self.installation(site) is not None

    @property
    def reached_sites(self) -> tuple[str, ...]:
        """Every site that has the preview, had it, or may have it for all we know: of any plan, or with
        facts. A fact can be lost in a crash, so we do not ask whether there is one."""
        nights = (site for f in self.facts if f.kind in _LATER_PLANS for site in f.payload["sites"])
        seen = dict.fromkeys((*self.planned_sites, *nights))
        seen.update(dict.fromkeys(f.subject for f in self.facts if f.kind in STATE_AFTER))
        untouched = (FactKind.SITE_LEFT_OUT, FactKind.SITE_PUT_OFF)
        left_out = {f.subject for f in self.facts if f.kind is FactKind.SITE_LEFT_OUT}
        touched = {f.subject for f in self.facts if f.kind in STATE_AFTER and f.kind not in untouched}
        return tuple(site for site in seen if site not in left_out or site in touched)

    def announces(self, site: str) -> bool:
        """Tell whether the tag was published at the site, and is not known to be removed since."""
        published, ended = (FactKind.TAG_ADDED, FactKind.TAG_SEEN), (FactKind.TAG_REMOVED, FactKind.PREVIEW_REMOVED)
        about_tag = (f.kind for f in reversed(self.facts) if f.subject == site and f.kind in published + ended)
        return next(about_tag, None) in published

    def may_test(self, site: str) -> bool:
        """Tell whether the probes may run: for a non-backward-compatible client only after its local configuration.

        Source: SD 4.1.2, steps 3 and 4; a backward-compatible one has nothing to configure (SD 4.1.1).
        """
        opened = self.the(FactKind.ROLLOUT_OPENED)
        if opened is None or opened.payload.get("path") != RolloutPath.NON_BC_CLIENT:
            return True
        return any(f.kind is FactKind.SITE_CONFIGURED and f.subject == site for f in self.facts)

    @property
    def variables_to_set(self) -> tuple[str, ...]:
        """What the sites' local configuration must set (SD 4.1.2, 3); none for a backward-compatible client."""
        opened = self.the(FactKind.ROLLOUT_OPENED)
        return tuple(opened.payload.get("variables", ())) if opened else ()

    @property
    def required_variables(self) -> Mapping[str, str]:
        """Variables that the packages themselves require, whoever named them -> the file that says so (ADR 16)."""
        opened = self.the(FactKind.ROLLOUT_OPENED)
        return dict(opened.payload.get("required", {})) if opened else {}

    def may_tag(self, site: str) -> None:
        """Raise unless the probes of the preview that is installed now have passed (SD 4.1.1, 3 before 4)."""
        self.must_not_be_withdrawn()
        state = self.progress(site).state
        if state not in (SiteState.TESTED, SiteState.TAGGED, SiteState.AVAILABLE):
            raise NotYetAllowedError(
                f"{self.name} at {site}",
                f"the tag may be published only after the probes have passed; the site is {state.value!r}.",
                "Run the probes there first.",
            )

    @property
    def is_stopped(self) -> bool:
        """Tell whether the rollout was stopped (failure budget, gate, rejection, withdrawal)."""
        return self.has(FactKind.ROLLOUT_STOPPED)

    @property
    def is_closed(self) -> bool:
        """Tell whether the rollout has ended, one way or the other."""
        return self.has(FactKind.ROLLOUT_CLOSED)

    @property
    def is_withdrawn(self) -> bool:
        """Tell whether somebody asked to withdraw the preview: from then on it goes to no site, and leaves those it is
        at. An end is no protection: what has been released or stopped may still be at sites."""
        return self.has(FactKind.WITHDRAWAL_ASKED)

    @property
    def withdrawal_is_finished(self) -> bool:
        """Tell whether a withdrawal has come to its end: people were told, the rollout is closed. Single sites that
        could not be reached may still hold the preview."""
        told = any(f.kind is FactKind.TOLD and f.occasion == TOLD_OF_WITHDRAWAL for f in self.facts)
        return told and self.is_closed

    @property
    def is_over(self) -> bool:
        """Tell whether there is nothing left to wait for, nor to ask anybody: stopped, closed or withdrawn."""
        return self.is_stopped or self.is_closed or self.is_withdrawn

    def must_not_be_withdrawn(self) -> None:
        """Raise with the reason that was given for the withdrawal, if there was one."""
        asked = self.the(FactKind.WITHDRAWAL_ASKED)
        if asked is not None:
            raise NotYetAllowedError(
                self.name,
                f"Its preview was withdrawn. {asked.payload['reason']}",
                "Start a new rollout of the patch when the cause is removed.",
            )

    @property
    def is_open_preview(self) -> bool:
        """Tell whether the nightly distribution keeps this preview at its sites.

        From the end of its own distribution (the date for feedback is agreed right after it), so that a
        night does not run ahead of the canaries or beside the fleet, until it is stopped, closed or withdrawn. A
        pilot has such a date, too, but is no preview: what it tries is set up by a site's own people (SD 4.1.3, 7).
        """
        return self.path in PREVIEWS and self.has(FactKind.FEEDBACK_DATE_AGREED) and not self.is_over
