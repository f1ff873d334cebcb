"""The questions of a release test: to each site's people, and to the Release Manager (SD 4.2.3)."""

from __future__ import annotations

from pps.activities.people.asking import Asking
from pps.activities.quality import release_answers
from pps.activities.release import decision as release_decision
from pps.domain.base.working_days import due_after
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.people.roles import Role
from pps.domain.quality import release_tests as rules
from pps.domain.record.facts import Fact
from pps.workflow.desk import FrontDesk
from pps.workflow.forms import Form, people_of, text_field


def _prepare_question(d: FrontDesk, site_name: str) -> Asking | None:
    site = d.site(site_name)
    if site is None or d.rollout.is_closed or rules.decision(d.rollout) is not None:
        return None
    put = questions.question(d.rollout, rules.STEP, site_name)
    policy = d.policies.release_test
    due = put.due if put else due_after(d.now, policy.answer_working_days, site.timezone, policy.working_weekdays)
    patch = d.patch
    usual = next((pool.services for pool in d.config.pools if site_name in pool.sites), ())
    link = release_answers.late_link(d.config.service.public_url, d.rollout)
    return Asking(
        title=f"{site.name}: please try {patch.metapackage} {patch.version} before it goes public",
        body=d.templates.render(
            "ask_release_test.md",
            release_answers.question_view(d, patch, site, usual, due, link, d.services.published_keys),
        ),
        due=due,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _follow_answer(d: FrontDesk, site: str, given: Given) -> tuple[Fact, ...]:
    activity = d.config.activity(release_answers.ACTIVITY)
    return release_answers.facts_of_answer(d.rollout, site, given, activity)


def _prepare_decision(d: FrontDesk, role: str) -> Asking | None:
    if d.rollout.is_closed or rules.decision(d.rollout) is not None:
        return None
    due = d.due(rules.DECISION, role, d.now + d.policies.release_test.decide_within)
    patch = d.patch
    return Asking(
        title=f"{role}: release {patch.metapackage} {patch.version} to production?",
        body=d.templates.render("ask_release_decision.md", release_decision.decision_view(d.rollout, patch, due)),
        due=due,
        assigned_to=(f"role:{role}",),
        to=d.config.people.role_contacts.get(Role(role), d.config.service.reply_to),
    )


def _follow_decision(d: FrontDesk, role: str, given: Given) -> tuple[Fact, ...]:
    return release_decision.facts_of_decision(d, given)


def _no_decision(d: FrontDesk, role: str) -> tuple[Fact, ...]:
    asked = questions.question(d.rollout, rules.DECISION, role)
    return release_decision.facts_of_no_decision(d, asked.due) if asked else ()


RELEASE_TEST = Form(
    step=rules.STEP,
    options=rules.ANSWERS,
    prepare=_prepare_question,
    follow=_follow_answer,
    silence=lambda d, site: (),
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
        "reason": text_field("Reason", "Needed to hold it, and to release it against a rejection or without a trial.")
    },
)

FORMS = (RELEASE_TEST, RELEASE_DECISION)
