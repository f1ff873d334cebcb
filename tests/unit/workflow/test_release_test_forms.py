"""The two questions of a release test, as the human step puts them and takes their answers (no Airflow runs)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from tests.support.desks import front
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, MemoryTracker, services, site, write_config  # noqa: F401
from tests.support.release_tests import CERTIFIED, DUE, LATE, AReleaseTest

from pps.domain.base.errors import RefusedError
from pps.domain.people.questions import Given
from pps.domain.quality.release_tests import ACCEPT, DECISION, MANAGER, REJECT, STEP
from pps.domain.record.facts import FactKind
from pps.workflow.form_book import FORMS
from pps.workflow.quality import release_tests as forms

FRIDAY = datetime(2026, 3, 6, 14, tzinfo=UTC)


@pytest.fixture
def test() -> AReleaseTest:
    return AReleaseTest().delivered()


@pytest.fixture
def s(services: MemoryServices, test: AReleaseTest) -> MemoryServices:
    folder = services.config.folder
    sites = [
        site("PIC", roc="SouthWest", timezone="Europe/Madrid", administrators=["ana", "joan"]),
        site("IFIC-LCG2", roc="SouthWest"),
    ]
    config = write_config(folder, sites)
    pool = {"name": "spain", "roc": "SouthWest", "sites": ["PIC", "IFIC-LCG2"], "services": ["CREAM-CE"]}
    (folder / "pools.yaml").write_text(yaml.safe_dump({"pools": [pool]}))
    given = {
        "clock": lambda: FRIDAY,
        "facts": test.store,
        "tracker": MemoryTracker(CERTIFIED),
        "templates": templates(),
    }
    return MemoryServices(config, lambda _: None, given)


def given(choice: str, at: datetime = NOW, **form: Any) -> Given:
    return Given(choice, {"services": None, "report": None, **form}, "ana", at)


@pytest.mark.sd("4.2.3")
def test_a_site_is_asked_through_its_own_people_until_its_own_next_working_day(
    s: MemoryServices, test: AReleaseTest
) -> None:
    asked = forms.RELEASE_TEST.prepare(front(s, test.record), "PIC")
    assert asked.due == FRIDAY + timedelta(days=3)
    assert asked.assigned_to == ("user:ana", "user:joan")
    assert asked.to == "admin@pic.example.org"
    assert asked.title == "PIC: please try glite-WN 3.1.23 before it goes public"
    assert "usually CREAM-CE" in asked.body
    assert "Mon 9 Mar 2026, 15:00 Europe/Madrid" in asked.body
    assert "https://pps.example.org/pps/api/v1/rollouts/release-test-4711-1/answers" in asked.body


def test_a_retry_does_not_start_the_time_again(s: MemoryServices, test: AReleaseTest) -> None:
    test.ask(STEP, "PIC", DUE, "user:ana")
    assert forms.RELEASE_TEST.prepare(front(s, test.record), "PIC").due == DUE


def test_a_site_without_administrators_is_the_coordination_s_and_one_that_left_is_not_asked(
    s: MemoryServices, test: AReleaseTest
) -> None:
    assert forms.RELEASE_TEST.prepare(front(s, test.record), "IFIC-LCG2").assigned_to == ("role:PPS Coordinator",)
    assert forms.RELEASE_TEST.prepare(front(s, test.record), "INFN-T1") is None


def test_nobody_is_asked_any_more_when_it_was_decided(s: MemoryServices, test: AReleaseTest) -> None:
    test.ask(STEP, "PIC", DUE, "user:ana")
    test.answers("PIC", ACCEPT, user="ana").decided("Release")
    assert forms.RELEASE_TEST.prepare(front(s, test.record), "IFIC-LCG2") is None
    assert forms.RELEASE_DECISION.prepare(front(s, test.record), MANAGER) is None


def test_an_acceptance_credits_the_site_and_its_person(s: MemoryServices, test: AReleaseTest) -> None:
    (credit,) = forms.RELEASE_TEST.follow(front(s, test.record), "PIC", given(ACCEPT, services="CREAM-CE"))
    assert (credit.kind, credit.subject, credit.payload["person"]) == (FactKind.CREDITED, "PIC", "ana")
    with pytest.raises(RefusedError, match="does not say why"):
        forms.RELEASE_TEST.follow(front(s, test.record), "PIC", given(REJECT, services="CREAM-CE"))
    assert forms.RELEASE_TEST.silence(front(s, test.record), "PIC") == ()


@pytest.mark.sd("4.2.3")
def test_the_release_manager_is_asked_with_all_answers_and_has_until_the_policy_s_date(
    s: MemoryServices, test: AReleaseTest
) -> None:
    test.ask(STEP, "PIC", DUE, "user:ana")
    test.answers("PIC", REJECT, user="ana")
    asked = forms.RELEASE_DECISION.prepare(front(s, test.record), MANAGER)
    assert asked.assigned_to == ("role:Release Manager",)
    assert asked.due == FRIDAY + timedelta(days=14)
    assert asked.to == s.config.service.reply_to
    assert "Jobs are lost." in asked.body
    facts = forms.RELEASE_DECISION.follow(
        front(s, test.record), MANAGER, Given("Hold", {"reason": "Jobs."}, "grace", LATE)
    )
    assert [f.kind for f in facts] == [FactKind.DECIDED]


@pytest.mark.sd("4.2.3")
def test_the_manager_s_silence_is_a_hold_on_record(s: MemoryServices, test: AReleaseTest) -> None:
    test.ask(DECISION, MANAGER, DUE, "role:Release Manager")
    (fact,) = forms.RELEASE_DECISION.silence(front(s, test.record), MANAGER)
    assert fact.payload["decision"] == "Hold"
    assert fact.payload["user"] == ""


def test_both_forms_are_in_the_book_and_every_field_has_a_valid_default() -> None:
    from jsonschema import Draft202012Validator

    for form in forms.FORMS:
        assert FORMS[form.step] is form
        for schema in (form.fields or {}).values():
            Draft202012Validator(schema).validate(schema["default"])


def test_an_unknown_role_is_an_error_of_people_yaml(s: MemoryServices) -> None:
    from pps.config.loader import problems_in
    from pps.config.people_models import PeopleFile

    file = s.config.folder / "people.yaml"
    people = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(people | {"role_contacts": {"Relase Manager": "rm@example.org"}}))
    (problem,) = problems_in(file, PeopleFile)
    assert "Relase Manager" in problem
