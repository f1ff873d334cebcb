"""The two questions of a joint decision: to the EMT, and to the PPS coordination (SD 4.1.3)."""

from __future__ import annotations

from pps.activities.release import overruling as activity
from pps.domain.people import questions
from pps.domain.people.overruling import ROLES
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.orchestration.forms import Asking, Form, Given, text_field
from pps.orchestration.runtime import now
from pps.services import Services


def _form(step: str) -> Form:
    def prepare(s: Services, record: Rollout, role: str) -> Asking | None:
        if record.is_closed:
            return None
        put = questions.question(record, step, role)
        patch = s.tracker.patch(record.patch_number)
        what = f"{patch.metapackage} {patch.version} ({record.opened['urgency']})"
        return Asking(
            title=f"{role}: overrule the policies for {what}?",
            body=s.templates.render("ask_overruling.md", activity.question_view(record, patch, role)),
            due=put.due if put else now() + s.config.policies.overrule.answer_within,
            assigned_to=(f"role:{role}",),
            to=s.config.people.role_contacts.get(Role(role), ""),
        )

    def follow(s: Services, record: Rollout, role: str, given: Given) -> tuple[Fact, ...]:
        activity.check_answer(f"{role} on {record.name}", given.choice, given.form)
        return ()

    return Form(
        step=step,
        options=activity.OPTIONS,
        prepare=prepare,
        follow=follow,
        silence=lambda s, record, role: (),
        fields={"remarks": text_field("Remarks", "Needed if you refuse: why. Release notes show who decided.")},
    )


FORMS = tuple(_form(step) for step in ROLES)
