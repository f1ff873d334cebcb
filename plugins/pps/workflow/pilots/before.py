"""The Coordinator's questions before a pilot: is the request accepted, and which sites run it (SD 4.1.3, 1 and 2)?"""

from __future__ import annotations

from pps.activities.people.asking import Asking
from pps.activities.pilots import effort, request, screening
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.people.roles import Role
from pps.domain.pilots.pilot import ACCEPTANCE, SELECTION, Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.workflow.desk import FrontDesk
from pps.workflow.forms import Form, line_field, text_field


def _asking(d: FrontDesk, step: str, role: str, question: str, body: str) -> Asking:
    opened = d.rollout.opened
    return Asking(
        title=f"{role}: {question} ({opened['metapackage']} {opened['version']}, patch {opened['patch']})",
        body=body,
        due=d.due(step, role, d.now + d.policies.pilots.answer_within),
        assigned_to=(f"role:{Role.PPS_COORDINATOR}",),
        to=d.services.coordination.address,
    )


def _prepare_acceptance(d: FrontDesk, role: str) -> Asking | None:
    if d.rollout.is_over or Pilot(d.rollout).acceptance is not None:
        return None
    view = request.acceptance_view(d.rollout, d.patch)
    body = d.templates.render("ask_pilot_acceptance.md", view)
    return _asking(d, ACCEPTANCE, role, "is this pilot accepted?", body)


def _follow_acceptance(d: FrontDesk, role: str, given: Given) -> tuple[Fact, ...]:
    return request.facts_of_acceptance(d.by(given.who, given.at), given)


def _no_acceptance(d: FrontDesk, role: str) -> tuple[Fact, ...]:
    asked = questions.question(d.rollout, ACCEPTANCE, role)
    return request.facts_of_silence(d, asked.due) if asked else ()


def _after_acceptance(d: FrontDesk, role: str) -> None:
    requested = d.rollout.need(FactKind.PILOT_REQUESTED, "Ask for the pilot first.").payload
    people = d.config.people
    contacts = {vo.name: vo.contact for vo in people.vos}
    to = contacts.get(requested["vo"], "") if requested["vo"] else people.role_contacts.get(Role.EMT, "")
    request.tell_acceptance(d, to)


def _prepare_selection(d: FrontDesk, role: str) -> Asking | None:
    if d.rollout.is_over or d.rollout.has(FactKind.SITES_SELECTED):
        return None
    due = d.due(SELECTION, role, d.now + d.policies.pilots.answer_within)
    view = screening.selection_view(d.rollout, d.patch, due)
    body = d.templates.render("ask_pilot_selection.md", view)
    return _asking(d, SELECTION, role, "which sites run this pilot?", body)


def _follow_selection(d: FrontDesk, role: str, given: Given) -> tuple[Fact, ...]:
    patch = d.patch
    return screening.facts_of_selection(d.by(given.who, given.at), patch, given)


def _after_selection(d: FrontDesk, role: str) -> None:
    if d.rollout.has(FactKind.SITES_SELECTED):
        effort.credit_pilot(d, d.config.activities, d.config.sites)
        return
    answer = questions.decisive(d.rollout, SELECTION, role)
    reason = str(answer.form.get("reason") or "") if answer else "The PPS Coordinator has selected no site in time."
    screening.close_without_site(d, reason)


ACCEPTANCE_FORM = Form(
    step=ACCEPTANCE,
    options=request.OPTIONS,
    prepare=_prepare_acceptance,
    follow=_follow_acceptance,
    silence=_no_acceptance,
    after=_after_acceptance,
    fields={"reason": text_field("Reason", "Needed to decline it. Whoever asked will read it.")},
)

SELECTION_FORM = Form(
    step=SELECTION,
    options=screening.OPTIONS,
    prepare=_prepare_selection,
    follow=_follow_selection,
    silence=lambda d, role: (),
    after=_after_selection,
    fields={
        "sites": text_field("Sites", "Names of candidates, one a line. Needed to select."),
        "installation": line_field("Installation guide", "Where it is; needed if the patch does not say so."),
        "configuration": line_field("Configuration guide", "Where it is; needed if the patch does not say so."),
        "reason": text_field("Reason", "Why these sites. If no site can run it, say why."),
    },
)

FORMS = (ACCEPTANCE_FORM, SELECTION_FORM)
