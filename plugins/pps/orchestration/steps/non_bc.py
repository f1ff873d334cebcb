"""Steps that only the non-backward-compatible client update has (SD 4.1.2)."""

from __future__ import annotations

from airflow.sdk import task

from pps.activities.clients import gates, local_configuration
from pps.domain.base.errors import RefusedError
from pps.orchestration import labels
from pps.orchestration.runtime import desk, office


@task
def sites_to_configure(rollout: str) -> list[dict[str, str]]:
    """The sites that have the client now, each with its own batch; the others are on record with their reason."""
    with desk(rollout) as d:
        gates.must_go_on(d.rollout)
        sites = local_configuration.sites_to_configure(d.rollout)
        if not sites:
            failed = tuple(f"{p.site}: {p.reason or p.state}" for p in d.rollout.all_progress(d.rollout.planned_sites))
            raise RefusedError(rollout, ("No Silver partner has the client.", *failed), "Look at the sites' reasons.")
        return [{"site": site, "batch": local_configuration.batch_of(site)} for site in sites]


@task(map_index_template=labels.SITE)
def update_release_bulletin(rollout: str, site: str = "") -> None:
    """Step 6, for the site that has just got ready."""
    with office() as o:
        o.write_bulletin()
