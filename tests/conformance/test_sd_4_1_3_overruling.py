"""SD 4.1.3, last paragraph: policies may be overruled by joint decision of the EMT and PPS coordination."""

from __future__ import annotations

from itertools import product

import pytest
from tests.support.histories import DEBIAN, NOON, SL5, History, a_patch

from pps.activities.clients.opening import reasons_against_opening
from pps.activities.release.overruling import check_answer
from pps.domain.base.errors import RefusedError
from pps.domain.clients.updates import platforms_for_production, reasons_against_production
from pps.domain.packages.patch import PatchState
from pps.domain.people.overruling import AGREE, REFUSE, ROLES, Urgency, overruling, reasons_against_overruling
from pps.domain.people.questions import Answer
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import RolloutPath


def answer(step: str, choice: str | None, user: str) -> Answer | None:
    if choice is None:
        return None
    return Answer(step, ROLES[step], choice, {"remarks": "Not here."}, user, NOON, late=False)


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize(("emt", "coordination"), list(product((AGREE, REFUSE, None), repeat=2)))
@pytest.mark.parametrize("same_person", [True, False])
def test_only_the_agreement_of_both_by_two_people_is_a_joint_decision(
    emt: str | None, coordination: str | None, same_person: bool
) -> None:
    given = {
        "overrule-emt": answer("overrule-emt", emt, "anna"),
        "overrule-coordination": answer("overrule-coordination", coordination, "anna" if same_person else "ben"),
    }
    reasons = reasons_against_overruling(given)
    assert (reasons == ()) is (emt == coordination == AGREE and not same_person)
    assert all(reason.endswith(".") for reason in reasons)


def test_a_refusal_says_why() -> None:
    check_answer("EMT", AGREE, {"remarks": None})
    with pytest.raises(RefusedError):
        check_answer("EMT", REFUSE, {"remarks": " "})


def dossier(urgency: Urgency = Urgency.URGENT) -> History:
    history = History("patch-4711")
    by = {"EMT": "anna", "PPS Coordinator": "ben"}
    return history.then(
        FactKind.POLICIES_OVERRULED, "", "overrule-4711-1", urgency=urgency, reason="A hole.", by=by, state="x"
    )


def test_without_a_joint_decision_the_policies_hold() -> None:
    assert overruling(History("patch-4711").rollout) is None


@pytest.mark.sd("4.1.3")
def test_the_record_holds_who_decided_why_and_in_which_state_the_software_was() -> None:
    found = overruling(dossier().rollout)
    assert found.by == (("EMT", "anna"), ("PPS Coordinator", "ben"))
    assert (found.reason, found.state, found.urgency) == ("A hole.", "x", Urgency.URGENT)


@pytest.mark.sd("4.1.3")
def test_an_overruled_patch_needs_neither_certification_nor_deployment_test() -> None:
    patch = a_patch(new_variables=("X",), special_configuration="Set X.", install_tested=())
    assert len(reasons_against_production(patch)) == 4
    assert reasons_against_production(patch, overruled=True) == ()
    assert platforms_for_production(patch, overruled=True) == (DEBIAN,)


@pytest.mark.sd("4.1.3")
def test_it_goes_to_the_platforms_that_were_tested_where_there_are_any() -> None:
    patch = a_patch(platforms=(DEBIAN, SL5), install_tested=(SL5,))
    assert platforms_for_production(patch, overruled=True) == (SL5,)


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("state", [PatchState.REJECTED, PatchState.OBSOLETE])
def test_a_joint_decision_does_not_bring_a_dead_patch_back(state: PatchState) -> None:
    assert reasons_against_production(a_patch(state=state), overruled=True)
    assert reasons_against_opening(dossier().rollout, a_patch(state=state), RolloutPath.BC_CLIENT)


@pytest.mark.sd("4.1.3")
def test_a_preview_may_follow_production_only_after_a_joint_decision() -> None:
    in_production = a_patch(state=PatchState.IN_PRODUCTION)
    assert reasons_against_opening(History("patch-4711").rollout, in_production, RolloutPath.BC_CLIENT)
    assert reasons_against_opening(dossier(Urgency.HIGH_PRIORITY).rollout, in_production, RolloutPath.BC_CLIENT) == ()
