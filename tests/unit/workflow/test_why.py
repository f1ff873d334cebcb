"""Why a client is still where it is: what is said at each moment of its way was on record then."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.support.desks import at_office
from tests.support.examples import DUE, NOW, PATCH, previewed, sqlite_store
from tests.support.whys import (
    CERTIFIED,
    FAILED,
    MET,
    NOT_YET,
    POLICIES,
    UNKNOWN,
    WAITING,
    Preview,
    ask,
    never_ahead_of_the_record,
    of,
    on_its_way,
    states,
)

from pps.activities.clients import gates, opening
from pps.activities.people.feedback import end_of_feedback
from pps.domain.base.conditions import ConditionState
from pps.domain.base.errors import NotYetAllowedError, PatchNotFoundError, ServiceError
from pps.domain.packages.patch import Patch, PatchKind, PatchState
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.workflow.why import AWAY, GONE, Told, ask_tracker, public_view, why


@pytest.mark.sd("4.1.1")
def test_of_a_preview_nothing_is_said_before_it_is_on_record(tmp_path: Path) -> None:
    way = on_its_way(tmp_path).asks("atlas", "cms").hears("atlas").certified().hears("cms").notes().released()

    def patch_at(seen: set[FactKind]) -> Patch:
        out, ended = FactKind.RELEASED_TO_PRODUCTION in seen, FactKind.CERTIFICATION_ENDED in seen
        state = PatchState.IN_PRODUCTION if out else PatchState.CERTIFIED if ended else PatchState.IN_CERTIFICATION
        return replace(PATCH, state=state)

    said = never_ahead_of_the_record(way.store, patch_at)
    both = "It waits for the VOs and the certification. First of these: "
    assert f"{both}1 of 2 VOs have answered; it ends on Mon 15 Dec 2025, 09:30 UTC or when all have." in said
    assert said[-1] == "It is in production since Mon 1 Dec 2025, 09:30 UTC, for debian12-amd64."


@pytest.mark.sd("4.1.1")
def test_the_vos_who_are_silent_can_act_and_their_silence_at_the_end_is_met_not_failed(tmp_path: Path) -> None:
    way = on_its_way(tmp_path).asks("atlas", "cms", "lhcb", "alice").hears("atlas").hears("cms").certified()
    found = way.why()
    why_vos = of(found, "VOs")
    assert (why_vos.state, why_vos.who, why_vos.until) == (WAITING, ("alice", "lhcb"), DUE)
    text = "2 of 4 VOs have answered; it ends on Mon 15 Dec 2025, 09:30 UTC or when all have."
    assert found.answer == f"It waits for the VOs: {text}"
    way.clock = DUE + timedelta(seconds=1)
    assert of(way.why(), "VOs").state is MET

    silent = on_its_way(tmp_path).asks("atlas")
    silent.clock = DUE + timedelta(seconds=1)
    silent.notes()
    found = silent.why()
    assert of(found, "VOs").state is MET
    assert of(found, "VOs").sentence == "0 of 1 VOs have answered. That nobody answered is in the release notes."


@pytest.mark.sd("4.1.1")
def test_where_policies_say_how_many_vos_are_enough_the_answer_says_so_and_the_same_rule_ends_the_asking(
    tmp_path: Path,
) -> None:
    changed = POLICIES.feedback.model_copy(update={"enough": 3, "earliest": timedelta(days=3)})
    policies = POLICIES.model_copy(update={"feedback": changed})
    way = on_its_way(tmp_path).asks("atlas", "cms", "lhcb", "alice").hears("atlas").hears("cms").certified()

    def vos() -> tuple[ConditionState, str, datetime | None]:
        found = of(why(way.store, PATCH.number, Told(CERTIFIED, ""), policies, way.clock), "VOs")
        return found.state, found.sentence, found.until

    earliest = NOW + timedelta(days=3)
    ends = "it ends on Mon 15 Dec 2025, 09:30 UTC at the latest, and not before Thu 4 Dec 2025, 09:30 UTC."
    assert vos() == (WAITING, f"2 of 4 VOs have answered; enough are 3; {ends}", DUE)
    way.hears("lhcb")
    ends = "it ends on Thu 4 Dec 2025, 09:30 UTC, not earlier."
    assert vos() == (WAITING, f"3 of 4 VOs have answered, which is enough; {ends}", earliest)
    with pytest.raises(NotYetAllowedError, match="feedback is open until 2025-12-04"):
        end_of_feedback(way.desk(), changed.terms())
    way.clock = earliest
    assert vos()[0] is MET
    assert end_of_feedback(way.desk(), changed.terms()).payload == {"outcome": "some"}
    with pytest.raises(NotYetAllowedError, match="feedback is open until 2025-12-15"):
        end_of_feedback(way.desk())


@pytest.mark.sd("4.1.1")
def test_a_gate_that_stays_shut_has_failed_and_what_came_after_it_has_not(tmp_path: Path) -> None:
    way = Preview(tmp_path).planned()
    assert of(way.why(), "first sites").sentence.startswith("So far 0 of ")
    way.at([], failed=way.canaries).through_the_gate()
    found = way.why()
    assert states(found)["first sites"] is FAILED
    assert [states(found)[name] for name in ("sites", "VOs", "release notes", "release")] == [NOT_YET] * 4
    assert "Preview bc-client-4711-1 has ended: stopped. It was stopped on" in found.answer
    assert "words of the site" not in str(public_view(found))


@pytest.mark.sd("4.1.1")
def test_a_failure_budget_that_is_used_up_has_failed_at_once(tmp_path: Path) -> None:
    way = Preview(tmp_path).planned()
    way.at(way.canaries).through_the_gate()
    assert of(way.why(), "sites").state is WAITING
    way.at([], failed=way.record.planned_sites)
    limits = POLICIES.distribution.to_domain()
    assert of(way.why(), "sites").state is FAILED
    gates.stop(way.desk(), gates.budget_reasons(way.record, limits), ())
    found = way.why()
    assert (of(found, "first sites").state, of(found, "sites").state) == (MET, FAILED)
    assert "the failure budget allows" in found.answer
    assert "words of the site" not in str(public_view(found))


@pytest.mark.sd("4.1.1")
def test_the_sentence_counts_the_failures_that_the_budget_counts(tmp_path: Path) -> None:
    way = Preview(tmp_path).planned()
    way.at(way.canaries).through_the_gate()
    way.fact(FactKind.PREVIEW_INSTALLED, way.fleet[0], "fleet-1")
    way.fact(FactKind.PROBES_FAILED, way.fleet[0], "fleet-1", reason="x")
    assert f"1 of {len(way.record.planned_sites)} failed" in of(way.why(), "sites").sentence


@pytest.mark.sd("4.1.1")
@pytest.mark.parametrize(
    ("state", "expected", "who"),
    [
        (PatchState.WITH_PROVIDER, WAITING, "provider"),
        (PatchState.IN_CERTIFICATION, WAITING, "SA3 (certification)"),
        (PatchState.REJECTED, FAILED, "provider"),
    ],
)
def test_certification_that_goes_on_is_awaited_and_only_a_rejection_has_failed(
    tmp_path: Path, state: PatchState, expected: ConditionState, who: str
) -> None:
    way = on_its_way(tmp_path).asks("atlas").certified(state)
    condition = of(way.why(), "certification")
    assert (condition.state, condition.who) == (expected, (who,))
    if state is PatchState.REJECTED:
        assert way.why().answer == 'It was rejected: the tracker says "Rejected".'
    else:
        assert condition.until == NOW + POLICIES.certification.wait_at_most
        way.clock = condition.until
        assert of(way.why(), "certification").state is FAILED, "the step asks the same function"


@pytest.mark.sd("4.1.1")
def test_a_withdrawn_preview_waits_for_nothing_and_says_why(tmp_path: Path) -> None:
    way = on_its_way(tmp_path).asks("atlas").fact(FactKind.WITHDRAWAL_ASKED, reason="It corrupts files.")
    found = way.why()
    assert of(found, "withdrawal").state is FAILED
    assert of(found, "VOs").state is NOT_YET
    assert "It corrupts files." in found.answer
    assert "It waits" not in found.answer


@pytest.mark.sd("4.1.2")
def test_a_client_with_local_configuration_waits_for_the_sites_people_by_name(tmp_path: Path) -> None:
    store = sqlite_store()
    patch = replace(PATCH, new_variables=("X",))
    office = at_office(store, patch=patch, now=NOW)
    name = opening.open_client_rollout(office, patch, tag_vo="ops", run="r/1", path=RolloutPath.NON_BC_CLIENT)

    def fact(kind: FactKind, subject: str = "", occasion: str = "", **payload: object) -> None:
        store.record(Fact(name, kind, subject, occasion, NOW, "pps", payload))

    fact(FactKind.PLAN_AGREED, batches={"silver-1": ["PIC", "INFN-T1", "INFN-BARI"]})
    for site in ("PIC", "INFN-T1", "INFN-BARI"):
        fact(FactKind.PREVIEW_INSTALLED, site, "silver-1")
        fact(FactKind.QUESTION_ASKED, site, "local-configuration", due=DUE.isoformat(), title="", to="")
    found = ask(store, patch)
    sites = of(found, "sites")
    assert (sites.state, set(sites.who), sites.until) == (WAITING, {"PIC", "INFN-T1", "INFN-BARI"}, DUE)
    tested = of(found, "deployment test")
    assert tested.state is NOT_YET
    assert "It has not begun" not in tested.sentence
    assert "The rollout starts it" in tested.sentence
    assert "first sites" not in states(found)


# --- what nobody knows ------------------------------------------------------------------------------------------


def test_of_a_patch_for_which_nothing_was_started_nothing_has_failed() -> None:
    found = ask(sqlite_store())
    assert found.answer == "Nothing has been started for it."
    assert (of(found, "admission").state, of(found, "preview").state) == (MET, NOT_YET)
    assert of(found, "preview").who == ("Release Manager",)
    not_admitted = ask(sqlite_store(), replace(PATCH, basic_certification_passed=False))
    assert of(not_admitted, "admission").state is NOT_YET
    server = ask(sqlite_store(), replace(CERTIFIED, kind=PatchKind.SERVER, service_type="CREAM-CE"))
    assert of(server, "pilot").state is NOT_YET


def test_where_the_tracker_is_away_the_record_is_told_and_nothing_else(tmp_path: Path) -> None:
    way = on_its_way(tmp_path).asks("atlas")
    found = ask(way.store, None, note=AWAY)
    assert (found.note, of(found, "certification").state, of(found, "deployment test").state) == (
        AWAY,
        UNKNOWN,
        UNKNOWN,
    )
    assert of(found, "VOs").state is WAITING
    way.certified()
    assert of(ask(way.store, None, note=AWAY), "certification").state is MET, "that is on record"
    with pytest.raises(ServiceError):
        ask(sqlite_store(), None, note=AWAY)
    with pytest.raises(PatchNotFoundError):
        ask(sqlite_store(), None, note=GONE)


def test_a_tracker_that_does_not_answer_is_no_error() -> None:
    class Away:
        def patch(self, number: int) -> Patch:
            raise ServiceError("tracker", "no answer.")

    assert ask_tracker(Away(), 4711) == Told(None, AWAY)  # type: ignore[arg-type]


def test_a_preview_of_which_much_is_on_record_is_shown_with_all_its_sites() -> None:
    store = sqlite_store()
    previewed(store)
    view = public_view(ask(store))
    assert view["rollouts"][0]["counts"] == {
        "available": 2,
        "tagged": 1,
        "installed, not announced": 1,
        "failed": 1,
        "left out": 1,
    }
    assert view["answer"].startswith("It waits for the ")
    assert next(e["what"] for e in view["events"]) == "Preview: it begins."
