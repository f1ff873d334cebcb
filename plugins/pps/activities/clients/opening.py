"""The Release Manager moves a patch to preview: admission, register, plan (SD 4.1.1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pps.activities.clients.local_configuration import plan_of
from pps.activities.desk import Desk, Office
from pps.activities.packages.advice import note_advice
from pps.activities.packages.verdicts import reasons_against_bc, reasons_against_non_bc, required_variables
from pps.activities.ports.record import Facts
from pps.activities.sites.wishes import all_wishes
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.clients.batches import CANARY, BatchLimits, kept_others_waiting, plan_batches
from pps.domain.clients.takers import Offer, reason_to_wait, reasons_against_site
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.packages.tags import preview_tag
from pps.domain.people.overruling import overruling
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.sites.site import PartnerLevel, Site
from pps.domain.sites.wishes import NOTHING_WISHED, AllWishes


def open_client_rollout(
    office: Office, patch: Patch, *, tag_vo: str, run: str, path: RolloutPath = RolloutPath.BC_CLIENT
) -> str:
    """Admit a patch to the preview of a client and register its rollout; returns the rollout's name.

    Called again by the same `run` (a retry, a cleared task) it returns the same name and records
    nothing, even if the patch has moved on meanwhile.

    Raises:
        RefusedError: a precondition of SD 4.1.1 or 4.1.2 does not hold; nothing was recorded.
        AlreadyOpenError: another run has a rollout of this patch open.
    """
    name = office.facts.next_name(path, patch.number, run)
    payload: dict[str, Any] = {
        "path": path,
        "patch": patch.number,
        "title": patch.title,
        "metapackage": patch.metapackage,
        "version": patch.version,
        "platforms": [str(p) for p in patch.platforms],
        "tag": str(preview_tag(patch, tag_vo)),
        "tag_vo": tag_vo,
        "run": run,
    }
    if patch.test_cases:  # the bulletin is made from what is on record, and tells how to test it
        payload["test_cases"] = [{"name": c.name, "title": c.title, "how": c.how} for c in patch.test_cases]
    if path is RolloutPath.NON_BC_CLIENT:
        required = required_variables(office.facts.dossier(patch.number), patch)
        payload |= {"variables": list(variables_to_ask_for(patch, required)), "required": required}
    opening = Fact(name, FactKind.ROLLOUT_OPENED, "", "", office.now, office.actor, payload)
    already_ours = any(r.name == name and r.closed_at is None for r in office.facts.rollouts(open_only=True))
    if not already_ours and (reasons := reasons_against_opening(office.facts.dossier(patch.number), patch, path)):
        raise RefusedError(patch.subject, reasons, "Correct the patch in the tracker, then start again.")
    note_advice(office, patch)
    office.facts.open(path, patch.number, opening, run)
    office.facts.record(
        Fact(name, FactKind.PATCH_ADMITTED, "", "", office.now, office.actor, {"state": patch.state.value})
    )
    return name


def reasons_against_opening(dossier: Rollout, patch: Patch, path: RolloutPath) -> tuple[str, ...]:
    """Say why a patch may not be previewed on this path; no reasons means that it may.

    An overruled patch (SD 4.1.3) need not be "In certification": its preview follows production.
    """
    rule = reasons_against_non_bc if path is RolloutPath.NON_BC_CLIENT else reasons_against_bc
    judged = patch
    if overruling(dossier) is not None and patch.state not in (PatchState.REJECTED, PatchState.OBSOLETE):
        judged = replace(patch, state=PatchState.IN_CERTIFICATION, basic_certification_passed=True)
    return rule(dossier, judged)


def variables_to_ask_for(patch: Patch, required: Iterable[str]) -> tuple[str, ...]:
    """What each site's local configuration must set: named by the developers, or required by the packages (ADR 16).

    A name with `*` in it stands for several of a site's own; its people are told of it, and nobody can check it.
    """
    return tuple(dict.fromkeys((*patch.new_variables, *(name for name in required if "*" not in name))))


def level_for(path: RolloutPath) -> PartnerLevel | None:
    """What a site must have agreed to for such a preview: Silver partners take non-BC clients (SD 4.1.2, 2)."""
    return PartnerLevel.SILVER if path is RolloutPath.NON_BC_CLIENT else None


def batches_of(
    name: str,
    path: RolloutPath,
    takers: Sequence[Site],
    limits: BatchLimits,
    wishes: AllWishes = NOTHING_WISHED,
    last: Collection[str] = (),
) -> dict[str, list[str]]:
    """Deal the sites into batches as the path wants it: with canaries, or (SD 4.1.2) each at its own pace anyway."""
    if path is RolloutPath.NON_BC_CLIENT:
        return plan_of(takers, limits.sites_per_batch, last)
    closed = [site.name for site in takers if reason_to_wait(site, wishes)]
    return plan_batches(name, takers, limits, closed, last)


def who_comes_last(facts: Facts, limits: BatchLimits, now: datetime) -> frozenset[str]:
    """Sites that have kept others waiting, as far as it is remembered."""
    outcomes = (FactKind.PREVIEW_INSTALLED, FactKind.SITE_FAILED, FactKind.SITE_KEEPS_WAITING)
    return kept_others_waiting(facts.facts_of_kind(outcomes, now - limits.remembered_for), limits.slow_from)


def record_plan(desk: Desk, sites: Iterable[Site], limits: BatchLimits) -> tuple[str, ...]:
    """Agree on the batches once; returns their names, without the canaries.

    Sites that get no preview are left out with the reason on record. A plan that is on record
    stays, whatever has happened to the registry since: the nightly distribution brings the preview
    to sites that join later.

    Raises:
        RefusedError: no site can take it.
        NotYetAllowedError: none of those that can may be written at now, so none could be the first.
    """
    record = desk.rollout
    if not record.has(FactKind.PLAN_AGREED):
        sites, wishes = list(sites), all_wishes(desk.facts, desk.now)
        offer = Offer.of_patch(desk.patch, level_for(record.path))
        reasons = {site.name: reasons_against_site(site, offer, wishes) for site in sites}
        takers = [s for s in sites if not reasons[s.name]]
        last = who_comes_last(desk.facts, limits, desk.now)
        batches = batches_of(record.name, record.path, takers, limits, wishes, last)
        if takers and record.path is RolloutPath.BC_CLIENT and not batches[CANARY]:
            why = " ".join(["No site may be written at now.", *(reason_to_wait(s, wishes) for s in takers)])
            raise NotYetAllowedError(record.name, why, "Clear the task plan_batches when one of them is open.")
        if not any(batches.values()):
            raise RefusedError(
                record.name,
                ("No site can take this preview.", *(r for why in reasons.values() for r in why)),
                "Check the platforms of the patch against: pps sites list.",
            )
        left_out = [
            desk.fact(FactKind.SITE_LEFT_OUT, name, "plan", {"reason": " ".join(why)})
            for name, why in reasons.items()
            if why
        ]
        desk.record(desk.fact(FactKind.PLAN_AGREED, "", "", {"batches": batches}), *left_out)
        record = desk.look_again()
    plan = record.need(FactKind.PLAN_AGREED, "Plan the batches first.")
    return tuple(batch for batch in plan.payload["batches"] if batch != "canary")
