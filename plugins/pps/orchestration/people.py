"""Human steps: a question to a site's or a role's people, parked in Airflow until they answer or the time is up.

Airflow shows the form and knows who may answer; what was asked and answered are facts of ours. So a task that is
cleared, retried or marked successful by hand changes nothing: whoever goes on reads the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import ParamValidationError

from pps.activities.people import asking, outbox
from pps.domain.base.errors import RefusedError, ServiceError
from pps.domain.people import questions
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.orchestration.form_book import FORMS
from pps.orchestration.forms import Given, put
from pps.orchestration.params import as_params
from pps.orchestration.runtime import actor, now, services
from pps.services import Services

EXPIRED = "expired"
NOT_ASKED = "not asked"
_SOONEST = timedelta(seconds=1)


def form_link(public_url: str, task: Any) -> str:
    """Where a human task is answered in a browser.

    Airflow 3.3's own `generate_link_to_ui` leads to a page without the form for each mapped task.
    """
    mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
    place = f"dags/{quote(task.dag_id)}/runs/{quote(task.run_id)}/tasks/{quote(task.task_id)}{mapped}"
    return f"{public_url.rstrip('/')}/{place}/required_actions"


class HumanStep(HITLOperator):
    """Asks with a form and waits; returns the option that was chosen, `expired` or `not asked`.

    ```python
    HumanStep(task_id="configure", form="local-configuration", rollout=rollout, about=site)
    ```
    """

    template_fields: Sequence[str] = ("rollout", "about")

    def __init__(self, *, form: str, rollout: str, about: str, **kwargs: Any) -> None:
        # by name: Airflow keeps a task's arguments as text
        self.form = FORMS[form]
        kwargs.pop("params", None)  # those of the DAG, which Airflow hands to every task
        # people have until the date that was agreed with them; Airflow would take a limit of the work for theirs
        kwargs["execution_timeout"] = None
        fields = as_params(self.form.fields or {})
        for field in fields.values():
            field.source = "task"
        super().__init__(
            subject=form,
            options=list(self.form.options),
            params=fields,
            **kwargs,
        )
        self.rollout = rollout
        self.about = about

    def execute(self, context: Context) -> Any:
        """Put the question unless it is answered already; park until the answer, or the agreed time."""
        with services() as s:
            record = s.facts.rollout(self.rollout)
            if standing := self._standing(record) or self._taken_now(record):
                return standing
            asking_for = self.form.prepare(s, record, self.about)
            if asking_for is None:
                return NOT_ASKED
            link = form_link(s.config.service.public_url, context["ti"])
            asked = put(s, record, self.form, self.about, asking_for, link=link, now=now(), actor=actor())
            outbox.empty_outbox(s.facts, s.mailer, now)
            if now() > asked.due:
                return self._silent(s)
        self.subject, self.body = asking_for.title, asking_for.body
        self.assigned_users = [{"id": who, "name": who.partition(":")[2]} for who in asked.assigned_to]
        # from the stored date: a retry does not start the time again
        self.response_timeout = max(asked.due - now(), _SOONEST)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take the answer. One that cannot be taken is asked for again, as long as there is time."""
        if event.get("error_type") == "timeout":
            with services() as s:
                return self._silent(s)
        try:
            given = super().execute_complete(context, event)
            return self._take(
                Given(
                    str(given["chosen_options"][0]),
                    dict(given["params_input"]),
                    str((given["responded_by_user"] or {}).get("name", "")),
                    given["responded_at"],
                )
            )
        except (ValueError, ParamValidationError, RefusedError) as error:
            self.log.warning("The answer cannot be taken, and is asked for again: %s", error)
        return self.execute(context)

    def _taken_now(self, record: Rollout) -> str:
        """Take an answer that came while a service was down; "" if there is none, or it is refused now."""
        aside = questions.set_aside(record, self.form.step, self.about)
        if aside is None:
            return ""
        try:
            return self._take(Given(aside.choice, dict(aside.form), aside.user, aside.at))
        except RefusedError as error:
            self.log.warning("The answer that was set aside cannot be taken, and is asked for again: %s", error)
            return ""

    def _standing(self, record: Rollout) -> str:
        if answer := questions.decisive(record, self.form.step, self.about):
            return answer.choice
        return EXPIRED if questions.has_expired(record, self.form.step, self.about) else ""

    def _take(self, given: Given) -> str:
        if not given.user:
            raise RefusedError(self.about, ("Airflow does not say who answered.",))
        with services() as s:
            record = s.facts.rollout(self.rollout)
            asked = questions.question(record, self.form.step, self.about)
            decides = not self._standing(record) and asked is not None and given.at <= asked.due
            more = self._follow(s, record, given) if decides else ()
            asking.keep_answer(record, s.facts, **self._said(given), more=more)
            if not decides:
                return self._silent(s)
            self._after(s)
            return given.choice

    def _follow(self, s: Services, record: Rollout, given: Given) -> tuple[Fact, ...]:
        """What follows from an answer. A retry asks again, so an answer that needs a service that is down is kept."""
        try:
            return self.form.follow(s, record, self.about, given)
        except ServiceError as error:
            asking.set_aside(record, s.facts, **self._said(given), reason=str(error))
            raise

    def _said(self, given: Given) -> dict[str, Any]:
        return {
            "step": self.form.step,
            "subject": self.about,
            "choice": given.choice,
            "form": given.form,
            "user": given.user,
            "at": given.at,
        }

    def _silent(self, s: Services) -> str:
        record = s.facts.rollout(self.rollout)
        more = self.form.silence(s, record, self.about)
        asking.note_silence(
            record, s.facts, step=self.form.step, subject=self.about, now=now(), actor=actor(), more=more
        )
        self._after(s)
        return self._standing(s.facts.rollout(self.rollout)) or EXPIRED

    def _after(self, s: Services) -> None:
        if self.form.after is not None:
            self.form.after(s, s.facts.rollout(self.rollout), self.about)
            outbox.empty_outbox(s.facts, s.mailer, now)
