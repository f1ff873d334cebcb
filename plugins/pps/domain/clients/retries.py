"""Which sites of a preview may be tried again, on somebody's word instead of the night's, and why not the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pps.domain.clients.batches import keeps_waiting
from pps.domain.clients.control import pause_of, said_of_pause
from pps.domain.clients.takers import Offer, reason_to_wait, reasons_against_site
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.domain.record.site_states import FAILURES, OFFERED, SiteProgress, SiteState
from pps.domain.sites.site import PartnerLevel, Site
from pps.domain.sites.wishes import NOTHING_WISHED, AllWishes

#: What is tried again where nobody names sites.
_HAVE_FAILED = (*FAILURES, SiteState.LOST)


@dataclass(frozen=True, slots=True)
class Retry:
    """What another try would do."""

    sites: tuple[SiteProgress, ...] = ()
    """where it goes, each with what stands against it now"""
    left_alone: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """failed sites that it does not go to, with the reasons"""
    reasons_against: tuple[str, ...] = ()
    """why it goes nowhere; none means that it may begin"""


def retry_of(
    record: Rollout,
    registry: Mapping[str, Site],
    level: PartnerLevel | None,
    wanted: Collection[str] = (),
    wishes: AllWishes = NOTHING_WISHED,
) -> Retry:
    """What another try at these sites would do; nothing that the rules of a night forbid.

    Args:
        level: what a site must have agreed to, as `reasons_against_preview` has it.
        wanted: names of sites; none: all that have failed, or keep us waiting.
        wishes: of all sites, as they count now.
    """
    if reasons := _reasons_against_rollout(record):
        return Retry(reasons_against=reasons)
    offer = Offer.of(record, level)
    missing = (p.site for p in record.all_progress() if p.state in _HAVE_FAILED or keeps_waiting(p))
    names = tuple(dict.fromkeys(wanted)) or tuple(missing)
    against = {name: _reasons_against(record, name, registry.get(name), offer, wishes) for name in names}
    sites = tuple(record.progress(name) for name in names if not against[name])
    refused = {name: reasons for name, reasons in against.items() if reasons}
    if wanted and refused:
        return Retry(sites, {}, tuple(reason for reasons in refused.values() for reason in reasons))
    if not names:
        return Retry(reasons_against=("No site of it has failed.",))
    if not sites:
        why = tuple(reason for reasons in refused.values() for reason in reasons)
        return Retry((), refused, ("None of its failed sites may be tried again.", *why))
    return Retry(sites, refused)


def _reasons_against_rollout(record: Rollout) -> tuple[str, ...]:
    """The rules of the night (`Rollout.is_open_preview`), each as a sentence."""
    if record.path not in PREVIEWS:
        return (f"{record.name} takes the path {record.path.value}: it has brought no preview to sites.",)
    if asked := record.the(FactKind.WITHDRAWAL_ASKED):
        return (f"Its preview was withdrawn. {asked.payload['reason']}",)
    if stopped := record.the(FactKind.ROLLOUT_STOPPED):
        why = " ".join(["It was stopped.", *stopped.payload["reasons"]])
        return (f"{why} Start a new rollout of the patch: sites that have the preview already cost one look.",)
    if closed := record.the(FactKind.ROLLOUT_CLOSED):
        outcome = closed.payload.get("outcome", "ended")
        return (f"It has ended ({outcome}), so its preview goes to no further site.",)
    if pause := pause_of(record):
        return (said_of_pause(pause),)
    under_way = "Its own distribution is under way still. Sites can be tried again when the VOs have been given a date."
    return () if record.is_open_preview else (under_way,)


def _reasons_against(record: Rollout, name: str, site: Site | None, offer: Offer, wishes: AllWishes) -> tuple[str, ...]:
    if site is None:
        return (f"{name} is not in the site registry.",)
    progress = record.progress(name)
    if progress.state is SiteState.LEFT_OUT:
        return (f"{name} is left out. {progress.reason}".strip(),)
    if name not in record.reached_sites:
        return (f"{name} is not in its plan. A site that is new gets the preview from the nightly distribution.",)
    if progress.state in OFFERED:
        return (f"{name} has the preview, and it is {progress.state.value}: there is nothing to try again.",)
    if not record.may_test(name):
        return (f"{name} waits for its own people, who have not configured the client yet.",)
    return reasons_against_site(site, offer, wishes) or tuple(filter(None, (reason_to_wait(site, wishes),)))
