"""The question to a PPS member site: how did the update do in this scenario (SD 4.2.2)?"""

from __future__ import annotations

from pps.activities.people.asking import LONGEST_TEXT, Asking
from pps.activities.quality import deployment_tests
from pps.adapters.services.templates import duration
from pps.domain.people.questions import Given
from pps.domain.quality.scenarios import ScenarioResult, planned_scenario, scenario_end
from pps.domain.record.facts import Fact
from pps.workflow.desk import FrontDesk
from pps.workflow.forms import Form, credit_of_site, people_of

STEP = "deployment-scenario"


def _prepare(d: FrontDesk, about: str) -> Asking | None:
    scenario = planned_scenario(d.rollout, about)
    site = d.site(scenario.runner)
    if site is None or scenario_end(d.rollout, about) is not None:
        return None  # nobody to ask, which the close of the test puts on record; or nothing to ask any more
    patch = d.patch
    return Asking(
        title=f"Deployment test: {patch.metapackage} {patch.version} on {scenario.platform} ({scenario.name})",
        body=d.templates.render("deployment_scenario.md", {"patch": patch, "scenario": scenario, "site": site}),
        due=d.now + d.policies.deployment_test.answer_within,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _check(d: FrontDesk, about: str, given: Given) -> None:
    deployment_tests.check_answer(about, given)


def _follow(d: FrontDesk, about: str, given: Given) -> tuple[Fact, ...]:
    facts = deployment_tests.ended_at_site(d, about, given, d.services.publication_folder)
    runner = planned_scenario(d.rollout, about).runner
    return (*facts, credit_of_site(d, STEP, runner, about, given)) if facts else ()


def _silence(d: FrontDesk, about: str) -> tuple[Fact, ...]:
    site = planned_scenario(d.rollout, about).runner
    within = d.policies.deployment_test.answer_within
    reason = f"{site} has not answered within {duration(within)}."
    return deployment_tests.nobody_ran(d, about, reason)


def _text(title: str, description: str) -> dict[str, object]:
    kind = {"type": "string", "format": "multiline", "maxLength": LONGEST_TEXT - 2000, "default": ""}
    return {**kind, "title": title, "description": description}


DEPLOYMENT_SCENARIO = Form(
    step=STEP,
    options=tuple(result.capitalize() for result in ScenarioResult),
    prepare=_prepare,
    follow=_follow,
    silence=_silence,
    check=_check,
    fields={
        "report": _text("Report", "What you did and saw. Needed unless it passed."),
        "log": _text("Log", "The part of the log that shows it. It is published, and goes to the provider."),
    },
)
