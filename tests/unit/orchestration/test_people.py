"""The human step around its form: how an answer that cannot be taken comes back. Airflow's own part is left out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators.hitl import HITLOperator
from tests.support.desks import front_office
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, MemoryTracker, services, site, write_config  # noqa: F401
from tests.support.pilot_runs import GOLD, SERVER, APilot, endpoint_at
from tests.support.tasks import tasks_work_with
from tests.support.withdrawals import Postbox

from pps.activities.pilots import set_up
from pps.adapters.services.templates import when
from pps.domain.people import questions
from pps.domain.record.facts import FactKind
from pps.orchestration.people import HumanStep
from pps.workflow.answers import Place, Standing, asked_again, verdict
from pps.workflow.form_book import FORMS

PLACE = Place("pilot", "first", "at_site.set_up", 1)
FORM = {"endpoint": endpoint_at("PIC"), "version": "3.1.23", "version_at": None, "previous": "3.1.22", "remarks": None}


class Parked(Exception):
    """Airflow has put the question, and the task waits."""


@dataclass
class World:
    """A pilot whose site is asked for its set-up, with a clock."""

    pilot: APilot
    services: MemoryServices
    postbox: Postbox
    at: datetime = NOW
    put: list[tuple[str, list[str]]] = field(default_factory=list)
    """headlines that Airflow got, and to whom they are put"""

    @property
    def task(self) -> HumanStep:
        """Each time another process, which remembers nothing."""
        return HumanStep(task_id="set_up", form=set_up.STEP, rollout=self.pilot.name, about="PIC")

    @property
    def context(self) -> Any:
        ti = SimpleNamespace(dag_id=PLACE.dag, run_id=PLACE.run, task_id=PLACE.task, map_index=PLACE.map_index)
        return {"ti": ti}

    def asks(self) -> Any:
        """The task begins; its result, or None if it waits."""
        try:
            return self.task.execute(self.context)
        except Parked:
            return None

    def answers(self, choice: str = set_up.SET_UP, *, minutes: int = 10, **form: Any) -> Any:
        """Airflow resumes the task with an answer; its result, or None if it waits again."""
        self.at = NOW + timedelta(minutes=minutes)
        event = {
            "chosen_options": [choice],
            "params_input": FORM | form,
            "responded_by_user": {"id": "7", "name": "ana"},
            "responded_at": self.at,
            "timedout": False,
        }
        try:
            return self.task.execute_complete(self.context, event)
        except Parked:
            return None

    @property
    def refusals(self) -> tuple[questions.Refusal, ...]:
        return questions.refusals(self.pilot.record, set_up.STEP, "PIC")

    @property
    def mails(self) -> list[str]:
        return [mail.subject for mail in self.postbox.mails]


@pytest.fixture
def world(services: MemoryServices, monkeypatch: pytest.MonkeyPatch) -> World:
    pilot, postbox = APilot(), Postbox()
    of_pic = {"type": "org.glite.wms", "host": GOLD["PIC"].services[0].host}
    config = write_config(services.config.folder, [site("PIC", administrators=["ana"], services=[of_pic])])
    given = {
        "facts": pilot.store,
        "tracker": MemoryTracker(SERVER),
        "templates": templates(),
        "service_probes": pilot.services,
        "information_system": pilot.published,
        "mailer": postbox,
    }
    made = World(pilot, MemoryServices(config, lambda _: None, given), postbox)
    tasks_work_with(monkeypatch, lambda: made.services, lambda: made.at)

    def park(self: HumanStep, context: Any) -> None:
        made.put.append((self.subject, [user["id"] for user in self.assigned_users]))
        self.log.info("Waiting for response")
        raise Parked

    monkeypatch.setattr(HITLOperator, "execute", park)
    made.asks()
    return made


def test_the_headline_says_until_when_an_answer_counts(world: World) -> None:
    (headline, whose) = world.put[0]
    assert headline == f"PIC: please set up the pilot of glite-WMS 3.1.23 (until {when(NOW + timedelta(days=7))})"
    assert whose == ["user:ana"]


def test_what_a_look_at_the_service_refuses_comes_back_with_its_reason_and_one_mail(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.answers(remarks="By the book.") is None
    (refusal,) = world.refusals
    assert "does not answer" in refusal.reasons[0]
    assert refusal.given.form["remarks"] == "By the book."
    title = "PIC: please set up the pilot of glite-WMS 3.1.23"
    assert world.mails == [title, f"Not taken: your answer to “{title}”"], "one mail says it, not two"
    assert len(world.put) == 2

    office = front_office(world.services)
    (again,) = asked_again(office, NOW, PLACE).values()
    assert again.words.startswith(f"**Your answer of {when(NOW + timedelta(minutes=10))} was not taken**")
    assert again.form["remarks"] == "By the book."
    assert verdict(office, PLACE, world.at).standing is Standing.NOT_TAKEN
    assert set_up.newest_reasons(world.pilot.record, "PIC") == refusal.reasons

    log = capsys.readouterr().out
    assert "Waiting for response" in log.splitlines()[-2]
    assert "The answer “Set up” of ana was not taken: " in log.splitlines()[-1], "the reason is the last word"
    assert "Traceback" not in log


def test_a_retry_or_a_power_cut_tells_nobody_twice_and_forgets_nothing(world: World) -> None:
    for _ in range(3):  # the same answer is taken up again
        assert world.answers() is None
    world.asks()  # the task begins anew, as after a power cut: Airflow has forgotten the answer
    assert len(world.refusals) == 1
    assert len(world.mails) == 2
    assert PLACE in asked_again(front_office(world.services), NOW, PLACE)


def test_the_corrected_answer_is_taken_and_the_next_one_that_is_wrong_is_told_again(world: World) -> None:
    assert world.answers() is None
    assert world.answers(minutes=20) is None, "the service still does not answer"
    assert len(world.refusals) == 2
    assert len(world.mails) == 3
    world.pilot.answers("PIC")
    assert world.answers(minutes=30) == set_up.SET_UP
    assert verdict(front_office(world.services), PLACE, world.at).standing is Standing.TAKEN
    assert len(world.mails) == 3


def test_an_answer_that_was_set_aside_and_is_refused_in_the_end_is_told_as_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pps.domain.base.errors import ServiceError

    def down(*_: Any) -> Any:
        raise ServiceError("probes", "do not answer.")

    with monkeypatch.context() as outage:
        outage.setattr(world.pilot.services, "look", down)
        with pytest.raises(ServiceError):
            world.answers(remarks="Kept.")
    assert verdict(front_office(world.services), PLACE, world.at).standing is Standing.SET_ASIDE
    for _ in range(2):
        assert world.asks() is None
    (refusal,) = world.refusals
    assert refusal.given.form["remarks"] == "Kept."
    assert len(world.mails) == 2
    world.pilot.answers("PIC")
    assert world.asks() is None, "they were told that it was not taken"
    assert [f.kind for f in world.pilot.record.facts].count(FactKind.ANSWER_GIVEN) == 0


def test_a_form_that_cannot_be_read_is_refused_and_not_burnt(world: World) -> None:
    assert world.answers(choice="Perhaps") is None
    (refusal,) = world.refusals
    assert "cannot be read" in refusal.reasons[0]


def test_what_follows_from_an_answer_is_done_by_a_retry_if_the_task_was_killed_before_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    form = replace(FORMS[set_up.STEP], after=lambda d, about: done.append(about))
    monkeypatch.setitem(FORMS, set_up.STEP, form)
    with monkeypatch.context() as power_cut:
        power_cut.setattr(HumanStep, "_after", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            world.answers(set_up.CANNOT, remarks="No machine for it.")
    assert (world.asks(), done) == (set_up.CANNOT, ["PIC"])
