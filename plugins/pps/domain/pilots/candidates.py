"""Which sites could run a pilot, best first, and why (SD 4.1.3, 2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pps.domain.packages.patch import Patch
from pps.domain.sites.site import CertificationStatus, Infrastructure, PartnerLevel, Site

#: What counts for how much. A site's own promise comes first, then that it knows the service, then that it has time.
FOR_PARTNER, FOR_SERVICE, FOR_OPEN_PILOT = 4, 2, -1


@dataclass(frozen=True, slots=True)
class Load:
    """What else a site has to do, and has done."""

    open_pilots: int = 0
    credits: int = 0
    """for pilots, so far"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A site that could run the pilot."""

    site: str
    score: int
    reasons: tuple[str, ...]
    credits: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """All sites: candidates with the best first, and the others with what is against them."""

    candidates: tuple[Candidate, ...]
    excluded: Mapping[str, tuple[str, ...]]


def reasons_against_candidate(
    site: Site,
    patch: Patch,
    level: PartnerLevel,
    *,
    volunteers: Collection[str] = (),
    in_downtime: Collection[str] = (),
    load: Load = Load(),
    open_pilots_at_most: int,
) -> tuple[str, ...]:
    """Say why a site cannot run a pilot; no reasons means that it can.

    Source: SD 4.1: partners express "their potential interest in the pilot activities in advance"; SD 4.1.3: "a number
    of selected partner sites"; "identify suitable candidates sites among the Gold Sites (or volunteers)".
    """
    reasons = []
    if level not in site.partner_levels and site.name not in volunteers:
        reasons.append(f"{site.name} is no {level} partner, and has not volunteered.")
    if site.infrastructure is not Infrastructure.PRODUCTION:
        reasons.append(f"{site.name} is not a production site ({site.infrastructure}).")
    if site.certification is not CertificationStatus.CERTIFIED:
        reasons.append(f"{site.name} is {site.certification.lower()} in the site registry.")
    if site.platform not in patch.platforms:
        reasons.append(f"{site.name} runs {site.platform}; the patch is for {', '.join(map(str, patch.platforms))}.")
    if site.name in in_downtime:
        reasons.append(f"{site.name} is in downtime.")
    if load.open_pilots >= open_pilots_at_most:
        reasons.append(
            f"{site.name} runs {load.open_pilots} pilots already; {open_pilots_at_most} at most are allowed."
        )
    return tuple(reasons)


def rank(
    sites: Iterable[Site],
    patch: Patch,
    level: PartnerLevel,
    *,
    volunteers: Collection[str] = (),
    in_downtime: Collection[str] = (),
    loads: Mapping[str, Load],
    open_pilots_at_most: int,
) -> Ranking:
    """Rank the sites; among equals, the one that has done less for pilots so far comes first, then by name.

    Args:
        volunteers: names of sites that are not partners of this level, but want to run this pilot.
        in_downtime: names of sites.
    """
    candidates, excluded = [], {}
    for site in sites:
        load = loads.get(site.name, Load())
        against = reasons_against_candidate(
            site,
            patch,
            level,
            volunteers=volunteers,
            in_downtime=in_downtime,
            load=load,
            open_pilots_at_most=open_pilots_at_most,
        )
        if against:
            excluded[site.name] = against
        else:
            candidates.append(_candidate(site, patch, level, load))
    ranked = sorted(candidates, key=lambda c: (-c.score, c.credits, c.site))
    return Ranking(tuple(ranked), dict(sorted(excluded.items())))


def _candidate(site: Site, patch: Patch, level: PartnerLevel, load: Load) -> Candidate:
    score, reasons = 0, []
    if level in site.partner_levels:
        score += FOR_PARTNER
        reasons.append(f"It is a {level} partner, registered for such pilots.")
    else:
        reasons.append(f"It has volunteered, and is no {level} partner.")
    if patch.service_type:
        hosts = [s.host for s in site.services if s.type == patch.service_type and s.in_production]
        score += FOR_SERVICE if hosts else 0
        reasons.append(
            f"It runs {patch.service_type} in production ({', '.join(hosts)})."
            if hosts
            else f"It lists no {patch.service_type} in production."
        )
    reasons.append(f"It runs {site.platform}.")
    if load.open_pilots:
        score += FOR_OPEN_PILOT * load.open_pilots
        reasons.append(f"It runs {load.open_pilots} other pilot{'s' if load.open_pilots > 1 else ''} now.")
    reasons.append(f"It has {load.credits} credits for pilots so far.")
    return Candidate(site.name, score, tuple(reasons), load.credits)
