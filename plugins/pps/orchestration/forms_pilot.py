"""The Coordinator's questions before a pilot: is the request accepted, and which sites run it (SD 4.1.3, 1 and 2)?"""

from __future__ import annotations

from pps.activities.pilots import effort as pilot_effort
from pps.activities.pilots import request as pilot_request
from pps.activities.pilots import screening as pilot_screening
from pps.domain.people import questions
from pps.domain.people.roles import Role
from pps.domain.pilots.pilot import ACCEPTANCE, SELECTION, Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.orchestration.forms import Asking, Form, Given, line_field, text_field
from pps.orchestration.runtime import actor, now
from pps.services import Services


def _coordinator(s: Services) -> str:
    return s.config.people.role_contacts.get(Role.PPS_COORDINATOR, s.config.service.reply_to)


def _asking(s: Services, record: Rollout, step: str, role: str, question: str, body: str) -> Asking:
    put = questions.question(record, step, role)
    opened = record.opened
    return Asking(
        title=f"{role}: {question} ({opened['metapackage']} {opened['version']}, patch {opened['patch']})",
        body=body,
        due=put.due if put else now() + s.config.policies.pilots.answer_within,
        assigned_to=(f"role:{Role.PPS_COORDINATOR}",),
        to=_coordinator(s),
    )


def _prepare_acceptance(s: Services, record: Rollout, role: str) -> Asking | None:
    if record.is_over or Pilot(record).acceptance is not None:
        return None
    view = pilot_request.acceptance_view(record, s.tracker.patch(record.patch_number))
    body = s.templates.render("ask_pilot_acceptance.md", view)
    return _asking(s, record, ACCEPTANCE, role, "is this pilot accepted?", body)


def _follow_acceptance(s: Services, record: Rollout, role: str, given: Given) -> tuple[Fact, ...]:
    return pilot_request.facts_of_acceptance(record, given.choice, given.form, given.user, given.at, actor())


def _no_acceptance(s: Services, record: Rollout, role: str) -> tuple[Fact, ...]:
    asked = questions.question(record, ACCEPTANCE, role)
    return pilot_request.facts_of_silence(record, asked.due, now(), actor()) if asked else ()


def _after_acceptance(s: Services, record: Rollout, role: str) -> None:
    requested = record.need(FactKind.PILOT_REQUESTED, "Ask for the pilot first.").payload
    people = s.config.people
    contacts = {vo.name: vo.contact for vo in people.vos}
    to = contacts.get(requested["vo"], "") if requested["vo"] else people.role_contacts.get(Role.EMT, "")
    pilot_request.tell_acceptance(record, s.facts, to, s.templates, now(), actor())


def _prepare_selection(s: Services, record: Rollout, role: str) -> Asking | None:
    if record.is_over or record.has(FactKind.SITES_SELECTED):
        return None
    put = questions.question(record, SELECTION, role)
    due = put.due if put else now() + s.config.policies.pilots.answer_within
    view = pilot_screening.selection_view(record, s.tracker.patch(record.patch_number), due)
    body = s.templates.render("ask_pilot_selection.md", view)
    return _asking(s, record, SELECTION, role, "which sites run this pilot?", body)


def _follow_selection(s: Services, record: Rollout, role: str, given: Given) -> tuple[Fact, ...]:
    patch = s.tracker.patch(record.patch_number)
    return pilot_screening.facts_of_selection(
        record, patch, given.choice, given.form, given.user, given.at, f"user {given.user}"
    )


def _after_selection(s: Services, record: Rollout, role: str) -> None:
    if record.has(FactKind.SITES_SELECTED):
        pilot_effort.credit_pilot(record, s.facts, s.config.activities, s.config.sites, now(), actor())
        return
    answer = questions.decisive(record, SELECTION, role)
    reason = str(answer.form.get("reason") or "") if answer else "The PPS Coordinator has selected no site in time."
    pilot_screening.close_without_site(record, s.facts, reason, now(), actor())


ACCEPTANCE_FORM = Form(
    step=ACCEPTANCE,
    options=pilot_request.OPTIONS,
    prepare=_prepare_acceptance,
    follow=_follow_acceptance,
    silence=_no_acceptance,
    after=_after_acceptance,
    fields={"reason": text_field("Reason", "Needed to decline it. Who asked will read it.")},
)

SELECTION_FORM = Form(
    step=SELECTION,
    options=pilot_screening.OPTIONS,
    prepare=_prepare_selection,
    follow=_follow_selection,
    silence=lambda s, record, role: (),
    after=_after_selection,
    fields={
        "sites": text_field("Sites", "Names of candidates, one a line. Needed to select."),
        "installation": line_field("Installation guide", "Where it is; needed if the patch does not say so."),
        "configuration": line_field("Configuration guide", "Where it is; needed if the patch does not say so."),
        "reason": text_field("Reason", "Why these. Needed if no site can run it: why."),
    },
)

FORMS = (ACCEPTANCE_FORM, SELECTION_FORM)
