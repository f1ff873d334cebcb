"""What those in charge put on record from machines of their own: through doors that ask who they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.front import PATCH, ROLLOUT, MemoryTracker, front, services  # noqa: F401
from tests.support.pilots import MAJOR, APilot
from tests.unit.cli.test_commands import as_json, one_line, pps
from tests.unit.cli.test_login import MANAGER, VO, afar, beside  # noqa: F401

from pps.activities.packages.verdicts import standing_verdict
from pps.activities.quality import sam_tasks
from pps.cli.front import Front
from pps.domain.record.facts import Fact, FactKind

COORDINATOR, DAVE = "carla:PPS Coordinator", "dave:Site Administrator"
Afar = Callable[[str], Front]


def test_a_classification_is_overruled_by_the_release_manager_alone(beside: Front, afar: Afar) -> None:
    overrule = ("classify", "4711", "--overrule", "bc", "--reason", "Nobody has ever set it.")
    code, _, err = pps(afar(MANAGER), *overrule)
    assert (code, "is not classified yet" in one_line(err)) == (1, True)
    found = {"verdict": "non-bc", "findings": [], "packages": [str(p) for p in PATCH.packages], "reasons": ["One."]}
    fact = Fact("patch-4711", FactKind.CLASSIFIED, "", "1", beside.now(), "pps", found)
    beside.services.facts.record_in_dossier(4711, fact)
    code, _, err = pps(afar(COORDINATOR), *overrule)
    assert (code, "Only the Release Manager may overrule the program." in one_line(err)) == (1, True)
    code, out, err = pps(afar(MANAGER), *overrule)
    assert (code, "The Release Manager says bc: Nobody has ever set it." in one_line(out)) == (0, True), err
    assert standing_verdict(beside.services.facts.dossier(4711)).overruled
    overruled = beside.services.facts.dossier(4711).need(FactKind.CLASSIFICATION_OVERRULED, "")
    assert overruled.actor == "user rita"


def test_a_sam_task_is_assigned_by_the_coordination_and_done_by_whose_it_is(beside: Front, afar: Afar) -> None:
    assign = ("sam", "assign", "sam-clone-sensor", "dave", "--what", "BDII")
    code, _, err = pps(afar(DAVE), *assign)
    assert (code, "Only the PPS Coordinator and the Release Manager may assign tasks." in one_line(err)) == (1, True)
    assert as_json(afar(COORDINATOR), *assign)["number"] == 1
    assert as_json(afar(MANAGER), *assign)["number"] == 1, "the same twice is once"
    done = ("sam", "done", "1", "--text", "It is cloned.")
    code, _, err = pps(afar(COORDINATOR), *done)
    assert (code, "It is assigned to dave, not to carla." in one_line(err)) == (1, True)
    assert as_json(afar(DAVE), *done)["new"] is True
    assert as_json(afar(DAVE), *done)["new"] is False
    (task,) = sam_tasks.tasks(beside.services.facts)
    assert (task.assigned_by, task.text) == ("carla", "It is cloned.")


@pytest.fixture
def pilot(beside: Front) -> APilot:
    beside.services.__dict__["tracker"] = MemoryTracker(MAJOR)
    return APilot(MAJOR, beside.services.facts, vo="cms").accepted()


def test_sites_of_a_pilot_are_ranked_on_record(beside: Front, afar: Afar, pilot: APilot) -> None:
    rank = ("pilot", "candidates", pilot.name, "--volunteer", "PIC", "--record")
    code, _, err = pps(afar(VO), *rank)
    assert code == 1 and not pilot.record.has(FactKind.CANDIDATES_RANKED), err
    ranked = as_json(afar(MANAGER), *rank)
    fact = pilot.record.need(FactKind.CANDIDATES_RANKED, "")
    assert fact.payload["volunteers"] == ["PIC"] and fact.actor == "user rita"
    assert {c["site"] for c in ranked["candidates"]} == {c["site"] for c in fact.payload["candidates"]}
    answer = afar(MANAGER).airflow.request(
        "POST", f"pps/api/v1/rollouts/{pilot.name}/candidates", json={"volunteers": ["NOWHERE"]}
    )
    assert (answer.status_code, "has no site" in answer.json()["detail"]) == (422, True)


def test_a_pilot_that_needs_no_mirror_is_noted_with_the_reason(beside: Front, afar: Afar, pilot: APilot) -> None:
    skip = ("mirror", "skip", pilot.name, "--reason", "Its service is not published in production.")
    code, _, err = pps(afar(VO), *skip)
    assert (code, "Only the PPS Coordinator and the Release Manager" in one_line(err)) == (1, True)
    assert "has no mirror: Its service" in one_line(pps(afar(COORDINATOR), *skip)[1])
    assert pilot.record.need(FactKind.MIRROR_MADE, "").actor == "user carla"
    code, _, err = pps(afar(COORDINATOR), "mirror", "skip", ROLLOUT, "--reason", "It is no pilot at all.")
    assert (code, "It is no pilot." in err) == (1, True)
