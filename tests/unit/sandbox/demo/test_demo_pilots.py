"""What the people of the pilots' demos say fits the questions, and what they earn is SD's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.desks import at_desk
from tests.support.examples import NOW
from tests.support.pilots import MAJOR, MINOR, APilot

from pps.activities.pilots import report as pilot_report
from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.config.loader import Configuration
from pps.domain.base.durations import parse_duration
from pps.domain.people.questions import Given
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.orchestration.groups_pilot import COORDINATOR_FORMS
from pps.sandbox.airflow.configuration import DEFAULT_CONFIG, VOS
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo.major_pilot import FIRST_VO, SECOND_VO, MajorPilotDemo
from pps.sandbox.demo.minor_pilot import MinorPilotDemo, incidents
from pps.sandbox.demo.pilot import PilotDemo, filled
from pps.sandbox.demo.pilot_looks import EACH_VO, EVERY_ROUND, FIRST_ROUND
from pps.workflow.form_book import FORMS


def demo(kind: type[PilotDemo], tmp_path: Any) -> PilotDemo:
    played = kind(Installation(tmp_path), lambda line: None, lambda fact: None)
    played.__dict__["site"] = "PIC"
    return played


def second_round(pilot: APilot) -> Rollout:
    opening, *others = pilot.record.facts
    again = Fact(opening.rollout, opening.kind, "", "", NOW, "pps", {**opening.payload, "round": 2})
    return Rollout(pilot.name, (again, *others))


@pytest.mark.parametrize(("kind", "patch"), [(MinorPilotDemo, MINOR), (MajorPilotDemo, MAJOR)])
def test_the_coordinator_answers_every_question_of_a_round_with_fields_that_its_form_has(
    tmp_path: Any, kind: type[PilotDemo], patch: Any
) -> None:
    pilot = APilot(patch)
    rounds = [(pilot.record, set(COORDINATOR_FORMS))]
    if kind is MajorPilotDemo:  # another round begins with its kick-off
        rounds.append((second_round(pilot), {"agree_at_kick_off", "decide_at_wrap_up"}))
    for record, tasks in rounds:
        decisions = demo(kind, tmp_path).decisions(record)
        assert set(decisions) == tasks
        for task, (choice, entered) in decisions.items():
            form = FORMS[COORDINATOR_FORMS[task]]
            assert choice in form.options
            assert form.fields is not None
            assert entered.keys() <= form.fields.keys()
            for name in {"run_for", "feedback_within", "prolong_for"} & entered.keys():
                assert parse_duration(entered[name])


@pytest.mark.parametrize("kind", [MinorPilotDemo, MajorPilotDemo])
def test_the_site_s_report_says_what_a_report_must_say(kind: type[PilotDemo]) -> None:
    record = Rollout("minor-pilot-4751-1")
    assert (
        pilot_report.facts_of_report(
            at_desk(record, now=NOW, actor="pps"), "PIC", Given(pilot_report.REPORT, kind.report, "ana", NOW)
        )
        == ()
    )


def test_each_round_of_the_major_pilot_has_a_vo_of_its_own_that_answers() -> None:
    assert FIRST_VO != SECOND_VO
    assert set(MajorPilotDemo.answers) == {FIRST_VO, SECOND_VO} <= set(VOS)
    assert [opinion for opinion, _ in MajorPilotDemo.answers.values()] == ["problem", "works"]


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("table", [EVERY_ROUND, FIRST_ROUND, EACH_VO])
def test_the_credits_that_the_demos_expect_are_those_of_the_table(table: Mapping[tuple[str, str], int]) -> None:
    activities = Configuration(DEFAULT_CONFIG).activities
    assert {key: activities[key[0]].credits for key in table} == table


def test_a_form_is_sent_whole_as_it_came_but_for_what_was_entered() -> None:
    params = {"run_for": {"value": None}, "published": {"value": True}}
    question = AirflowQuestion("dag", "run", "task", -1, "PPS Coordinator: what?", ("Agreed",), params=params)
    assert filled(question, run_for="8s") == {"run_for": "8s", "published": True}


def test_an_incident_is_told_apart_from_its_end_and_from_what_people_write() -> None:
    said = ("Incident: no good answer.", "The incident of 9:30 is over.", "We had an Incident: it was the disk.")
    facts = tuple(
        Fact("minor-pilot-4751-1", FactKind.JOURNAL_ENTRY, "PIC", str(n), NOW, "pps", {"text": text, "user": ""})
        for n, text in enumerate(said)
    )
    record = Rollout("minor-pilot-4751-1", facts)
    assert incidents(record) == [said[0]]
    assert incidents(record, over=True) == [said[1]]
