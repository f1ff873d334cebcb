"""Sites that fetch by themselves: what lies there for them, and those that say nothing (docs/kit.md)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from pps.activities.clients import publication
from pps.activities.clients.distribution import STEP
from pps.activities.packages.embargo import public_record
from pps.activities.people import notification
from pps.activities.sites.wishes import all_wishes
from pps.activities.trust.pull import Shelf
from pps.domain.base.conditions import moment
from pps.domain.base.errors import ServiceError, SiteUnreachableError
from pps.domain.clients.takers import Offer, reasons_against_site
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import SiteProgress, SiteState
from pps.domain.record.statements import Offered
from pps.domain.sites.site import Site
from pps.domain.trust.statement import Action
from pps.workflow.alarm import raise_alarm
from pps.workflow.desk import FrontDesk, FrontOffice

log = logging.getLogger(__name__)

#: Occasion of the facts about sites that fetch; of those that they report it is another one.
_OCCASION = "fetching"


def lay_out(o: FrontOffice) -> tuple[str, ...] | None:
    """Write what is in force to the folder of service.yaml, and see to the sites that can fetch it.

    Returns the products that are offered, None without a folder.

    Raises:
        ServiceError: the folder does not work.
        ConfigurationError: the keys of sites.yaml cannot be used.
    """
    s = o.services
    if s.pull_folder is None:
        return None
    facts = public_record(o.facts, o.clock)
    shelf = Shelf(
        s.pull_folder, facts, s.artefacts, s.payload_cache, lambda name, error: raise_alarm(o.desk(name), error)
    )
    papers = s.public_papers(facts)
    offered = shelf.lay_out(papers)
    for scheme, signed in papers.items():
        for what, it in signed.in_force.items():
            sites = [site for site in o.config.sites.values() if site.fetches and site.kit is scheme]
            if sites and what in offered and it.statement.action is Action.INSTALL:
                _see_to_sites(o, it, sites)
    return offered


def _see_to_sites(o: FrontOffice, it: Offered, sites: Sequence[Site]) -> None:
    """Note since when each can fetch it, which show the tag, and which say nothing; who has failed gets the mail."""
    d = o.desk(it.rollout)
    offer, wishes = Offer.of(d.rollout, None), all_wishes(d.facts, d.now)
    mine = [
        site
        for site in sites
        if str(site.platform) == it.statement.platform and not reasons_against_site(site, offer, wishes)
    ]
    try:
        s = d.services
        publication.tags_seen(d, s.information_system, mine, d.rollout.tag, occasion=_OCCASION, matchmaker=s.matchmaker)
    except ServiceError as error:
        log.warning("No site is seen to announce %s now: %s", d.rollout.tag, error)
    waiting = [(site, p) for site in mine if (p := d.rollout.progress(site.name)).state is SiteState.PLANNED]
    for site, progress in waiting:
        _wait_for(d, site, progress)
    # each once for each time of trouble; the mails leave with the next that are sent
    notification.tell_failed_sites(d, {site.name: site for site in mine})


def _wait_for(d: FrontDesk, site: Site, progress: SiteProgress) -> None:
    noted, within = progress.fact, d.policies.distribution.fetched_within
    if noted is None or "offered" not in noted.payload:
        reason = f"{site.name} fetches by itself, can do so since {moment(d.now)}, and says so when it has it."
        which = d.rollout.occasion(FactKind.SITE_PUT_OFF, site.name, _OCCASION)
        d.record(d.fact(FactKind.SITE_PUT_OFF, site.name, which, {"reason": reason, "offered": True}))
        return
    if d.now > max(noted.at, _let_go_on(d) or noted.at) + within:
        heard = d.facts.reports().get(site.name)
        last = f"It reported last on {moment(heard.at)}." if heard else "It has never reported."
        reason = f"{site.name} fetches by itself, and has not said since {moment(noted.at)} that it has it. {last}"
        payload = {"reason": reason, "step": STEP, "error": SiteUnreachableError.__name__}
        which = d.rollout.occasion(FactKind.SITE_FAILED, site.name, _OCCASION)
        d.record(d.fact(FactKind.SITE_FAILED, site.name, which, payload))


def _let_go_on(d: FrontDesk) -> datetime | None:
    """While it was paused nothing was offered."""
    resumed = d.rollout.the(FactKind.ROLLOUT_RESUMED)
    return resumed.at if resumed else None
