"""Asking for a pilot, the Coordinator's answer, and another round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.bad_input import HTML
from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, sqlite_store, templates
from tests.support.pilots import DAY, LIMITS, MAJOR, MINOR, SCOPE, VOS, WEEK, APilot
from tests.support.snapshots import matches_snapshot

from pps.activities.clients.opening import reasons_against_opening
from pps.activities.pilots import request as pilot_request
from pps.activities.pilots.request import PilotRequest, facts_of_acceptance, facts_of_silence, tell_acceptance
from pps.domain.base.errors import AlreadyOpenError, NotYetAllowedError, RefusedError
from pps.domain.packages.patch import PatchKind, PatchState
from pps.domain.people.questions import Given
from pps.domain.pilots.pilot import PROLONG, RELEASE, Pilot, Stage
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath


def ask(store: Any, patch: Any = MAJOR, *, run: str = "pilot/first", scope: str = SCOPE, vo: str = "") -> str:
    asked = PilotRequest("erika", scope, vo)
    return pilot_request.request_pilot(at_office(store, now=NOW, actor="pps"), patch, asked, LIMITS, VOS, run=run)


@pytest.mark.parametrize(
    ("patch", "more", "why"),
    [
        (replace(MAJOR, kind=PatchKind.CLIENT), {}, "client update"),
        (replace(MAJOR, state=PatchState.IN_PRODUCTION), {}, '"In production"'),
        (replace(MAJOR, state=PatchState.REJECTED), {}, '"Rejected"'),
        (replace(MAJOR, packages=()), {}, "names no packages"),
        (replace(MAJOR, platforms=()), {}, "names no platform"),
        (MAJOR, {"scope": "test"}, "The scope must be a sentence"),
        (MAJOR, {"vo": "nobody"}, "VO 'nobody' is not in people.yaml"),
    ],
)
def test_a_refused_request_says_why_and_leaves_no_trace(patch: Any, more: dict[str, str], why: str) -> None:
    store = sqlite_store()
    with pytest.raises(RefusedError, match=why):
        ask(store, patch, **more)
    assert store.rollouts() == ()


def test_a_retry_changes_nothing_even_if_the_patch_has_changed_and_a_second_request_is_refused() -> None:
    store = sqlite_store()
    assert ask(store) == "major-pilot-4711-1"
    before = store.rollout("major-pilot-4711-1").facts
    assert ask(store, replace(MINOR, state=PatchState.REJECTED)) == "major-pilot-4711-1"
    assert store.rollout("major-pilot-4711-1").facts == before
    with pytest.raises(AlreadyOpenError, match="major-pilot-4711-1"):
        ask(store, MINOR, run="pilot/other")


def test_a_joint_decision_justifies_software_that_is_not_certified() -> None:
    store, patch = sqlite_store(), replace(MAJOR, state=PatchState.IN_CERTIFICATION)
    payload = {"urgency": "urgent", "reason": "A disclosed hole.", "by": {"EMT": "anna"}, "state": patch.state.value}
    store.record_in_dossier(4711, Fact("patch-4711", FactKind.POLICIES_OVERRULED, "", "o", NOW, "pps", payload))
    assert store.rollout(ask(store, patch)).opened["justification"] == "A disclosed hole."


def test_a_parameter_that_the_packages_add_makes_it_major_until_the_release_manager_overrules_it() -> None:
    store = sqlite_store()
    finding = {
        "name": "CREAM_MAX_JOBS",
        "kind": "new optional",
        "file": "x",
        "before": None,
        "after": "",
        "sentence": ".",
    }
    gone = {**finding, "name": "OLD", "kind": "dropped"}
    found = {"verdict": "non-bc", "findings": [finding, gone], "compared_with": [], "reasons": ["It is new."]}
    store.record_in_dossier(4711, Fact("patch-4711", FactKind.CLASSIFIED, "", "1", NOW, "pps", found))
    verdict = pilot_request.verdict_on(MINOR, store.dossier(4711), LIMITS)
    assert verdict.reasons == ("It adds the YAIM variables CREAM_MAX_JOBS.",)
    overruled = {"verdict": "bc", "reason": "It is a path."}
    store.record_in_dossier(4711, Fact("patch-4711", FactKind.CLASSIFICATION_OVERRULED, "", "1", NOW, "rm", overruled))
    assert pilot_request.verdict_on(MINOR, store.dossier(4711), LIMITS).path is RolloutPath.MINOR_PILOT


def test_a_server_update_is_no_client_preview() -> None:
    patch = replace(MINOR, state=PatchState.IN_CERTIFICATION, special_configuration="x")
    for path in (RolloutPath.BC_CLIENT, RolloutPath.NON_BC_CLIENT):
        assert any("server update" in why for why in reasons_against_opening(sqlite_store().dossier(4711), patch, path))


def test_the_first_decision_stands() -> None:
    pilot = APilot().accepted()
    assert (
        facts_of_acceptance(
            at_desk(pilot.record, now=pilot.at, actor="pps"),
            Given("Decline", {"reason": "No site has time."}, "x", pilot.at),
        )
        == ()
    )
    assert facts_of_silence(at_desk(pilot.record, now=pilot.at, actor="pps"), NOW) == ()
    assert pilot.pilot.stage is Stage.ACCEPTED


def test_an_answer_that_is_none_is_refused() -> None:
    with pytest.raises(RefusedError, match="'Maybe' is no answer"):
        facts_of_acceptance(at_desk(APilot().record, now=NOW, actor="pps"), Given("Maybe", {}, "x", NOW))


@pytest.mark.parametrize("declined", [True, False])
def test_who_asked_is_told_once_and_a_declined_request_frees_the_patch(declined: bool) -> None:
    pilot = APilot(vo="atlas")
    if declined:
        form = {"reason": f"No site has time before May. {HTML[0]}"}
        pilot.store.record(
            *facts_of_acceptance(
                at_desk(pilot.record, now=pilot.at, actor="pps"), Given("Decline", form, "carla", pilot.at)
            )
        )
    else:
        pilot.accepted()
    for new in (True, False):
        told = tell_acceptance(
            at_desk(pilot.record, pilot.store, templates=templates(), now=pilot.at, actor="pps"), "vo@example.org"
        )
        assert told is new
    ((mail, _, _),) = pilot.store.outbox(pilot.name)
    matches_snapshot("pilot_declined.txt" if declined else "pilot_accepted.txt", mail.text)
    assert HTML[0] not in mail.html
    assert pilot.pilot.stage is (Stage.CLOSED if declined else Stage.ACCEPTED)
    if declined:
        assert ask(pilot.store, run="pilot/again") == "major-pilot-4711-2"


def test_before_the_answer_nobody_is_told() -> None:
    pilot = APilot()
    assert not tell_acceptance(
        at_desk(pilot.record, pilot.store, templates=templates(), now=NOW, actor="pps"), "vo@example.org"
    )


def test_silence_lets_the_request_lapse_without_an_address_too() -> None:
    pilot = APilot()
    pilot.store.record(*facts_of_silence(at_desk(pilot.record, now=NOW + 2 * DAY, actor="pps"), NOW + DAY))
    assert not tell_acceptance(
        at_desk(pilot.record, pilot.store, templates=templates(), now=NOW + 2 * DAY, actor="pps"), ""
    )
    assert "did not answer by 2025-12-02" in pilot.record.the(FactKind.ROLLOUT_CLOSED).payload["reasons"][0]


def test_only_a_closed_round_that_was_prolonged_has_another_and_a_retry_opens_no_third() -> None:
    released = APilot().running().ended().wrapped_up(RELEASE)
    with pytest.raises(NotYetAllowedError, match="the decision was release"):
        pilot_request.open_next_round(at_desk(released.record, released.store, now=NOW, actor="pps"), run="pilot/2")
    pilot = APilot().accepted().ranked().selected("PIC", "INFN-T1").kicked_off().set_up().set_up("INFN-T1")
    pilot.rolled_back("INFN-T1").wait(2 * WEEK).ended()
    with pytest.raises(NotYetAllowedError, match="wrap-up"):
        pilot_request.open_next_round(at_desk(pilot.record, pilot.store, now=NOW, actor="pps"), run="pilot/2")
    pilot.wrapped_up(PROLONG)
    with pytest.raises(NotYetAllowedError, match="Start a new run for another round"):
        pilot_request.open_next_round(at_desk(pilot.record, pilot.store, now=NOW, actor="pps"), run="pilot/first")
    names = {
        pilot_request.open_next_round(at_desk(pilot.record, pilot.store, now=pilot.at, actor="pps"), run="pilot/2")
        for _ in range(2)
    }
    assert names == {"major-pilot-4711-2"}
    assert Pilot(pilot.store.rollout("major-pilot-4711-2")).serving == ("PIC",)
