"""The Release Manager moves a patch to preview: admission, register, plan (SD 4.1.1)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pps.activities.classification import reasons_against_bc
from pps.activities.ports import Facts
from pps.domain.batches import BatchLimits, plan_batches
from pps.domain.errors import RefusedError
from pps.domain.facts import Fact, FactKind
from pps.domain.patches import Patch
from pps.domain.rollouts import Path, Rollout
from pps.domain.sites import Site, reasons_against_preview
from pps.domain.tags import preview_tag

BC_CLIENT = Path.BC_CLIENT


def open_bc_client_rollout(facts: Facts, patch: Patch, *, tag_vo: str, run: str, now: datetime, actor: str) -> str:
    """Admit a patch and register its rollout; returns the rollout's name.

    Called again by the same `run` (a retry, a cleared task) it returns the same name and records
    nothing, also when the patch has moved on meanwhile.

    Raises:
        RefusedError: a precondition of SD 4.1.1 does not hold; nothing was recorded.
        AlreadyOpenError: another run has a rollout of this patch open.
    """
    name = facts.next_name(BC_CLIENT, patch.number, run)
    opening = Fact(
        name,
        FactKind.ROLLOUT_OPENED,
        "",
        "",
        now,
        actor,
        {
            "path": BC_CLIENT,
            "patch": patch.number,
            "title": patch.title,
            "metapackage": patch.metapackage,
            "version": patch.version,
            "platforms": [str(p) for p in patch.platforms],
            "tag": str(preview_tag(patch, tag_vo)),
            "tag_vo": tag_vo,
            "run": run,
        },
    )
    already_ours = any(r.name == name and r.closed_at is None for r in facts.rollouts(open_only=True))
    if not already_ours and (reasons := reasons_against_bc(facts.dossier(patch.number), patch)):
        raise RefusedError(patch.subject, reasons, "Correct the patch in the tracker, then start again.")
    facts.open(BC_CLIENT, patch.number, opening, run)
    facts.record(Fact(name, FactKind.PATCH_ADMITTED, "", "", now, actor, {"state": patch.state.value}))
    return name


def record_plan(
    record: Rollout, facts: Facts, patch: Patch, sites: Iterable[Site], limits: BatchLimits, now: datetime, actor: str
) -> tuple[str, ...]:
    """Agree on canaries and batches once; returns the names of the fleet's batches.

    Sites that get no preview are left out with the reason on record. A plan that is on record
    stays, whatever has happened to the registry since: the nightly distribution brings the preview
    to sites that join later.
    """
    if not record.has(FactKind.PLAN_AGREED):
        sites = list(sites)
        reasons = {site.name: reasons_against_preview(site, patch.platforms) for site in sites}
        batches = plan_batches(record.name, [s for s in sites if not reasons[s.name]], limits)
        if not any(batches.values()):
            raise RefusedError(
                record.name,
                ("No site can take this preview.", *(r for why in reasons.values() for r in why)),
                "Check the platforms of the patch against: pps sites list.",
            )
        left_out = [
            Fact(record.name, FactKind.SITE_LEFT_OUT, name, "plan", now, actor, {"reason": " ".join(why)})
            for name, why in reasons.items()
            if why
        ]
        facts.record(Fact(record.name, FactKind.PLAN_AGREED, "", "", now, actor, {"batches": batches}), *left_out)
        record = facts.rollout(record.name)
    plan = record.need(FactKind.PLAN_AGREED, "Plan the batches first.")
    return tuple(batch for batch in plan.payload["batches"] if batch != "canary")
