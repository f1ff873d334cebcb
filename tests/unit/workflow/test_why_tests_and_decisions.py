"""What tests and decisions say of a release is what the rules say; what was decided otherwise is shown as such."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.deployment_bench import Bench
from tests.support.desks import at_office
from tests.support.examples import DUE, NOW, PATCH, PLATFORM, sqlite_store
from tests.support.release_tests import DECISION_DUE, AReleaseTest
from tests.support.whys import (
    CERTIFIED,
    FAILED,
    MET,
    NOT_YET,
    SPECIAL,
    WAITING,
    WAIVED,
    Preview,
    ask,
    of,
    on_its_way,
    overruled,
    states,
)

from pps.activities.packages.verdicts import overrule
from pps.activities.quality.deployment_tests import newest_deployment_verdict
from pps.activities.release import release
from pps.activities.release.overruling import open_overruling
from pps.domain.base.conditions import DONE, ConditionState
from pps.domain.clients.updates import ClientVerdict
from pps.domain.packages.patch import PatchState
from pps.domain.people.overruling import ROLES, Urgency
from pps.domain.quality.release_tests import ACCEPT, HOLD, REJECT, RELEASE
from pps.domain.quality.scenarios import ScenarioResult
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import dossier_name
from pps.workflow.why import public_view

# --- tests, decisions -------------------------------------------------------------------------------------------


@pytest.mark.sd("4.2.2")
@pytest.mark.parametrize(
    ("result", "expected"),
    [(ScenarioResult.PASS, MET), (ScenarioResult.FAIL, FAILED), (ScenarioResult.INCONCLUSIVE, NOT_YET)],
)
def test_a_deployment_test_that_taught_us_nothing_has_neither_passed_nor_failed(
    tmp_path: Path, result: ScenarioResult, expected: ConditionState
) -> None:
    patch = replace(CERTIFIED, platforms=(PLATFORM,), **SPECIAL)
    store = sqlite_store()
    assert of(ask(store, patch), "deployment test").state is NOT_YET, "it is needed, and nobody has begun it"
    bench = Bench(store, tmp_path, patch)
    under_way = of(ask(store, patch), "deployment test")
    assert (under_way.state, under_way.who) == (WAITING, ("CNAF-PPS",))
    assert "0 of 2 scenarios have ended" in under_way.sentence
    for scenario in ("wn", "wn-torque"):
        said = {"result": result.value, "platform": str(PLATFORM), "reason": "Words of a site.", "log": "", "by": "x"}
        store.record(Fact(bench.name, FactKind.SCENARIO_ENDED, scenario, "", NOW, "pps", said))
    bench.close()
    found = ask(store, patch)
    assert of(found, "deployment test").state is expected
    assert "Words of a site" not in str(public_view(found))
    changed = replace(patch, version="3.1.24")
    assert of(ask(store, changed), "deployment test").state is NOT_YET, "another update was not tested"


@pytest.mark.sd("4.2.3")
def test_a_release_test_waits_for_its_sites_then_for_the_decision(tmp_path: Path) -> None:
    test = AReleaseTest()
    assert of(ask(test.store, test.patch), "trial at sites").state is WAITING
    test.asked().answers("PIC", ACCEPT)
    trial = of(ask(test.store, test.patch), "trial at sites")
    assert trial.state is WAITING
    assert trial.sentence.startswith("1 of 3 sites have answered; it ends on ")
    assert "PIC" not in str(public_view(ask(test.store, test.patch))["conditions"]), "it is not public yet"
    test.answers("IFIC-LCG2", REJECT).time_is_up()
    found = ask(test.store, test.patch)
    assert (of(found, "trial at sites").state, of(found, "decision").state) == (MET, WAITING)
    test.decided(RELEASE, "The site that rejects it runs an old kernel.")
    decision = of(ask(test.store, test.patch), "decision")
    assert decision.state is WAIVED
    assert "old kernel" in decision.sentence
    assert "grace" not in str(public_view(ask(test.store, test.patch)))
    assert of(ask(test.store, replace(test.patch, packages=())), "same packages").state is FAILED


@pytest.mark.sd("4.2.3")
def test_an_update_that_is_held_has_failed_with_the_reason() -> None:
    test = AReleaseTest().asked().time_is_up()
    test.decided(HOLD, "Nobody has tried it.")
    found = ask(test.store, test.patch, DECISION_DUE)
    assert of(found, "decision").state is FAILED
    assert "Nobody has tried it." in of(found, "decision").sentence
    assert found.answer.startswith("It does not go on. The Release Manager holds it since")


@pytest.mark.sd("4.1.3")
def test_what_a_joint_decision_overrules_is_waived_by_roles_with_the_reason_and_nothing_else_is(tmp_path: Path) -> None:
    way = on_its_way(tmp_path)
    way.patch = replace(PATCH, **SPECIAL)
    way.asks("atlas")
    overruled(way.store)
    found = way.why()
    for name in ("VOs", "certification", "deployment test"):
        assert of(found, name).state is WAIVED
        assert "EMT and PPS Coordinator have overruled the policies together." in of(found, name).sentence
        assert "Strangers use this hole already." in of(found, name).sentence
    assert of(found, "release notes").state is WAITING, "they are written all the same"
    assert not {"anna", "ben"} & set(str(public_view(found)).replace("'", " ").split())
    way.notes()
    assert of(way.why(), "VOs").state is WAIVED, "that notes were written without them is no answer of theirs"
    assert of(way.why(), "release").state is WAITING
    way.patch = replace(way.patch, state=PatchState.REJECTED)
    assert of(way.why(), "certification").state is FAILED, "a joint decision does not bring it back"


@pytest.mark.sd("4.1.3")
def test_a_request_to_overrule_waits_for_two_roles_and_then_goes_straight_to_production() -> None:
    store, reason = sqlite_store(), "Strangers use this hole already."
    office = at_office(store, now=NOW)
    name = open_overruling(office, PATCH, Urgency.HIGH_PRIORITY, reason, run="r/1")

    def fact(kind: FactKind, subject: str = "", occasion: str = "", **payload: object) -> None:
        store.record(Fact(name, kind, subject, occasion, NOW, "pps", payload))

    for step, role in ROLES.items():
        fact(FactKind.QUESTION_ASKED, role, step, due=DUE.isoformat(), title="", to="")
    found = of(ask(store), "joint decision")
    assert (found.state, found.who, found.until) == (WAITING, ("EMT", "PPS Coordinator"), DUE)
    assert of(ask(store), "certification").state is WAITING, "until there are two answers, the policies hold"
    given = {"step": "overrule-emt", "choice": "Agree", "form": {}, "user": "anna"}
    fact(FactKind.ANSWER_GIVEN, "EMT", "overrule-emt/1", **given)
    assert of(ask(store), "joint decision").who == ("PPS Coordinator",)
    fact(FactKind.DECIDED, "", "overrule", decision="overruled", by={})
    overruled(store, reason)
    found = ask(store)
    assert found.answer == "It waits for the release notes: they are written next, by itself."
    assert states(found)["certification"] is WAIVED
    fact(FactKind.RELEASE_NOTES_WRITTEN)
    assert of(ask(store), "release").state is WAITING
    fact(FactKind.RELEASED_TO_PRODUCTION, platforms=["debian12-amd64"])
    assert ask(store).answer.startswith("It is in production since")


@pytest.mark.sd("4.1.3")
def test_a_rollout_that_has_ended_does_not_hide_a_joint_decision_that_is_awaited(tmp_path: Path) -> None:
    way = Preview(tmp_path).planned()
    way.at([], failed=way.canaries).through_the_gate()
    assert ask(way.store).answer.endswith("Nothing brings it to production now.")
    open_overruling(at_office(way.store, now=NOW), PATCH, Urgency.URGENT, "Strangers use this hole already.", run="o/1")
    said = ask(way.store).answer
    assert "has ended: stopped." in said
    assert "It waits for the joint decision: a request to overrule the policies waits" in said


@pytest.mark.sd("4.1.1")
def test_a_classification_that_was_overruled_is_waived_by_the_release_manager() -> None:
    store = sqlite_store()
    payload = {"verdict": "non-bc", "findings": [], "compared_with": [], "reasons": []}
    name = dossier_name(PATCH.number)
    store.record_in_dossier(PATCH.number, Fact(name, FactKind.CLASSIFIED, "", "x", NOW, "pps", payload))
    assert of(ask(store), "classification").state is MET
    overrule(at_office(store, now=NOW, actor="carla"), PATCH, ClientVerdict.BC, "Every site has had this default.")
    found = of(ask(store), "classification")
    assert found.state is WAIVED
    assert "Release Manager" in found.sentence
    assert "Every site has had this default." in found.sentence


# --- the same answer as the rules -------------------------------------------------------------------------------


@given(
    state=st.sampled_from(PatchState),
    verdict=st.sampled_from([None, *ClientVerdict]),
    special=st.booleans(),
    variables=st.booleans(),
    tested=st.booleans(),
    joint=st.booleans(),
    test=st.sampled_from([None, "open", *ScenarioResult, "changed"]),
)
def test_certification_and_deployment_test_are_done_exactly_when_the_rule_for_production_says_so(
    tmp_path_factory: pytest.TempPathFactory,
    state: PatchState,
    verdict: ClientVerdict | None,
    special: bool,
    variables: bool,
    tested: bool,
    joint: bool,
    test: str | None,
) -> None:
    store = sqlite_store()
    patch = replace(
        PATCH,
        state=PatchState.IN_CERTIFICATION,
        platforms=(PLATFORM,),
        new_variables=("X",) if variables else (),
        install_tested=(PLATFORM,) if tested else (),
        **(SPECIAL if special else {}),
    )
    if verdict:
        payload = {"verdict": verdict.value, "findings": [], "compared_with": [], "reasons": []}
        name = dossier_name(PATCH.number)
        store.record_in_dossier(PATCH.number, Fact(name, FactKind.CLASSIFIED, "", "x", NOW, "pps", payload))
    if joint:
        overruled(store)
    if test:
        bench = Bench(store, tmp_path_factory.mktemp("bench"), patch)
        if test != "open":
            result = "pass" if test == "changed" else str(test)
            for scenario in ("wn", "wn-torque"):
                said = {"result": result, "platform": str(PLATFORM), "reason": "", "log": "", "by": "x"}
                store.record(Fact(bench.name, FactKind.SCENARIO_ENDED, scenario, "", NOW, "pps", said))
            bench.close()
    patch = replace(patch, state=state, version="3.1.24" if test == "changed" else patch.version)
    allowed = release.reasons_against_release(store, patch) == ()
    found = ask(store, patch)
    done = all(of(found, name).state in DONE for name in ("certification", "deployment test"))
    assert done is allowed, (found.conditions, newest_deployment_verdict(store, patch.number, patch))
