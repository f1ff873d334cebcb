"""The two questions of a joint decision: to the EMT, and to the PPS coordination (SD 4.1.3)."""

from __future__ import annotations

from pps.activities.people.asking import Asking
from pps.activities.release import overruling as activity
from pps.domain.people.overruling import ROLES
from pps.domain.people.questions import Given
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact
from pps.workflow.desk import FrontDesk
from pps.workflow.forms import Form, text_field


def _form(step: str) -> Form:
    def prepare(d: FrontDesk, role: str) -> Asking | None:
        if d.rollout.is_closed:
            return None
        patch = d.patch
        what = f"{patch.metapackage} {patch.version} ({d.rollout.opened['urgency']})"
        return Asking(
            title=f"{role}: overrule the policies for {what}?",
            body=d.templates.render("ask_overruling.md", activity.question_view(d.rollout, patch, role)),
            due=d.due(step, role, d.now + d.policies.overrule.answer_within),
            assigned_to=(f"role:{role}",),
            to=d.config.people.role_contacts.get(Role(role), ""),
        )

    def follow(d: FrontDesk, role: str, given: Given) -> tuple[Fact, ...]:
        activity.check_answer(f"{role} on {d.name}", given.choice, given.form)
        return ()

    return Form(
        step=step,
        options=activity.OPTIONS,
        prepare=prepare,
        follow=follow,
        silence=lambda d, role: (),
        fields={"remarks": text_field("Remarks", "If you refuse, say why. Release notes show who decided.")},
    )


FORMS = tuple(_form(step) for step in ROLES)
