"""Human steps: a question to a site's or a role's people, parked in Airflow until they answer or the time is up.

Airflow shows the form and knows who may answer; what was asked and answered are facts of ours. So a task that is
cleared, retried or marked successful by hand changes nothing: whoever goes on reads the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import ParamValidationError

from pps.activities.people import asking
from pps.adapters.services.templates import when
from pps.domain.base.errors import RefusedError, ServiceError
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.orchestration.labels import ABOUT
from pps.orchestration.params import as_params
from pps.orchestration.runtime import desk
from pps.workflow.answers import Place
from pps.workflow.desk import FrontDesk
from pps.workflow.form_book import FORMS
from pps.workflow.forms import Form, put

EXPIRED = "expired"
NOT_ASKED = "not asked"
_SOONEST = timedelta(seconds=1)


def form_link(public_url: str, task: Any) -> str:
    """Where a human task is answered in a browser."""
    return Place(task.dag_id, task.run_id, task.task_id, task.map_index).link(public_url)


def not_taken(given: Given, error: RefusedError) -> str:
    """For the log of the task: what was not taken, and why."""
    who = given.user or "nobody"
    return f"The answer “{given.choice}” of {who} was not taken: {error.why} {error.next_step}".rstrip()


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
            if standing := self._standing(d.rollout):
                self._after(d)  # whoever has put it on record may have been killed before that
                return standing
            if taken := self._taken_now(d):
                return taken
            asking_for = self.form.prepare(d, self.about)
            if asking_for is None:
                return NOT_ASKED
            asked = put(d, self.form, self.about, asking_for, form_link(d.config.service.public_url, context["ti"]))
            d.send()
            if d.clock() > asked.due:
                return self._silent(d)
        # the list of all that waits shows headlines only
        self.subject, self.body = f"{asking_for.title} (until {when(asked.due)})", asking_for.body
        self.assigned_users = [{"id": who, "name": who.partition(":")[2]} for who in asked.assigned_to]
        # from the stored date: a retry does not start the time again
        self.response_timeout = max(asked.due - d.clock(), _SOONEST)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take the answer. One that cannot be taken is asked for again, as long as there is time."""
        if event.get("error_type") == "timeout":
            with desk(self.rollout) as d:
                return self._silent(d)
        if "error" in event:
            self.process_trigger_event_error(event)
        given = Given(
            str(event["chosen_options"][0]),
            dict(event["params_input"] or {}),
            str((event["responded_by_user"] or {}).get("name", "")),
            event["responded_at"],
        )
        try:
            super().execute_complete(context, event)
            with desk(self.rollout) as d:
                return self._take(d, given)
        except RefusedError as error:
            refused = error
        except (ValueError, ParamValidationError) as error:
            refused = RefusedError(self.about, (f"The form cannot be read: {error}",))
        with desk(self.rollout) as d:
            self._refuse(d, given, refused)
        try:
            return self.execute(context)
        finally:  # after all that Airflow says, where people look first
            self.log.warning("%s", not_taken(given, refused))

    def _taken_now(self, d: FrontDesk) -> str:
        """Take an answer that came while a service was down; "" if there is none, or it is refused now."""
        aside = questions.set_aside(d.rollout, self.form.step, self.about)
        if aside is None or aside.at in self._refused_at(d.rollout):
            return ""
        given = Given(aside.choice, dict(aside.form), aside.user, aside.at)
        try:
            return self._take(d, given)
        except RefusedError as error:
            self._refuse(d, given, error)
            self.log.warning("%s", not_taken(given, error))
            return ""

    def _refused_at(self, record: Rollout) -> set[datetime]:
        return {refusal.given.at for refusal in questions.refusals(record, self.form.step, self.about)}

    def _refuse(self, d: FrontDesk, given: Given, error: RefusedError) -> None:
        """Put it on record, before anything else: how the question comes back is read from the record."""
        asking.refuse(d, given, error, step=self.form.step, subject=self.about)
        d.send()

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
