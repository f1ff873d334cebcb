"""The questions of a release test: to each site's people, and to the Release Manager (SD 4.2.3)."""

from __future__ import annotations

from pps.activities.quality import release_answers
from pps.activities.release import decision as release_decision
from pps.domain.base.working_days import due_after
from pps.domain.people import questions
from pps.domain.people.roles import Role
from pps.domain.quality import release_tests as rules
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.orchestration.forms import Asking, Form, Given, people_of, text_field
from pps.orchestration.runtime import actor, now
from pps.services import Services


def _prepare_question(s: Services, record: Rollout, site_name: str) -> Asking | None:
    site = s.config.sites.get(site_name)
    if site is None or record.is_closed or rules.decision(record) is not None:
        return None
    put = questions.question(record, rules.STEP, site_name)
    policy = s.config.policies.release_test
    due = put.due if put else due_after(now(), policy.answer_working_days, site.timezone, policy.working_weekdays)
    patch = s.tracker.patch(record.patch_number)
    usual = next((pool.services for pool in s.config.pools if site_name in pool.sites), ())
    link = release_answers.late_link(s.config.service.public_url, record)
    return Asking(
        title=f"{site.name}: please try {patch.metapackage} {patch.version} before it goes public",
        body=s.templates.render(
            "ask_release_test.md",
            release_answers.question_view(record, patch, site, usual, due, link, s.published_keys, s.templates),
        ),
        due=due,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _follow_answer(s: Services, record: Rollout, site: str, given: Given) -> tuple[Fact, ...]:
    activity = s.config.activity(release_answers.ACTIVITY)
    return release_answers.facts_of_answer(record, site, given.choice, given.form, given.user, given.at, activity)


def _prepare_decision(s: Services, record: Rollout, role: str) -> Asking | None:
    if record.is_closed or rules.decision(record) is not None:
        return None
    put = questions.question(record, rules.DECISION, role)
    due = put.due if put else now() + s.config.policies.release_test.decide_within
    patch = s.tracker.patch(record.patch_number)
    return Asking(
        title=f"{role}: release {patch.metapackage} {patch.version} to production?",
        body=s.templates.render("ask_release_decision.md", release_decision.decision_view(record, patch, due)),
        due=due,
        assigned_to=(f"role:{role}",),
        to=s.config.people.role_contacts.get(Role(role), s.config.service.reply_to),
    )


def _follow_decision(s: Services, record: Rollout, role: str, given: Given) -> tuple[Fact, ...]:
    return release_decision.facts_of_decision(record, given.choice, given.form, given.user, given.at)


def _no_decision(s: Services, record: Rollout, role: str) -> tuple[Fact, ...]:
    asked = questions.question(record, rules.DECISION, role)
    return release_decision.facts_of_no_decision(record, asked.due, now(), actor()) if asked else ()


RELEASE_TEST = Form(
    step=rules.STEP,
    options=rules.ANSWERS,
    prepare=_prepare_question,
    follow=_follow_answer,
    silence=lambda s, record, site: (),
    fields={
        "services": text_field("Services", "To which of your grid services you applied it. Needed to accept it."),
        "report": text_field("Report", "What you did and saw. Needed unless you accept it."),
    },
)

RELEASE_DECISION = Form(
    step=rules.DECISION,
    options=rules.DECISIONS,
    prepare=_prepare_decision,
    follow=_follow_decision,
    silence=_no_decision,
    fields={
        "reason": text_field("Reason", "Needed to hold it, and to release it against a rejection or without trial.")
    },
)

FORMS = (RELEASE_TEST, RELEASE_DECISION)
