"""A site's wishes where we are about to write: what is not written now, and that it is on record (ADR 30)."""

from __future__ import annotations

import hashlib

from pps.activities.clients.opening import level_for
from pps.activities.desk import Desk
from pps.activities.sites.wishes import all_wishes
from pps.domain.clients.takers import Offer, reason_to_wait, wishes_against
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import Site
from pps.domain.sites.wishes import NO_WISHES

#: A site that takes no further part is left out from here on; where jobs can be sent to the preview, that stays said.
_UNANNOUNCED = (SiteState.INSTALLED, SiteState.CONFIGURED, SiteState.TESTED)
#: On this path a site's own people act beside us: nobody comes by later for one that was left.
_ONCE = RolloutPath.NON_BC_CLIENT


def put_off(desk: Desk, site: Site, *, tag: bool = False) -> str:
    """Say why we write nothing at a site at this moment; "" means that we may.

    On record, for those who look at the rollout: that it is left out, for as long as it wishes so; or, of a site that
    has nothing of it yet, that it was outside its window. What has been said once is not said again.

    Args:
        tag: only the tag is missing. On the path of SD 4.1.2 its own people have just acted, and wait for it: whatever
            its window, it is written.
    """
    wishes = all_wishes(desk.facts, desk.clock())
    if wishes.of(site.name) == NO_WISHES and not site.fetches:
        return ""
    record = desk.rollout
    state, holds = record.progress(site.name).state, record.holds_preview(site.name)
    has_nothing = state in (SiteState.PLANNED, SiteState.LEFT_OUT) and not holds
    if lasting := wishes_against(site, Offer.of(record, level_for(record.path)), wishes):
        why = " ".join(lasting)
        if state in _UNANNOUNCED:
            why = f"{why} What lies there is left as it is."
        if has_nothing or state in _UNANNOUNCED:
            _note(desk, FactKind.SITE_LEFT_OUT, site, why, why)
        return why
    once = record.path is _ONCE
    why = "" if tag and once else reason_to_wait(site, wishes)
    if why and has_nothing and once:
        why = f"{why} On this path each site is served once."
        _note(desk, FactKind.SITE_LEFT_OUT, site, why, why)
    elif why and has_nothing and not (site.fetches and record.progress(site.name).is_put_off):
        # of one that fetches more may be known already: since when it can
        _note(desk, FactKind.SITE_PUT_OFF, site, why, why if site.fetches else str(wishes.of(site.name).windows))
    return why


def _note(desk: Desk, kind: FactKind, site: Site, reason: str, wish: str) -> None:
    """Once for each wish, as long as nothing else happens there: a night that says the same is no news."""
    record = desk.rollout
    if record.progress(site.name).reason == reason:
        return
    which = record.occasion(kind, site.name, f"wish-{hashlib.sha256(wish.encode()).hexdigest()[:8]}")
    desk.record(desk.later().fact(kind, site.name, which, {"reason": reason}))
