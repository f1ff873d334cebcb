"""What a rollout would do, before anybody starts it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pps.activities.clients.opening import batches_of, level_for, reasons_against_opening, variables_to_ask_for
from pps.activities.packages.verdicts import required_variables
from pps.domain.clients.batches import CANARY, BatchLimits
from pps.domain.clients.takers import Offer, reason_to_wait, reasons_against_site
from pps.domain.packages.patch import Patch
from pps.domain.packages.tags import RunTimeEnvironmentTag, preview_tag
from pps.domain.record.rollouts import Rollout, RolloutPath, dossier_name
from pps.domain.sites.site import Site
from pps.domain.sites.wishes import NOTHING_WISHED, AllWishes


@dataclass(frozen=True, slots=True)
class Forecast:
    """A rollout that has not been started."""

    rollout: str
    """the name it would have"""
    patch: Patch
    reasons_against: tuple[str, ...]
    """why it would be refused; empty: it would be admitted"""
    tag: RunTimeEnvironmentTag
    batches: Mapping[str, tuple[str, ...]]
    """`canary`, `fleet-1`, ... -> sites"""
    left_out: Mapping[str, tuple[str, ...]]
    """site -> why it gets no preview"""
    put_off: Mapping[str, str]
    """site of the plan -> why nothing would be written there yet, if it began now"""
    variables: tuple[str, ...]
    """what each site's people would be asked to set (SD 4.1.2, 3)"""
    originators: tuple[str, ...]
    """addresses that would be invited to verify (SD 4.1.1, step 7)"""


def foresee(  # noqa: PLR0913 (all that the rollout itself would look at)
    rollout: str,
    patch: Patch,
    sites: Iterable[Site],
    *,
    limits: BatchLimits,
    tag_vo: str,
    open_as: str | None = None,
    dossier: Rollout | None = None,
    wishes: AllWishes = NOTHING_WISHED,
    path: RolloutPath = RolloutPath.BC_CLIENT,
    last: Collection[str] = (),
) -> Forecast:
    """Apply the rules of admission and the plan, as the rollout itself would; touches nothing.

    Args:
        open_as: name of the rollout of this patch that is open already, if there is one.
        dossier: of the patch, with its classification.
        wishes: of all sites, as they count now.
        last: sites that have kept others waiting (`opening.who_comes_last`).
    """
    known = tuple(sites)
    offer = Offer.of_patch(patch, level_for(path))
    why_not = {site.name: reasons_against_site(site, offer, wishes) for site in known}
    takers = [site for site in known if not why_not[site.name]]
    dossier = dossier or Rollout(dossier_name(patch.number))
    against = reasons_against_opening(dossier, patch, path)
    needed = (
        variables_to_ask_for(patch, required_variables(dossier, patch)) if path is RolloutPath.NON_BC_CLIENT else ()
    )
    if open_as:
        against = (f"It is being rolled out already, as {open_as}.", *against)
    batches = batches_of(rollout, path, takers, limits, wishes, last)
    waiting = {site.name: why for site in takers if (why := reason_to_wait(site, wishes))}
    if not takers:
        against = (*against, "No site of the registry takes it.")
    elif path is RolloutPath.BC_CLIENT and not batches[CANARY]:
        against = (*against, "No site may be written at now, so none can be the first.", *waiting.values())
    return Forecast(
        rollout=rollout,
        patch=patch,
        reasons_against=against,
        tag=preview_tag(patch, tag_vo),
        batches={name: tuple(names) for name, names in batches.items()},
        left_out={name: reasons for name, reasons in why_not.items() if reasons},
        put_off=waiting,
        variables=needed,
        originators=tuple(sorted({bug.originator for bug in patch.bugs})),
    )
