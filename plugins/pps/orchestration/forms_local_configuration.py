"""The question to a site's people whether they have configured the preview (SD 4.1.2, step 3)."""

from __future__ import annotations

from pps.activities.clients import local_configuration as activity
from pps.activities.packages import tarball
from pps.domain.people import questions
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.orchestration import forms
from pps.orchestration.alarm import watched
from pps.orchestration.forms import Asking, Form, Given, people_of, text_field
from pps.orchestration.runtime import actor, now
from pps.services import Services


def _prepare(s: Services, record: Rollout, site_name: str) -> Asking | None:
    site = s.config.sites.get(site_name)
    if site is None or record.is_over or not record.holds_preview(site_name):
        return None
    put = questions.question(record, activity.STEP, site_name)
    due = put.due if put else now() + s.config.policies.local_configuration.answer_within
    patch = s.tracker.patch(record.patch_number)
    with watched(s, record):
        view = activity.instructions(record, patch, site, tarball.tarball_on_record(record), due)
    return Asking(
        title=f"{site.name}: please configure the preview of {patch.metapackage} {patch.version}",
        body=s.templates.render("ask_local_configuration.md", view),
        due=due,
        assigned_to=people_of(site),
        to=site.contact,
    )


def _follow(s: Services, record: Rollout, site_name: str, given: Given) -> tuple[Fact, ...]:
    if record.is_withdrawn:
        return ()  # they could not know; their answer is kept
    facts = activity.facts_of_answer(record, site_name, given.choice, given.form, given.user, now(), actor())
    if given.choice != activity.CONFIGURED:
        return facts
    return (*facts, forms.credit_of_site(s, record, "local-configuration", site_name, "", given))


def _silence(s: Services, record: Rollout, site: str) -> tuple[Fact, ...]:
    asked = questions.question(record, activity.STEP, site)
    return (
        activity.facts_of_silence(record, site, asked.due, now(), actor()) if asked and not record.is_withdrawn else ()
    )


def _after(s: Services, record: Rollout, site_name: str) -> None:
    if site := s.config.sites.get(site_name):
        activity.tell_left_out(record, s.facts, site, s.templates, now(), actor())
    s.write_bulletin(now())


FORM = Form(
    step=activity.STEP,
    options=activity.OPTIONS,
    prepare=_prepare,
    follow=_follow,
    silence=_silence,
    after=_after,
    fields={
        "settings": text_field("What was set", "One NAME=value a line. No passwords, no keys."),
        "remarks": text_field("Remarks", "Needed if you cannot configure it: why."),
    },
)
