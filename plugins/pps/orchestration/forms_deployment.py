"""The question to a PPS member site: how did the update do in this scenario (SD 4.2.2)?"""

from __future__ import annotations

from pps.activities.people.asking import LONGEST_TEXT
from pps.activities.quality import deployment_tests
from pps.adapters.services.templates import duration
from pps.domain.quality.scenarios import ScenarioResult, planned_scenario, scenario_end
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.orchestration import forms
from pps.orchestration.forms import Asking, Form, Given, people_of
from pps.orchestration.runtime import actor, now
from pps.services import Services

STEP = "deployment-scenario"


def _prepare(s: Services, record: Rollout, about: str) -> Asking | None:
    scenario = planned_scenario(record, about)
    site = s.config.sites.get(scenario.runner)
    if site is None or scenario_end(record, about) is not None:
        return None  # nobody to ask, which the close of the test puts on record; or nothing to ask any more
    patch = s.tracker.patch(record.patch_number)
    return Asking(
        title=f"Deployment test: {patch.metapackage} {patch.version} on {scenario.platform} ({scenario.name})",
        body=s.templates.render("deployment_scenario.md", {"patch": patch, "scenario": scenario, "site": site}),
        due=now() + s.config.policies.deployment_test.answer_within,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _follow(s: Services, record: Rollout, about: str, given: Given) -> tuple[Fact, ...]:
    facts = deployment_tests.ended_at_site(
        record,
        about,
        ScenarioResult(given.choice.lower()),
        str(given.form.get("report") or ""),
        str(given.form.get("log") or ""),
        publication=s.publication_folder,
        user=given.user,
        at=given.at,
    )
    runner = planned_scenario(record, about).runner
    return (*facts, forms.credit_of_site(s, record, STEP, runner, about, given)) if facts else ()


def _silence(s: Services, record: Rollout, about: str) -> tuple[Fact, ...]:
    site = planned_scenario(record, about).runner
    within = s.config.policies.deployment_test.answer_within
    reason = f"{site} has not answered within {duration(within)}."
    return deployment_tests.nobody_ran(record, about, reason, now(), actor())


def _text(title: str, description: str) -> dict[str, object]:
    kind = {"type": "string", "format": "multiline", "maxLength": LONGEST_TEXT - 2000, "default": ""}
    return {**kind, "title": title, "description": description}


DEPLOYMENT_SCENARIO = Form(
    step=STEP,
    options=tuple(result.capitalize() for result in ScenarioResult),
    prepare=_prepare,
    follow=_follow,
    silence=_silence,
    fields={
        "report": _text("Report", "What you did and saw. Needed unless it passed."),
        "log": _text("Log", "The part of the log that shows it. It is published, and goes to the provider."),
    },
)
