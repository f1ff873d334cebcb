"""Which sites take a preview, and which of them now: the rules of SD, and what the sites themselves wish (ADR 30)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pps.domain.base.conditions import moment
from pps.domain.packages.patch import Patch
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import PartnerLevel, Platform, Site, reasons_against_preview
from pps.domain.sites.wishes import AllWishes


@dataclass(frozen=True, slots=True)
class Offer:
    """What sites are asked to take."""

    metapackage: str
    version: str
    platforms: tuple[Platform, ...]
    level: PartnerLevel | None = None
    """what a site must have agreed to; None for a backward-compatible client"""

    @classmethod
    def of_patch(cls, patch: Patch, level: PartnerLevel | None) -> Offer:
        """Before a rollout of it is opened, or while it is."""
        return cls(patch.metapackage, patch.version, tuple(patch.platforms), level)

    @classmethod
    def of(cls, record: Rollout, level: PartnerLevel | None) -> Offer:
        """As it was agreed when the rollout was opened."""
        opened = record.opened
        platforms = tuple(Platform.parse(p) for p in opened["platforms"])
        return cls(str(opened.get("metapackage", "")), str(opened.get("version", "")), platforms, level)


def reasons_against_site(site: Site, offer: Offer, wishes: AllWishes) -> tuple[str, ...]:
    """Say why a site gets none of it, for as long as nobody says otherwise; no reasons means that it does."""
    return (
        *reasons_against_preview(site, offer.platforms, offer.level),
        *_kit_wanted(site, wishes.at),
        *wishes_against(site, offer, wishes),
    )


def _kit_wanted(site: Site, at: datetime) -> tuple[str, ...]:
    since = site.kit_wanted_from
    if site.kit is not None or since is None or at < since:
        return ()
    return (f"{site.name} has no kit, and gets previews only with one since {moment(since)} (docs/kit.md).",)


def wishes_against(site: Site, offer: Offer, wishes: AllWishes) -> tuple[str, ...]:
    """The same, of what the site itself has said."""
    return wishes.of(site.name).reasons_against(site.name, offer.metapackage, offer.version)


def reason_to_wait(site: Site, wishes: AllWishes) -> str:
    """Say why we do not write at a site at this moment, and when we may; "" means that we may now."""
    if site.fetches:
        return f"{site.name} fetches by itself, and says so when it has it."
    return wishes.of(site.name).reason_to_wait(site.name, site.timezone, wishes.at)
