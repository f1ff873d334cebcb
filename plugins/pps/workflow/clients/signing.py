"""The questions to Release Manager and PPS Coordinator whether they sign what sites with a kit may do (docs/kit.md)."""

from __future__ import annotations

from pps.activities.clients import signing as activity
from pps.activities.people.asking import Asking
from pps.domain.people.questions import Given
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact
from pps.workflow.desk import FrontDesk
from pps.workflow.forms import Form, text_field


def _form(step: str) -> Form:
    def prepare(d: FrontDesk, role: str) -> Asking | None:
        # a withdrawal is signed although the rollout has ended, which may be long ago
        if step == activity.PREVIEW and d.rollout.is_over:
            return None
        wanted = activity.to_be_signed(d, step, role, d.services.keys_in_force)
        if not wanted:
            return None
        due = d.due(step, role, d.now + d.policies.statements.sign_within)
        opened = d.rollout.opened
        what = "the preview" if step == activity.PREVIEW else "the withdrawal"
        return Asking(
            title=f"{role}: please sign {what} of {opened['metapackage']} {opened['version']}",
            body=d.templates.render(
                "ask_signature.md", activity.question_view(d.rollout, wanted, d.config.sites.values(), role, due)
            ),
            due=due,
            assigned_to=(f"role:{role}",),
            to=d.config.people.role_contacts.get(Role(role), ""),
            outlives=step == activity.WITHDRAWAL,
        )

    def follow(d: FrontDesk, role: str, given: Given) -> tuple[Fact, ...]:
        return activity.facts_of_answer(d, role, given, d.services.keys_in_force, d.services.check_signatures)

    return Form(
        step=step,
        options=activity.OPTIONS,
        prepare=prepare,
        follow=follow,
        silence=lambda d, role: (),
        fields={
            "signatures": text_field("Signatures", "What `pps sign` has written. It answers for you, too."),
            "remarks": text_field("Remarks", "If you do not sign it, say why."),
        },
    )


FORMS = tuple(_form(step) for step in activity.ACTIONS)
