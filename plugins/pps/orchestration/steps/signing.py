"""What sites with a kit may do is offered to be signed (docs/kit.md), as Airflow tasks."""

from __future__ import annotations

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from pps.activities.clients import signing
from pps.activities.packages import tarball
from pps.activities.packages.payloads import prepare_payload
from pps.activities.trust import statements
from pps.domain.record.statements import Offered
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import desk, office
from pps.workflow.alarm import watched
from pps.workflow.clients.pull import lay_out


def _named(offered: tuple[Offered, ...]) -> list[str]:
    return [f"{it.statement.what} {it.statement.sequence}" for it in offered]


@task(execution_timeout=LIMITS.build)
def offer_statements(rollout: str) -> list[str]:
    """A statement for each platform of planned sites with a kit; skipped where none has one. Returns their names."""
    with desk(rollout) as d:
        # cleared later, also for those that nights have found since
        known = d.services.known_sites(p.site for p in d.rollout.all_progress())
        platforms = signing.platforms_with_kits(known)
        if not platforms:
            raise AirflowSkipException("No planned site has a kit: nothing has to be signed.")
        with watched(d):
            built = tarball.tarball_of(d.rollout, d.services.artefacts)
            manifest = tarball.manifest_of(built, d.services.artefacts)
            payload = prepare_payload(built, manifest, None, d.services.artefacts, d.services.payload_cache)
        offered = statements.offer_installation(
            d, built, manifest, platforms, packed=payload.stat().st_size, holds_for=d.policies.statements.hold_for
        )
        return _named(offered)


@task
def offer_withdrawal(rollout: str) -> list[str]:
    """Statements by which sites with a kit remove the preview; skipped where no statement lets it stand."""
    with desk(rollout) as d:
        if not d.rollout.is_withdrawn:
            raise AirflowSkipException("Nobody has asked to withdraw it.")
        offered = statements.offer_withdrawal(d, holds_for=d.policies.statements.hold_for)
        if not offered:
            raise AirflowSkipException("No statement lets a site with a kit have it: nothing has to be signed.")
        return _named(offered)


@task(execution_timeout=LIMITS.build)
def lay_out_for_sites_that_fetch() -> list[str]:
    """What sites with a kit fetch, laid out anew; skipped without `pull_folder`. Returns what is offered."""
    with office() as o:
        offered = lay_out(o)
        if offered is None:
            raise AirflowSkipException("service.yaml names no pull_folder: no site fetches by itself.")
        return list(offered)
