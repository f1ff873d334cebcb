"""Of `pps doctor`: sites that verify themselves what they install, and the keys that they believe (docs/kit.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from pps.activities.clients.reports import read_report
from pps.activities.ports.sites import SiteLimits, SshTarget
from pps.activities.sites.diagnosis import Finding, Health, failure
from pps.activities.trust import statements
from pps.activities.trust.kit_state import Heads, diagnose_kits, findings_at
from pps.activities.trust.pull import laid_out_at
from pps.cli.front import Front
from pps.domain.base.conditions import moment
from pps.domain.base.errors import RolloutError
from pps.domain.sites.site import Scheme, Site
from pps.domain.trust.keys import Root, reasons_against_successor
from pps.domain.trust.signed import Signed
from pps.services import Services

#: The DAG runs each hour.
_LAID_OUT_WITHIN = timedelta(hours=3)
#: So do sites that fetch.
_REPORTED_WITHIN = timedelta(hours=6)


def kit_findings(
    here: Front,
    with_kit: Sequence[tuple[Site, SshTarget]],
    limits: SiteLimits,
    at_once: int,
    closed: Sequence[Site] = (),
) -> Iterator[Finding]:
    """Ask each kit how it is, and whether what it followed last is what stands on record here.

    Args:
        closed: sites that nobody of us gets into; they are judged by what they have reported last.
    """
    services = here.services
    try:
        keys = services.keys_in_force
        for scheme in keys:
            yield _key_lists(f"kits, {scheme}", services.key_lists[scheme], services)
        heads = statements.heads(services.facts) if with_kit or closed else {}
    except RolloutError as error:
        yield failure("kits", error)
        return
    yield from _laid_out(services, here.now())
    yield from _reports(services, closed, here.now(), keys, heads)
    kits = diagnose_kits(with_kit, services.shell, limits, here.now(), at_once, keys=keys, heads=heads)
    yield from asyncio.run(kits)


def _reports(
    services: Services, sites: Sequence[Site], now: datetime, keys: Mapping[Scheme, Root], heads: Heads
) -> Iterator[Finding]:
    """Sites that nobody of us gets into, by what they have said last."""
    reports = services.facts.reports() if sites else {}
    step = "Ask its people for what cron says of pps-fetch there, and for pps-kit-check."
    for site in sites:
        said = reports.get(site.name)
        if said is None or now - said.at > _REPORTED_WITHIN:
            why = f"reported last on {moment(said.at)}." if said else "has never reported."
            yield Finding(site.name, Health.FAIL, why, step)
            continue
        try:
            state = read_report(site.name, said.text).state
        except RolloutError as error:
            yield failure(site.name, error)
            continue
        # its clock is judged against when it was read
        yield from findings_at(site, replace(state, clock=now + (state.clock - said.at)), keys, now, heads)


def _key_lists(about: str, lists: Sequence[Signed], services: Services) -> Finding:
    """Would a site that was asleep follow the lists one after the other? The first one it has from its kit."""
    for before, signed in pairwise(lists):
        holders, not_so = services.check_signatures(signed, Root.parse(before.document))
        if reasons := reasons_against_successor(holders):
            number = Root.parse(signed.document).number
            why = f"no site takes the list of keys number {number}: {' '.join((*reasons, *not_so))}"
            return Finding(about, Health.FAIL, why, "pps trust sign FILE --as NAME --key KEY (docs/keys.md).")
    signed_by = ", each list signed by two of the one before" if len(lists) > 1 else ""
    return Finding(about, Health.OK, f"keys number {len(lists)} are in force{signed_by}.")


def _laid_out(services: Services, now: datetime) -> Iterator[Finding]:
    """Is what sites fetch by themselves as new as the hourly run makes it?"""
    if (folder := services.pull_folder) is None:
        return
    for scheme in services.config.sites_file.kits:
        try:
            at = laid_out_at(folder, scheme)
        except RolloutError as error:
            yield failure(f"sites that fetch, {scheme}", error)
            continue
        if at is not None and now - at < _LAID_OUT_WITHIN:
            yield Finding(f"sites that fetch, {scheme}", Health.OK, f"laid out anew at {at:%Y-%m-%d %H:%M} UTC.")
            continue
        since = f"since {at:%Y-%m-%d %H:%M} UTC, and sites take nothing a week after that" if at else "so far"
        step = "Look at the task lay_out_for_sites_that_fetch of the DAG window_distribution; it must not be paused."
        yield Finding(f"sites that fetch, {scheme}", Health.FAIL, f"nothing was laid out {since}.", step)
