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

from pps.activities.people import asking
from pps.domain.base.errors import RefusedError, ServiceError
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.orchestration.labels import ABOUT
from pps.orchestration.params import as_params
from pps.orchestration.runtime import desk
from pps.workflow.desk import FrontDesk
from pps.workflow.form_book import FORMS
from pps.workflow.forms import Form, put

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
        self.form: Form = FORMS[form]
        kwargs.pop("params", None)  # those of the DAG, which Airflow hands to every task
        # people have until the date that was agreed with them; Airflow would take a limit of the work for theirs
        kwargs["execution_timeout"] = None
        kwargs.setdefault("map_index_template", ABOUT)
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
        with desk(self.rollout) as d:
            if standing := self._standing(d.rollout) or self._taken_now(d):
                return standing
            asking_for = self.form.prepare(d, self.about)
            if asking_for is None:
                return NOT_ASKED
            asked = put(d, self.form, self.about, asking_for, form_link(d.config.service.public_url, context["ti"]))
            d.send()
            if d.clock() > asked.due:
                return self._silent(d)
        self.subject, self.body = asking_for.title, asking_for.body
        self.assigned_users = [{"id": who, "name": who.partition(":")[2]} for who in asked.assigned_to]
        # from the stored date: a retry does not start the time again
        self.response_timeout = max(asked.due - d.clock(), _SOONEST)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take the answer. One that cannot be taken is asked for again, as long as there is time."""
        if event.get("error_type") == "timeout":
            with desk(self.rollout) as d:
                return self._silent(d)
        try:
            given = super().execute_complete(context, event)
            with desk(self.rollout) as d:
                return self._take(
                    d,
                    Given(
                        str(given["chosen_options"][0]),
                        dict(given["params_input"]),
                        str((given["responded_by_user"] or {}).get("name", "")),
                        given["responded_at"],
                    ),
                )
        except (ValueError, ParamValidationError, RefusedError) as error:
            self.log.warning("The answer cannot be taken, and is asked for again: %s", error)
        return self.execute(context)

    def _taken_now(self, d: FrontDesk) -> str:
        """Take an answer that came while a service was down; "" if there is none, or it is refused now."""
        aside = questions.set_aside(d.rollout, self.form.step, self.about)
        if aside is None:
            return ""
        try:
            return self._take(d, Given(aside.choice, dict(aside.form), aside.user, aside.at))
        except RefusedError as error:
            self.log.warning("The answer that was set aside cannot be taken, and is asked for again: %s", error)
            return ""

    def _standing(self, record: Rollout) -> str:
        if answer := questions.decisive(record, self.form.step, self.about):
            return answer.choice
        return EXPIRED if questions.has_expired(record, self.form.step, self.about) else ""

    def _take(self, d: FrontDesk, given: Given) -> str:
        if not given.user:
            raise RefusedError(self.about, ("Airflow does not say who answered.",))
        asked = questions.question(d.rollout, self.form.step, self.about)
        decides = not self._standing(d.rollout) and asked is not None and given.at <= asked.due
        more = self._follow(d, given) if decides else ()
        asking.keep_answer(d, given, step=self.form.step, subject=self.about, more=more)
        if not decides:
            return self._silent(d)
        self._after(d)
        return given.choice

    def _follow(self, d: FrontDesk, given: Given) -> tuple[Fact, ...]:
        """What follows from an answer. A retry asks again, so an answer that needs a service that is down is kept."""
        try:
            return self.form.follow(d, self.about, given)
        except ServiceError as error:
            asking.set_aside(d, given, step=self.form.step, subject=self.about, reason=str(error))
            raise

    def _silent(self, d: FrontDesk) -> str:
        more = self.form.silence(d, self.about)
        asking.note_silence(d.later(), step=self.form.step, subject=self.about, more=more)
        d.look_again()
        self._after(d)
        return self._standing(d.rollout) or EXPIRED

    def _after(self, d: FrontDesk) -> None:
        if self.form.after is not None:
            self.form.after(d, self.about)
            d.send()
