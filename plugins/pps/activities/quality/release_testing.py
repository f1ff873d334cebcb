"""Release testing: an update is delivered to pools of production sites before it goes public (SD 4.2.3)."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pps.activities.desk import Desk, Office
from pps.activities.packages.advice import note_advice
from pps.activities.packages.fetching import keep_packages_once
from pps.activities.packages.production import Publisher, verified_copies
from pps.activities.ports.packages import Artefacts, PackageReader, PackageRepositories, TarballLimits
from pps.activities.ports.publication import PublicationFolder
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.packages.patch import Patch
from pps.domain.quality import release_tests as rules
from pps.domain.quality.pools import Pool, chosen_pools, reasons_against_taking_part
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.sites.site import Site

#: Below the production repository, beside what production clients read (`apt/`, `yum/`); also the suite for APT.
FOLDER = "release-test"


def open_release_test(
    office: Office,
    patch: Patch,
    pools: Iterable[Pool],
    sites: Mapping[str, Site],
    chosen: Sequence[str] | None,
    *,
    run: str,
) -> str:
    """Register the test of an update; returns its name. A retry of the same `run` returns the same.

    Args:
        chosen: names of pools; None: all of them.

    Raises:
        RefusedError: the patch is not certified, or is public; or no site would take part. Nothing was recorded.
        AlreadyOpenError: this patch is being tried already.
    """
    name = office.facts.next_name(RolloutPath.RELEASE_TEST, patch.number, run)
    already_ours = any(r.name == name and r.closed_at is None for r in office.facts.rollouts(open_only=True))
    wanted = chosen_pools(pools, chosen)
    reasons = reasons_against_opening(patch, wanted, sites)
    if reasons and not already_ours:
        raise RefusedError(patch.subject, reasons, "See: pps pools check, and pps patches show.")
    payload = {
        "path": RolloutPath.RELEASE_TEST,
        "patch": patch.number,
        "title": patch.title,
        "metapackage": patch.metapackage,
        "version": patch.version,
        "platforms": [str(p) for p in patch.platforms],
        "pools": [pool.name for pool in wanted],
        "run": run,
    }
    note_advice(office, patch)
    office.facts.open(
        RolloutPath.RELEASE_TEST,
        patch.number,
        Fact(name, FactKind.ROLLOUT_OPENED, "", "", office.now, office.actor, payload),
        run,
    )
    office.facts.record(
        Fact(name, FactKind.PATCH_ADMITTED, "", "", office.now, office.actor, {"state": patch.state.value})
    )
    return name


def reasons_against_opening(patch: Patch, pools: Iterable[Pool], sites: Mapping[str, Site]) -> tuple[str, ...]:
    """Say why a release test may not begin; no reasons means that it may."""
    reasons = rules.reasons_against_release_test(patch)
    taking_part, left_out = division(patch, pools, sites)
    if not any(taking_part.values()):
        why = (reason for reasons in left_out.values() for reason in reasons)
        return (*reasons, "No site can take part.", *why)
    return reasons


def division(
    patch: Patch, pools: Iterable[Pool], sites: Mapping[str, Site]
) -> tuple[dict[str, list[str]], dict[str, tuple[str, ...]]]:
    """The sites that take part, by pool, and those that do not, with the reasons."""
    taking_part: dict[str, list[str]] = {}
    left_out: dict[str, tuple[str, ...]] = {}
    for pool in pools:
        taking_part[pool.name] = []
        for name in pool.sites:
            reasons = reasons_against_taking_part(sites[name], patch)
            if reasons:
                left_out[name] = reasons
            else:
                taking_part[pool.name].append(name)
    return taking_part, left_out


def plan(desk: Desk, pools: Iterable[Pool], sites: Mapping[str, Site]) -> tuple[str, ...]:
    """Agree on the sites, once; returns them. Whoever is left out is on record with the reasons.

    Raises:
        RefusedError: nobody is left, because the registry has changed since the opening.
    """
    record = desk.rollout
    if not record.has(FactKind.PLAN_AGREED):
        taking_part, left_out = division(desk.patch, chosen_pools(pools, record.opened["pools"]), sites)
        if not any(taking_part.values()):
            why = (reason for reasons in left_out.values() for reason in reasons)
            raise RefusedError(
                record.name, ("No site can take part.", *why), "Correct the registry, then clear this task."
            )
        desk.record(
            desk.fact(FactKind.PLAN_AGREED, "", "", {"batches": taking_part}),
            *(
                desk.fact(FactKind.SITE_LEFT_OUT, name, "plan", {"reason": " ".join(reasons)})
                for name, reasons in left_out.items()
            ),
        )
        record = desk.look_again()
    return record.planned_sites


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where the sites of a release test, and no production client, get the update."""

    production: PublicationFolder
    """folder of the production repository"""
    publish_packages: Publisher
    base: str
    """address at which sites reach its folder `release-test`; "" for the folder's own"""


def deliver(
    desk: Desk,
    sites: Mapping[str, Site],
    outlet: Outlet,
    *,
    repositories: PackageRepositories,
    reader: PackageReader,
    artefacts: Artefacts,
    limits: TarballLimits,
    workdir: pathlib.Path,
) -> tuple[str, ...]:
    """Put the update where the sites of the plan, and no production client, get it; returns the sites.

    The packages are fetched once, checked against the provider's index; what was fetched then is what the sites
    try, and what may be released.
    """
    record = desk.rollout
    patch = desk.patch
    planned = record.planned_sites
    if not planned:
        raise NotYetAllowedError(record.name, "has no plan yet.", "Plan the sites first.")
    if record.is_closed:
        return planned
    kept = keep_packages_once(
        desk, patch, repositories=repositories, reader=reader, artefacts=artefacts, limits=limits, workdir=workdir
    )
    place = f"{FOLDER}/{record.name}/{patch.repository.kind.value}"
    with verified_copies(artefacts, [sha256 for _, sha256 in kept]) as files:
        outlet.publish_packages(place, replace(patch.repository, suite=FOLDER), files, desk.now)
    base = outlet.base
    address = (
        f"{base.rstrip('/')}/{record.name}/{patch.repository.kind.value}" if base else outlet.production.address(place)
    )
    desk.record(*(_delivered(desk, pool, name, sites, address) for pool, name in _planned(record)))
    return planned


def _planned(record: Rollout) -> list[tuple[str, str]]:
    batches = record.need(FactKind.PLAN_AGREED, "Plan the sites first.").payload["batches"]
    return [(pool, name) for pool, names in batches.items() for name in names]


def _delivered(desk: Desk, pool: str, name: str, sites: Mapping[str, Site], address: str) -> Fact:
    # the region of this moment: a site that moves later takes no credit along
    roc = sites[name].roc if name in sites else ""
    payload = {"pool": pool, "roc": roc, "repository": address}
    return desk.fact(FactKind.PATCH_DELIVERED, name, "", payload)


def delivery(record: Rollout, site: str) -> Fact | None:
    """The fact that the update was delivered to a site, or None."""
    delivered = (f for f in record.facts if f.kind is FactKind.PATCH_DELIVERED and f.subject == site)
    return next(delivered, None)
