"""The plan of a rollout looks at how sites did in the rollouts before."""

from __future__ import annotations

from datetime import timedelta

from tests.support.desks import at_office
from tests.support.examples import NOW, PATCH, sqlite_store
from tests.support.front import site

from pps.activities.clients import opening
from pps.config.site_models import SiteModel
from pps.domain.clients.batches import BatchLimits
from pps.domain.record.facts import Fact, FactKind

LIMITS = BatchLimits(1, 3, 1.0, 0.3, 3, slow_from=timedelta(minutes=5), remembered_for=timedelta(days=30))
SITES = [SiteModel.model_validate(site(f"S{n}")).to_domain() for n in range(8)]


def test_sites_that_did_not_answer_a_rollout_of_another_patch_come_last_for_a_month() -> None:
    store = sqlite_store()
    before = opening.open_client_rollout(at_office(store), PATCH, tag_vo="ops", run="r/1")

    def failed(name: str, days_ago: int, error: str) -> Fact:
        at, payload = NOW - timedelta(days=days_ago), {"error": error, "step": "distribute", "reason": "no answer"}
        return Fact(before, FactKind.SITE_FAILED, name, "fleet-1", at, "test", payload)

    unreachable = "SiteUnreachableError"
    store.record(failed("S2", 1, unreachable), failed("S3", 31, unreachable), failed("S4", 1, "SiteRefusedError"))
    assert opening.who_comes_last(store, LIMITS, NOW) == {"S2"}

    desk = at_office(store).desk(before)
    names = opening.record_plan(desk, SITES, LIMITS)

    batches = desk.rollout.need(FactKind.PLAN_AGREED, "").payload["batches"]
    assert batches[names[-1]] == ["S2"]
    assert sorted(s for batch in batches.values() for s in batch) == [s.name for s in SITES]
