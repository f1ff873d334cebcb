"""SD 4.1.2, non-backward compatible client update: each sentence that is a rule."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.desks import at_desk
from tests.support.histories import DEBIAN, NOON, History, a_patch, a_site

from pps.activities.clients import local_configuration
from pps.activities.clients.opening import batches_of, level_for
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.clients.batches import BatchLimits
from pps.domain.clients.updates import (
    ClientVerdict,
    platforms_for_production,
    reasons_against_non_bc_client_preview,
    reasons_against_production,
)
from pps.domain.packages.patch import PatchState
from pps.domain.people.questions import Given
from pps.domain.quality.scenarios import DeploymentOutcome, DeploymentVerdict
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import RolloutPath, line_of
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import PartnerLevel, reasons_against_preview

VARIABLE = "BDII_EMIR_HOST"


def history() -> History:
    found = History("non-bc-client-4711-1")
    found.facts.clear()
    return found.opened(path="non-bc-client", patch=4711, metapackage="glite-WN", version="3.2", variables=[VARIABLE])


@pytest.mark.sd("4.1.2")
def test_what_needs_no_configuration_takes_the_other_path() -> None:
    assert reasons_against_non_bc_client_preview(a_patch(new_variables=(VARIABLE,))) == ()
    assert "4.1.1" in reasons_against_non_bc_client_preview(a_patch())[0]
    assert "4.1.1" in reasons_against_non_bc_client_preview(a_patch(new_variables=("X",)), ClientVerdict.BC)[0]


@pytest.mark.sd("4.1.2", step=2)
def test_only_silver_partners_get_it() -> None:
    level = level_for(RolloutPath.NON_BC_CLIENT)
    silver = a_site(partner_levels=frozenset({PartnerLevel.SILVER}))
    assert reasons_against_preview(silver, [DEBIAN], level) == ()
    for levels in (frozenset(), frozenset({PartnerLevel.GOLD, PartnerLevel.PLATINUM})):
        assert "no Silver partner" in reasons_against_preview(a_site(partner_levels=levels), [DEBIAN], level)[0]
    assert level_for(RolloutPath.BC_CLIENT) is None


def test_every_silver_partner_is_in_one_batch_of_the_plan_and_nobody_is_a_canary() -> None:
    limits = BatchLimits(2, 3, 1.0, 0.3, 1)
    sites = [a_site(f"S{n}") for n in range(7)]
    plan = batches_of("r", RolloutPath.NON_BC_CLIENT, sites, limits)
    assert sorted(s for batch in plan.values() for s in batch) == [s.name for s in sites]
    assert "canary" not in plan
    assert max(map(len, plan.values())) == 3


@pytest.mark.sd("4.1.2", step=3)
def test_no_local_test_before_the_local_configuration() -> None:
    delivered = history().planned(**{"silver-1": ["PIC"]}).then(FactKind.PREVIEW_INSTALLED, "PIC")
    assert not delivered.rollout.may_test("PIC")
    with pytest.raises(NotYetAllowedError):
        delivered.rollout.may_tag("PIC")
    configured = delivered.then(FactKind.SITE_CONFIGURED, "PIC")
    assert configured.rollout.may_test("PIC")
    assert configured.rollout.progress("PIC").state is SiteState.CONFIGURED
    with pytest.raises(NotYetAllowedError):
        configured.rollout.may_tag("PIC")
    configured.then(FactKind.PROBES_PASSED, "PIC").rollout.may_tag("PIC")


@pytest.mark.sd("4.1.1")
def test_a_backward_compatible_client_waits_for_no_local_configuration() -> None:
    assert History().then(FactKind.PREVIEW_INSTALLED, "PIC").rollout.may_test("PIC")


@pytest.mark.sd("4.1.2", step=3)
def test_an_answer_says_what_was_set_or_why_it_cannot_be_done() -> None:
    record = history().rollout

    def answer(choice: str, **form: str) -> FactKind:
        (fact,) = local_configuration.facts_of_answer(
            at_desk(record, now=NOON, actor="test"), "PIC", Given(choice, form, "admin-pic", NOON)
        )
        return fact.kind

    assert answer(local_configuration.CONFIGURED, settings=f"{VARIABLE}=x") is FactKind.SITE_CONFIGURED
    assert answer(local_configuration.CANNOT, remarks="No such service.") is FactKind.SITE_LEFT_OUT
    with pytest.raises(RefusedError, match=VARIABLE):
        answer(local_configuration.CONFIGURED, settings="done")
    with pytest.raises(RefusedError, match="why"):
        answer(local_configuration.CANNOT, remarks="  ")


@pytest.mark.sd("4.1.2")
def test_vos_are_told_when_enough_sites_offer_it_or_no_further_one_can_come() -> None:
    sites = ["A", "B", "C"]
    found = history().planned(**{"silver-1": sites})
    for site in sites:
        found.then(FactKind.PREVIEW_INSTALLED, site)
    assert not local_configuration.is_offered(found.rollout, 1)
    found.then(FactKind.SITE_LEFT_OUT, "A", reason="x").then(FactKind.TAG_ADDED, "B")
    assert local_configuration.is_offered(found.rollout, 1)  # C is not waited for
    assert not local_configuration.is_offered(found.rollout, 2)
    found.then(FactKind.SITE_FAILED, "C", reason="disk")
    assert local_configuration.is_offered(found.rollout, 2)


@pytest.mark.sd("4.1.2")
def test_it_is_not_released_before_its_deployment_test_has_passed_and_only_for_the_platforms_of_that() -> None:
    patch = a_patch(state=PatchState.CERTIFIED, new_variables=(VARIABLE,), special_configuration=f"Set {VARIABLE}.")
    assert any("pre-deployment test is needed" in r for r in reasons_against_production(patch))
    assert any(
        "pre-deployment" in r
        for r in reasons_against_production(a_patch(state=PatchState.CERTIFIED), verdict=ClientVerdict.NON_BC)
    )
    for outcome in (DeploymentOutcome.FAILED, DeploymentOutcome.INCONCLUSIVE):
        assert reasons_against_production(patch, DeploymentVerdict(outcome, (), ("why",)))
    passed = DeploymentVerdict(DeploymentOutcome.PASSED, (DEBIAN,), ())
    assert reasons_against_production(patch, passed) == ()
    assert platforms_for_production(patch, passed) == (DEBIAN,)


def test_a_patch_is_previewed_in_one_way_at_a_time_and_tested_beside_it() -> None:
    assert line_of(RolloutPath.BC_CLIENT) == line_of(RolloutPath.NON_BC_CLIENT) != line_of(RolloutPath.PRE_DEPLOYMENT)
    assert line_of(RolloutPath.MINOR_PILOT) == line_of(RolloutPath.MAJOR_PILOT)
    assert len({line_of(p) for p in RolloutPath}) == len(RolloutPath) - 2


@pytest.mark.sd("4.1.2", step=3)
def test_silence_leaves_a_site_out_with_its_reason() -> None:
    (fact,) = local_configuration.facts_of_silence(
        at_desk(history().rollout, now=NOON + timedelta(days=10), actor="test"), "PIC", NOON
    )
    assert fact.kind is FactKind.SITE_LEFT_OUT
    assert "2026-03-02 12:00 UTC" in fact.payload["reason"]
