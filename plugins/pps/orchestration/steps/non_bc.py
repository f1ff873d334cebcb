"""Steps that only the non-backward-compatible client update has (SD 4.1.2)."""

from __future__ import annotations

from airflow.sdk import task

from pps.activities.clients import gates, local_configuration
from pps.domain.base.errors import RefusedError
from pps.orchestration.runtime import now, services


@task
def sites_to_configure(rollout: str) -> list[dict[str, str]]:
    """The sites that have the client now, each with its own batch; the others are on record with their reason."""
    with services() as s:
        record = s.facts.rollout(rollout)
        gates.must_go_on(record)
        sites = local_configuration.sites_to_configure(record)
        if not sites:
            failed = tuple(f"{p.site}: {p.reason or p.state}" for p in record.all_progress(record.planned_sites))
            raise RefusedError(rollout, ("No Silver partner has the client.", *failed), "Look at the sites' reasons.")
        return [{"site": site, "batch": local_configuration.batch_of(site)} for site in sites]


@task
def update_release_bulletin(rollout: str) -> None:
    """Step 6, for the site that has just got ready."""
    with services() as s:
        s.write_bulletin(now())
