"""Withdrawal of a preview at any time, and its retirement some time after its rollout has ended (docs/adr/0011).

The order is what matters: first the tags, then the information system is watched until no job can be matched any
more, then the files, then people are told. Whatever cannot be done at a site now is done by a later night; until
then the site keeps its state, since that is what is true there.

A push that is under way when somebody asks (a task that cannot be stopped, a worker that was thought dead) leaves
nothing behind: it asks for the withdrawal before and after each site, the removal at a site waits for the
installer's lock there, and for a while every night looks again at all sites that a push may have reached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from pps.activities.clients import publication
from pps.activities.desk import Desk
from pps.activities.ports.record import Facts
from pps.activities.ports.services import InformationSystem
from pps.activities.sites.batch import Door, Scribe, serve_sites
from pps.activities.sites.receiver import Receiver
from pps.domain.base.errors import NotYetAllowedError, RefusedError, ServiceError, SiteBusyError, SiteError
from pps.domain.base.texts import as_sentence, reasons_against_reason
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.domain.sites.site import Site

log = logging.getLogger(__name__)
T = TypeVar("T")
Shared = Literal["tag", "tarball"]

_TAG_KINDS = (FactKind.TAG_ADDED, FactKind.TAG_SEEN, FactKind.TAG_REMOVED)
#: Seconds between tries at a site whose lock somebody holds: as long as a usual transfer takes, then the night's turn.
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


# --- asking ------------------------------------------------------------------------------------------------------


def reasons_against_withdrawal(desk: Desk, reason: str) -> tuple[str, ...]:
    """Say why the preview cannot be withdrawn; no reasons means that it can. One that has ended can be, too."""
    record = desk.rollout
    if record.path not in PREVIEWS:
        return (f"{record.name} takes the path {record.path.value}: it has brought no preview to sites.",)
    if record.is_withdrawn:
        return ()
    reasons = list(reasons_against_reason(reason))
    if record.is_closed:
        held = sites_with_preview(record)
        kept = kept_for(desk, "tarball")
        if not held:
            reasons.append("It has ended, and no site holds its preview any more.")
        elif all(site in kept for site in held):
            others = ", ".join(sorted(set(kept.values())))
            reasons.append(f"It has ended, and {others} offers the very same preview: withdraw that one.")
    return tuple(reasons)


def ask_for_withdrawal(desk: Desk, reason: str) -> Fact:
    """Put on record, once, that a preview is to be withdrawn, and why. From then on it goes to no further site.

    Returns:
        The request on record: the first one, whoever asks again and for whatever reason.

    Raises:
        RefusedError: it is no preview, no site holds it, or no proper reason is given.
    """
    record = desk.rollout
    if reasons := reasons_against_withdrawal(desk, reason):
        raise RefusedError(f"withdrawal of {record.name}", reasons, f"Look at: pps rollout show {record.name}")
    if not record.is_withdrawn:
        payload = {"reason": as_sentence(reason)}
        desk.record(desk.fact(FactKind.WITHDRAWAL_ASKED, "", "", payload))
        # read again: of two at once, one was first
        record = desk.look_again()
    return record.need(FactKind.WITHDRAWAL_ASKED, "Ask for the withdrawal first.")


# --- which sites -------------------------------------------------------------------------------------------------


def sites_with_preview(record: Rollout) -> tuple[str, ...]:
    """Sites that hold the preview, or announce its tag, as far as the facts know."""
    return tuple(s for s in record.reached_sites if record.holds_preview(s) or record.announces(s))


def sites_to_clear(record: Rollout, now: datetime, look_again_for: timedelta) -> tuple[str, ...]:
    """Sites that a night has to visit: after a fresh withdrawal, all that a late push may have reached since."""
    asked = record.the(FactKind.WITHDRAWAL_ASKED)
    if asked is not None and now <= asked.at + look_again_for:
        return record.reached_sites
    return sites_with_preview(record)


def kept_for(desk: Desk, what: Shared) -> Mapping[str, str]:
    """Sites where another rollout still offers the same tag, or the same tarball -> that rollout's name.

    A patch that was stopped and started again has the same ones: what belongs to an open rollout, or to a
    newer one that has ended, is not ours to take away. The newer one takes it away when its time comes.
    """
    mine = _shared(desk.rollout, what)
    kept: dict[str, str] = {}
    kind, key = (FactKind.ROLLOUT_OPENED, "tag") if what == "tag" else (FactKind.TARBALL_BUILT, "name")
    # only rollouts that had the same one are read, not every one that ever was
    alike = {fact.rollout for fact in desk.facts.with_payload(kind, key, [mine])} if mine else set()
    newer = True  # the register lists newest first
    for row in desk.facts.rollouts(paths=PREVIEWS) if alike - {desk.name} else ():
        if row.name == desk.name:
            newer = False
        elif row.name in alike and (newer or row.closed_at is None):
            other = desk.facts.rollout(row.name)
            if _shared(other, what) != mine or other.is_withdrawn:
                continue
            for site in other.reached_sites:
                if row.closed_at is None or other.holds_preview(site) or other.announces(site):
                    kept.setdefault(site, other.name)
    return kept


def _shared(record: Rollout, what: Shared) -> str:
    """The tag; or the tarball's name, "" before it is built."""
    if what == "tag":
        return str(record.opened["tag"])
    built = record.the(FactKind.TARBALL_BUILT)
    return str(built.payload["name"]) if built else ""


# --- the steps, in their order -----------------------------------------------------------------------------------


async def withdraw_tags(desk: Desk, sites: Sequence[Site], door: Door, *, reason: str) -> tuple[Fact, ...]:
    """Remove the tag at these sites, whatever their facts say; a site that cannot be reached keeps its state."""
    kept = kept_for(desk, "tag")
    return await publication.withdraw_tags(
        desk,
        desk.rollout.tag,
        [site for site in sites if site.name not in kept],
        door,
        reason=reason,
        failed=_keeps_its_state,
    )


def tags_are_gone(
    desk: Desk, information_system: InformationSystem, sites: Sequence[Site], *, gone_within: timedelta
) -> bool:
    """Look once whether any of these sites' SubClusters shows the tag; record TAGS_GONE when none does.

    Also when `gone_within` has passed since the last tag was removed: then with `still_shown`, the sites that were
    given up. An information system that does not answer shows, for all that we know, every tag.

    Raises:
        ServiceError: the information system does not answer, and there is time left.
    """
    record = desk.rollout
    kept = kept_for(desk, "tag")
    watched = {site.name: site.subcluster for site in sites if site.name not in kept}
    since = _since_tags_were_gone(record)
    removed = [f.at for f in since if f.kind is FactKind.TAG_REMOVED and f.subject in watched]
    if record.has(FactKind.TAGS_GONE) and not removed:
        return True
    asked = record.the(FactKind.WITHDRAWAL_ASKED) or record.the(FactKind.ROLLOUT_CLOSED)
    if asked is None:
        raise NotYetAllowedError(record.name, "nobody has asked to withdraw it.", "Ask for the withdrawal first.")
    too_late = desk.now > max([asked.at, *removed]) + gone_within
    payload: dict[str, Any] = {}
    try:
        shown = information_system.tags_of(watched.values()) if watched else {}
    except ServiceError as error:
        if not too_late:
            raise
        payload = {"still_shown": sorted(watched), "reason": f"Nobody can tell: {error}"}
    else:
        tag = str(record.tag).lower()
        still = sorted(n for n, sub in watched.items() if tag in {t.lower() for t in shown.get(sub, ())})
        if still and not too_late:
            return False
        payload = {"still_shown": still}
    occasion = desk.next_occasion(FactKind.TAGS_GONE)
    desk.record(desk.fact(FactKind.TAGS_GONE, "", occasion, payload))
    return True


async def remove_previews(
    desk: Desk,
    sites: Sequence[Site],
    door: Door,
    *,
    reason: str,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> tuple[Fact, ...]:
    """Remove the preview's files at these sites; what other previews share with it by hard links stays theirs.

    PREVIEW_REMOVED has the payload `reason`, `tarball`, `changed` (it was there), or `kept_for`: the rollout that
    still offers the same files. A site that still had the tag in its list loses that first, and its files in a
    later night, when the information system has followed. A site that cannot be reached, or stays busy, keeps
    its state.

    Raises:
        NotYetAllowedError: it is not on record that the tags are gone.
    """
    record = desk.rollout
    record.need(FactKind.TAGS_GONE, "Wait until the information system no longer shows the tags.")
    tarball = _shared(record, "tarball")
    if not tarball:
        return ()  # it was never built, so no site has it
    tags_kept, files_kept = kept_for(desk, "tag"), kept_for(desk, "tarball")
    fresh = {f.subject for f in _since_tags_were_gone(record) if f.kind is FactKind.TAG_REMOVED}
    scribe = Scribe(record, door.occasion, desk.now, door.actor)

    async def one(site: Site) -> Fact | None:
        held = record.holds_preview(site.name) or record.announces(site.name)
        payload: dict[str, Any] = {"reason": reason, "tarball": tarball}
        if site.name not in tags_kept:
            target = door.target(site)
            answer = await _patiently(
                lambda: publication.manage_tag(
                    "remove", site, record.tag, target=target, shell=door.shell, limits=door.limits
                ),
                pause,
            )
            gone = {"tag": str(record.tag), "reason": reason, "changed": answer.word == "removed"}
            if answer.word == "removed":
                return scribe.fact(FactKind.TAG_REMOVED, site, gone)
            if record.announces(site.name):
                desk.record(scribe.fact(FactKind.TAG_REMOVED, site, gone))
        if site.name in files_kept:
            payload["kept_for"] = files_kept[site.name]
            return scribe.fact(FactKind.PREVIEW_REMOVED, site, payload) if held else None
        if site.name in fresh:
            return None
        there = Receiver(door.shell, door.target(site), site, door.limits)
        was_there = await _patiently(lambda: there.remove(tarball), pause)
        if not (was_there or held):
            return None
        return scribe.fact(FactKind.PREVIEW_REMOVED, site, payload | {"changed": was_there})

    return await serve_sites(
        sites, one, scribe, desk, step="remove preview", places=door.places, failed=_keeps_its_state
    )


async def take_back(desk: Desk, sites: Sequence[Site], door: Door) -> tuple[Fact, ...]:
    """A push finds at its end that the preview was withdrawn meanwhile: clear its sites again.

    If the tags are not gone yet, the withdrawal still has its removal ahead of it, and comes by these sites itself.
    """
    if not desk.rollout.has(FactKind.TAGS_GONE):
        return ()
    asked = desk.rollout.need(FactKind.WITHDRAWAL_ASKED, "Ask for the withdrawal first.")
    return await remove_previews(desk, sites, door, reason=asked.payload["reason"])


def close_withdrawn(desk: Desk) -> None:
    """End a withdrawn rollout, if it has not ended before: the patch is free for another one."""
    record = desk.rollout
    asked = record.need(FactKind.WITHDRAWAL_ASKED, "Ask for the withdrawal first.")
    record.need(FactKind.TAGS_GONE, "Wait until the information system no longer shows the tags.")
    if record.is_closed:
        return
    if not record.is_stopped:
        payload = {"reasons": [f"Its preview was withdrawn. {asked.payload['reason']}"]}
        desk.record(desk.fact(FactKind.ROLLOUT_STOPPED, "", "", payload))
    desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", {"outcome": "withdrawn"}))


# --- the night ---------------------------------------------------------------------------------------------------


def retired_previews(facts: Facts, now: datetime, retire_after: timedelta) -> tuple[Rollout, ...]:
    """Previews that have to leave sites: of rollouts that ended more than `retire_after` ago, and withdrawn ones
    whose withdrawal is not finished, or so fresh that a late push may have undone it somewhere.

    One that has ended and is at no site any more is noted in the register, and read again only when something new is
    recorded about it: what a night costs does not grow with history.
    """
    found = []
    for row in facts.rollouts(paths=PREVIEWS, not_cleared=True):
        is_old = row.closed_at is not None and now > row.closed_at + retire_after
        if not is_old and not facts.has(row.name, FactKind.WITHDRAWAL_ASKED):
            continue
        record = facts.rollout(row.name)
        unfinished = record.is_withdrawn and not record.withdrawal_is_finished
        if unfinished or sites_to_clear(record, now, retire_after):
            found.append(record)
        elif is_old:
            facts.mark_cleared(record)
    return tuple(found)


def reason_for_removal(record: Rollout, retire_after: timedelta) -> str:
    """Why the preview leaves the sites: what was given when it was asked for, or that its time is over."""
    asked = record.the(FactKind.WITHDRAWAL_ASKED)
    if asked is not None:
        return str(asked.payload["reason"])
    days = retire_after / timedelta(days=1)
    return f"Retired: its rollout ended more than {days:g} day{'' if days == 1 else 's'} ago."


# --- at one site -------------------------------------------------------------------------------------------------


def _since_tags_were_gone(record: Rollout) -> Iterable[Fact]:
    """What happened to tags after the newest TAGS_GONE; all that ever happened to them, where there is none."""
    at = max((n for n, f in enumerate(record.facts) if f.kind is FactKind.TAGS_GONE), default=-1)
    return [f for f in record.facts[at + 1 :] if f.kind in _TAG_KINDS]


def _keeps_its_state(site: Site, error: SiteError) -> None:
    """Not SITE_FAILED: it would hide that the site still has what it has. A later night tries again."""
    log.warning("%s: not cleared; a later night tries again: %s", site.name, error)


async def _patiently(act: Callable[[], Awaitable[T]], pause: Callable[[float], Awaitable[None]]) -> T:
    """Do it; where somebody holds the site's lock, wait for it, but not for ever."""
    for seconds in _PAUSES_S:
        try:
            return await act()
        except SiteBusyError as error:
            log.info("%s; trying again in %g s", error, seconds)
        await pause(seconds)
    return await act()
