"""The nightly distribution: look at every site, compare, act on the difference, record.

Looking again in the same night finds nothing to do, because it compares with the world, not with a
list of what was done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pps.activities.clients import publication
from pps.activities.clients.distribution import look
from pps.activities.clients.opening import level_for
from pps.activities.clients.putting_off import put_off
from pps.activities.desk import Office
from pps.activities.packages.tarball import tarball_on_record, whole_tarball_of
from pps.activities.ports.packages import Artefacts
from pps.activities.ports.services import InformationSystem
from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget
from pps.activities.sites.batch import Door
from pps.activities.sites.receiver import Holding
from pps.activities.sites.wishes import all_wishes
from pps.domain.base.errors import NotYetAllowedError, RefusedError, ServiceError, TamperedError
from pps.domain.clients.control import pause_of
from pps.domain.clients.retries import retry_of
from pps.domain.clients.takers import Offer, wishes_against
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.domain.record.site_states import SiteState
from pps.domain.sites.places import Places
from pps.domain.sites.site import Site, reasons_against_preview

log = logging.getLogger(__name__)

#: Of dags/window_distribution.py.
LOOKS_APART = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Night:
    """All that a look at the sites needs."""

    office: Office
    registry: Mapping[str, Site]
    targets: Callable[[Sequence[Site]], Mapping[str, SshTarget]]
    shell: SiteShell
    artefacts: Artefacts
    information_system: InformationSystem
    limits: SiteLimits
    places: Places
    alarm: Callable[[Rollout, TamperedError], None] = field(default=lambda record, error: log.error("%s", error))
    """hears of a tarball in the store that is not what is on record"""


async def plan_the_night(night: Night, *, windows_only: bool = False) -> list[dict[str, str]]:
    """Plan, for every open preview, the sites that need something; returns its (rollout, batch) pairs.

    A preview that is paused, or whose sites all have what they should have, is not in the list; nor is one whose
    tarball in the store is not what is on record: it goes to no site, and sites that have what is on record keep it.

    Args:
        windows_only: only sites whose windows are open now, that were put off, or whose window has opened since the
            look an hour ago: they have their night by day (ADR 30).
    """
    planned = []
    for row in night.office.facts.rollouts(open_only=True, paths=PREVIEWS):
        record = night.office.facts.rollout(row.name)
        if not record.is_open_preview or pause_of(record):
            continue
        only = _in_their_windows(night, record) if windows_only else None
        if only is not None and not only:
            continue
        try:
            tonight = f"night-{night.office.clock():%Y-%m-%d}"
            needing = await _sites_that_need_something(night, record, tonight, only)
        except TamperedError as error:  # nothing to compare its sites with; the other previews go on
            night.alarm(record, error)
            continue
        if await asyncio.to_thread(_may_be_sent, night, record) and needing:
            record = night.office.facts.rollout(row.name)
            batch = _name_of_the_night(record, needing, night.office.clock())
            plan = Fact(
                record.name,
                FactKind.NIGHT_PLANNED,
                "",
                batch,
                night.office.clock(),
                night.office.actor,
                {"sites": needing},
            )
            night.office.facts.record(plan)
            planned.append({"rollout": record.name, "batch": batch})
    return planned


def _in_their_windows(night: Night, record: Rollout) -> list[str]:
    """Sites that were put off and may be written at now, and those whose window has just opened."""
    now = night.office.clock()
    wishes, found = all_wishes(night.office.facts, now), []
    for site in night.registry.values():
        windows = wishes.of(site.name).windows
        if windows is None or not windows.is_open(now, site.timezone):
            continue
        if record.progress(site.name).is_put_off or not windows.is_open(now - LOOKS_APART, site.timezone):
            found.append(site.name)
    return found


def _may_be_sent(night: Night, record: Rollout) -> bool:
    """Tell whether the store holds, to the last byte, what is on record; somebody is told if not."""
    try:
        whole_tarball_of(record, night.artefacts)
    except TamperedError as error:
        night.alarm(record, error)
        return False
    except NotYetAllowedError as error:
        log.error("%s", error)  # its distribution says so, too; the other previews go on
    return True


async def plan_another_try(night: Night, rollout: str, wanted: Collection[str], run: str) -> list[dict[str, str]]:
    """Plan a try of single sites, on somebody's word instead of the night's; returns its (rollout, batch) pair.

    The rules are those of a night, and so is the look. Asked again by the same run, it returns the same.

    Args:
        wanted: names of sites; none: all that have failed.
        run: as facts name it.

    Raises:
        RefusedError: the rollout, or one of the sites, may not be tried again.
        TamperedError: the tarball in the store is not what is on record.
        NotYetAllowedError: it is not there at all.
    """
    desk = night.office.desk(rollout)
    tries = [f for f in desk.rollout.facts if f.kind is FactKind.RETRY_PLANNED]
    if planned := next((f for f in tries if f.payload["run"] == run), None):
        return [{"rollout": rollout, "batch": planned.occasion}]
    wishes = all_wishes(desk.facts, desk.now)
    chosen = retry_of(desk.rollout, night.registry, level_for(desk.rollout.path), wanted, wishes)
    if chosen.reasons_against:
        raise RefusedError(f"another try of {rollout}", chosen.reasons_against, f"Look at: pps rollout show {rollout}")
    names = [p.site for p in chosen.sites]
    try:
        await asyncio.to_thread(whole_tarball_of, desk.rollout, night.artefacts)
        await _sites_that_need_something(night, desk.rollout, f"retry-{len(tries) + 1}", names)
    except TamperedError as error:
        night.alarm(desk.rollout, error)
        raise
    desk, plan = night.office.desk(rollout), {"sites": names, "asked": sorted(wanted), "run": run}
    while True:
        number = sum(f.kind is FactKind.RETRY_PLANNED for f in desk.rollout.facts) + 1
        if desk.record(desk.fact(FactKind.RETRY_PLANNED, "", f"retry-{number}", plan)):
            return [{"rollout": rollout, "batch": f"retry-{number}"}]
        # somebody else has planned one in this instant, which is on the desk now


async def _sites_that_need_something(
    night: Night, record: Rollout, occasion: str, only: Collection[str] | None = None
) -> list[str]:
    """Look and compare. A site that lost its preview loses its tag at once, so that no job goes there meanwhile.

    What a site wishes is asked before anything new is brought to it; what lies there is looked at, and a tag goes,
    whatever it wishes.

    Args:
        only: names of sites, where not all are meant.
    """
    offer, wishes = Offer.of(record, level_for(record.path)), all_wishes(night.office.facts, night.office.clock())
    desk = night.office.desk(record)
    sites = [
        site
        for site in night.registry.values()
        # one that fetches by itself is not gone to; its reports say what it holds
        if not site.fetches
        # a site whose people have not configured the client yet waits for them, not for a night (SD 4.1.2, 3)
        and not reasons_against_preview(site, offer.platforms, offer.level)
        and record.may_test(site.name)
        if only is None or site.name in only
    ]
    left_alone = [s for s in sites if wishes_against(s, offer, wishes) and not record.holds_preview(s.name)]
    for site in left_alone:
        put_off(desk, site)
    sites = [s for s in sites if s not in left_alone]
    door = Door(night.targets(sites), night.shell, night.limits, night.places, occasion, night.office.actor)
    held = await look(tarball_on_record(record), sites, door)
    lost = [s for s in sites if record.holds_preview(s.name) and held[s.name][0] in (Holding.ABSENT, Holding.DAMAGED)]
    await _record_losses(night, record, lost, {s.name: held[s.name][1] for s in lost}, door)
    unpublished = _unpublished(night, record, sites)

    def needs_something(site: Site) -> bool:
        holding, state = held[site.name][0], record.progress(site.name).state
        if holding is Holding.UNREACHABLE:
            # One that has the preview keeps it; jobs there may go on. The others are tried.
            return state is not SiteState.AVAILABLE
        return holding is not Holding.INTACT or state is not SiteState.AVAILABLE or site.name in unpublished

    return sorted(site.name for site in sites if needs_something(site) and not put_off(desk, site))


async def _record_losses(
    night: Night,
    record: Rollout,
    lost: Sequence[Site],
    why: Mapping[str, str],
    door: Door,
) -> None:
    if not lost:
        return
    await publication.withdraw_tags(
        night.office.desk(record).later(),
        record.tag,
        lost,
        door,
        reason="The preview is no longer whole at the site.",
    )
    record = night.office.facts.rollout(record.name)
    for site in lost:
        which = record.occasion(FactKind.PREVIEW_LOST, site.name, door.occasion)
        payload = {"reason": why[site.name] or "The preview is gone."}
        night.office.facts.record(
            Fact(
                record.name, FactKind.PREVIEW_LOST, site.name, which, night.office.clock(), night.office.actor, payload
            )
        )


def _unpublished(night: Night, record: Rollout, sites: Sequence[Site]) -> frozenset[str]:
    """Sites that should show the tag and do not: somebody emptied a list, or a CE was set up anew."""
    available = [s for s in sites if record.progress(s.name).state is SiteState.AVAILABLE]
    if not available:
        return frozenset()
    try:
        seen = night.information_system.tags_of([s.subcluster for s in available])
    except ServiceError:
        return frozenset()  # nothing is known of any site then; the next night asks again
    tag = str(record.tag).lower()
    return frozenset(
        s.name for s in available if s.subcluster in seen and tag not in {t.lower() for t in seen[s.subcluster]}
    )


def _name_of_the_night(record: Rollout, needing: Sequence[str], now: datetime) -> str:
    """`night-2026-03-02`; a second, different plan of the same night gets a number after it."""
    base = f"night-{now:%Y-%m-%d}"
    tonight = [f for f in record.facts if f.kind is FactKind.NIGHT_PLANNED and f.occasion.split(".")[0] == base]
    if tonight and list(tonight[-1].payload["sites"]) == list(needing):
        return tonight[-1].occasion
    return base if not tonight else f"{base}.{len(tonight) + 1}"
