"""Pools of production sites that try updates before these go public, by region (SD 4.2.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pps.domain.base.errors import ConfigurationError
from pps.domain.packages.patch import Patch
from pps.domain.sites.site import CertificationStatus, Infrastructure, Site


@dataclass(frozen=True, slots=True)
class Pool:
    """Sites of one region that do release testing. A site is in one pool at most: it is asked once."""

    name: str
    roc: str
    sites: tuple[str, ...]
    services: tuple[str, ...] = ()
    """kinds of grid services to which its sites usually apply updates; a hint in the question, no rule"""


def contradictions(pools: Iterable[Pool], sites: Mapping[str, Site]) -> tuple[str, ...]:
    """Say what in the pools contradicts itself or the site registry; nothing means that they are sound.

    Source: SD 4.2.3: "Sites involved in release testing may be part of pools performing similar task at regional
    level."
    """
    pools = tuple(pools)
    reasons = [
        f"Pool {name} is listed {times} times." for name, times in Counter(p.name for p in pools).items() if times > 1
    ]
    home: dict[str, str] = {}
    for pool in pools:
        for name in pool.sites:
            if name in home:
                both = f"in two pools, {home[name]} and {pool.name}"
                reasons.append(f"{name} is {f'twice in pool {pool.name}' if home[name] == pool.name else both}.")
                continue
            home[name] = pool.name
            if name not in sites:
                reasons.append(f"{name} of pool {pool.name} is not in sites.yaml.")
            elif sites[name].roc != pool.roc:
                reasons.append(f"{name} belongs to ROC {sites[name].roc}, pool {pool.name} to {pool.roc}.")
    return tuple(reasons)


def checked_pools(pools: Iterable[Pool], found: tuple[str, ...]) -> tuple[Pool, ...]:
    """The pools, or `ConfigurationError` with every contradiction: a site could be asked twice, or by a wrong ROC."""
    if found:
        raise ConfigurationError("pools.yaml", " ".join(found[:20]), "Correct it; see: pps pools check.")
    return tuple(pools)


def chosen_pools(pools: Iterable[Pool], names: Iterable[str] | None) -> tuple[Pool, ...]:
    """The pools of these names, or all of them; `ConfigurationError` for one that is not declared."""
    known = {pool.name: pool for pool in pools}
    wanted = list(known) if names is None else list(dict.fromkeys(names))
    if unknown := sorted(set(wanted) - known.keys()):
        raise ConfigurationError(f"pool {', '.join(unknown)}", "is not in pools.yaml.", "See: pps pools list.")
    return tuple(known[name] for name in wanted)


def reasons_against_taking_part(site: Site, patch: Patch | None = None) -> tuple[str, ...]:
    """Say why a site of a pool does not get an update before it is public; no reasons means that it does.

    Source: SD 4.2.3: "delivered to a number of selected production sites".

    Args:
        patch: None leaves its platforms out of it.
    """
    reasons = []
    if site.infrastructure is not Infrastructure.PRODUCTION:
        reasons.append(f"{site.name} is not a production site ({site.infrastructure}).")
    if site.certification is not CertificationStatus.CERTIFIED:
        reasons.append(f"{site.name} is {site.certification.lower()} in the site registry.")
    if patch is not None and site.platform not in patch.platforms:
        offered = ", ".join(map(str, sorted(patch.platforms)))
        reasons.append(f"{site.name} runs {site.platform}; the patch is for {offered}.")
    return tuple(reasons)
