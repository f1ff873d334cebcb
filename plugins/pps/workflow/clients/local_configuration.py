"""The question to a site's people whether they have configured the preview (SD 4.1.2, step 3)."""

from __future__ import annotations

from pps.activities.clients import local_configuration as activity
from pps.activities.packages import tarball
from pps.activities.people.asking import Asking
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.record.facts import Fact
from pps.workflow.alarm import watched
from pps.workflow.desk import FrontDesk
from pps.workflow.forms import Form, credit_of_site, people_of, text_field


def _prepare(d: FrontDesk, site_name: str) -> Asking | None:
    site = d.site(site_name)
    if site is None or d.rollout.is_over or not d.rollout.holds_preview(site_name):
        return None
    due = d.due(activity.STEP, site_name, d.now + d.policies.local_configuration.answer_within)
    patch = d.patch
    with watched(d):
        view = activity.instructions(d.rollout, patch, site, tarball.tarball_on_record(d.rollout), due)
    return Asking(
        title=f"{site.name}: please configure the preview of {patch.metapackage} {patch.version}",
        body=d.templates.render("ask_local_configuration.md", view),
        due=due,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _follow(d: FrontDesk, site_name: str, given: Given) -> tuple[Fact, ...]:
    if d.rollout.is_withdrawn:
        return ()  # they could not know; their answer is kept
    facts = activity.facts_of_answer(d, site_name, given)
    if given.choice != activity.CONFIGURED:
        return facts
    return (*facts, credit_of_site(d, "local-configuration", site_name, "", given))


def _silence(d: FrontDesk, site: str) -> tuple[Fact, ...]:
    asked = questions.question(d.rollout, activity.STEP, site)
    return activity.facts_of_silence(d, site, asked.due) if asked and not d.rollout.is_withdrawn else ()


def _after(d: FrontDesk, site_name: str) -> None:
    if site := d.site(site_name):
        activity.tell_left_out(d, site)
    d.write_bulletin()


FORM = Form(
    step=activity.STEP,
    options=activity.OPTIONS,
    prepare=_prepare,
    follow=_follow,
    silence=_silence,
    after=_after,
    fields={
        "settings": text_field("What was set", "One NAME=value a line. No passwords, no keys."),
        "remarks": text_field("Remarks", "If you cannot configure it, say why."),
    },
)
