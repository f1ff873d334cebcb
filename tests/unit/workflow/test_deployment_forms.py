"""The question to a PPS member site: what it is asked, and what its answer or its silence means."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.deployment_bench import opened
from tests.support.desks import front
from tests.support.examples import NOW, PATCH, sqlite_store, templates
from tests.support.front import MemoryServices, MemoryTracker, site, write_config
from tests.support.scenarios import a_scenario
from upath import UPath

from pps.adapters.packages.folders import PublishedFolder
from pps.config.loader import Configuration
from pps.domain.base.errors import RefusedError
from pps.domain.people.questions import Given
from pps.domain.quality.scenarios import ScenarioResult, scenario_result
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.workflow.form_book import FORMS

FORM = FORMS["deployment-scenario"]
SCENARIO = a_scenario("wn-torque", system="torque", runner="CNAF-PPS")


@pytest.fixture
def services(tmp_path: Path) -> MemoryServices:
    config = write_config(tmp_path / "config", [site("CNAF-PPS", infrastructure="PPS", administrators=["ada"])])
    given = {
        "facts": sqlite_store(),
        "tracker": MemoryTracker(PATCH),
        "templates": templates(),
        "publication_folder": PublishedFolder(UPath(tmp_path / "www")),
    }
    return MemoryServices(config, lambda _: None, given)


@pytest.fixture
def record(services: MemoryServices) -> Rollout:
    return opened(services.facts, PATCH, [SCENARIO])


def result_of(services: MemoryServices, record: Rollout, facts: tuple[Fact, ...]) -> ScenarioResult | None:
    services.facts.record(*facts)
    return scenario_result(services.facts.rollout(record.name), "wn-torque")


def answer(choice: str, **form: str) -> Given:
    return Given(choice, {"report": "", "log": ""} | form, "ada", NOW)


def test_the_sites_people_are_asked_with_all_that_they_need(services: MemoryServices, record: Rollout) -> None:
    asking = FORM.prepare(front(services, record), "wn-torque")
    assert asking is not None
    assert asking.assigned_to == ("user:ada",)
    assert asking.to == "admin@cnaf-pps.example.org"
    assert asking.due == NOW + timedelta(days=5)
    for text in ("glite-WN 3.1.23", "torque", "voms-clients-2.1.0~rc3-3.amd64", PATCH.repository.url, "None."):
        assert text in asking.body


def test_nobody_is_asked_at_a_site_that_left_or_about_a_scenario_that_has_ended(
    services: MemoryServices, record: Rollout
) -> None:
    (services.config.folder / "sites.yaml").write_text(json.dumps({"sites": []}))
    gone = MemoryServices(Configuration(services.config.folder), lambda _: None, services.given)
    assert FORM.prepare(front(gone, record), "wn-torque") is None
    result_of(services, record, FORM.follow(front(services, record), "wn-torque", answer("Pass")))
    assert FORM.prepare(front(services, services.facts.rollout(record.name)), "wn-torque") is None


@pytest.mark.sd("4.2.2")
@pytest.mark.parametrize("choice", ["Pass", "Fail", "Inconclusive"])
def test_an_answer_ends_the_scenario_with_its_report_and_log(
    services: MemoryServices, record: Rollout, choice: str
) -> None:
    assert choice in FORM.options
    given = answer(choice, report="pbs_mom starts.", log="mom: ready")
    facts = FORM.follow(front(services, record), "wn-torque", given)
    assert result_of(services, record, facts) == choice.lower()
    log = services.publication_folder.root / facts[0].payload["log"]
    assert "mom: ready" in log.read_text()


def test_a_failure_without_a_word_is_asked_for_again(services: MemoryServices, record: Rollout) -> None:
    with pytest.raises(RefusedError):
        FORM.follow(front(services, record), "wn-torque", answer("Fail"))


@pytest.mark.sd("4.2.2")
def test_silence_is_inconclusive_and_says_so(services: MemoryServices, record: Rollout) -> None:
    facts = FORM.silence(front(services, record), "wn-torque")
    assert result_of(services, record, facts) is ScenarioResult.INCONCLUSIVE
    assert facts[0].payload["reason"] == "CNAF-PPS has not answered within 5 days."
    assert FORM.silence(front(services, services.facts.rollout(record.name)), "wn-torque") == ()
