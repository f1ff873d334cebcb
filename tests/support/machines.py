"""What the machines of all families of paths share: what may happen to runs, what must never happen, and how all end.

A family gives the runs that it begins with, what people may answer, and what else may happen in its world.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from random import Random
from typing import Any, ClassVar, Self

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from hypothesis import Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from tests.support.answers import ANSWERS
from tests.support.frail import CALM, KINDS, Trouble
from tests.support.itineraries import below, follows, itinerary
from tests.support.once import AGAIN, IN_THE_SAME_WORDS, MAILED, may_be_earned, may_release, twice
from tests.support.simulated_sites import KilledError
from tests.support.thoroughness import examples
from tests.support.walked_paths import Parked, Run, Walked

from pps.activities.desk import key_of
from pps.activities.ports.people import Mail
from pps.domain.base.errors import ConfigurationError, RolloutError
from pps.domain.packages.patch import PatchState
from pps.domain.people import questions
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.orchestration.steps import clients
from pps.workflow.form_book import FORMS

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_MOST_CALLS = 24
_TROUBLED, _ANSWERED = 0.5, 0.5
#: What may happen, as often as it is named.
WHAT = (
    *["go_on", "somebody_answers"] * 4,
    *["elsewhere"] * 4,
    *["go_far", "once_more", "out_of_turn", "time_passes"] * 2,
    "an_hour",
    "all_is_down_until_after_the_last_agreed_date",
)
_IN_A_STORM = (*["once_more", "somebody_answers"] * 2, "elsewhere", "", "", "")


class PathMachine(RuleBasedStateMachine):
    """Runs of DAGs, whose tasks are killed, repeated and overtaken, while people answer, or do not."""

    world: ClassVar[Walked]

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []
        self.chance = Random(0)
        self.calls: dict[str, int] = {}
        self.world.begins(self.world.sites)
        self.seen: dict[str, tuple[int, Rollout, tuple[Mail, ...]]] = {}
        self.mailed_before = len(self.world.postbox.mails)

    @classmethod
    def of(cls, world: Walked) -> Self:
        """For a test that drives it by hand."""
        cls.world = world
        return cls()

    # --- a task

    def tasks_of(self, run: Run) -> dict[str, Any]:
        return itinerary(self.world, run)

    def ready(self, run: Run) -> list[str]:
        over = run.done.keys() | run.skipped
        return [t for t, (after, _) in self.tasks_of(run).items() if t not in over and over >= set(after)]

    def attempt(self, run: Run, task: str) -> Any:
        """One attempt, as Airflow makes it; raises what the task raises."""
        self.world.within(run)
        return self.tasks_of(run)[task][1]()

    def perform(self, run: Run, task: str, trouble: Trouble = CALM) -> bool:
        """A task, which may be killed, refused or parked; True when it is done."""
        if task not in self.tasks_of(run):
            return False  # what was decided meanwhile leaves it out
        kind, before, state = task.partition(":")[0], None, None
        if task.startswith("release"):  # it moves its patch to another state
            before, state = (
                self.is_released(run),
                self.world.tracker.known[self.world.record(run.name).patch_number].state,
            )
        if trouble is not CALM:  # a release makes more than twenty calls, most steps few: it strikes at one of them
            trouble = Trouble(trouble.kind, 1 + trouble.call % self.calls.get(kind, 6))
        found = self.under(trouble, lambda: self.attempt(run, task))
        self.calls[kind] = max(1, self.calls.get(kind, 0), self.world.weather.calls)
        # one that was decided shortly before goes on while the tracker is away
        if before is False and trouble.kind != "away" and self.is_released(run):
            assert state is not PatchState.REJECTED, f"{run.name} is released although it is rejected"
        if found is NOT_DONE:
            return False
        if found is _SKIPPED:
            run.skipped |= {task, *below(task, self.tasks_of(run))}
        elif task not in run.done:
            run.done[task] = found
            follows(run, task, self.tasks_of(run))
            if task.startswith("start_"):
                self.starts(run, *found)
        return True

    def is_released(self, run: Run) -> bool:
        return self.world.record(run.name).has(FactKind.RELEASED_TO_PRODUCTION)

    def under(self, trouble: Trouble, work: Callable[[], Any]) -> Any:
        """What it returns; NOT_DONE if it was killed, refused or parked."""
        self.world.weather.strikes(trouble, lambda: self.quietly(work))
        try:
            return self.quietly(work)
        finally:
            self.world.weather.clears()

    @staticmethod
    def quietly(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except AirflowSkipException:
            return _SKIPPED
        except ConfigurationError:
            raise  # it is this world that is wrong
        except (KilledError, RolloutError, Parked, AirflowFailException):
            return NOT_DONE

    def starts(self, run: Run, dag: str, name: str) -> None:
        """A run that starts another one, once."""
        called = f"{run.name}{name}" if name.startswith(".") else name or run.done["choose_preview"]["run"]
        if any((other.dag, other.id) == (dag, called) for other in self.runs):
            return
        more = {"scope": "Another round.", "continues": run.name} if dag == run.dag else {}
        self.runs.append(Run(dag, {"patch": run.params["patch"], **more}, called))

    # --- what happens

    # One rule, and chance of our own: of many rules hypothesis leaves out most in each example, and of what it draws
    # much is the same again; then nothing comes as far as a fault that matters.
    @rule(seed=st.integers(0, 2**64 - 1))
    def something_happens(self, seed: int) -> None:
        self.chance = chance = Random(seed)
        for _ in range(3):
            run, what, trouble = chance.choice(self.runs), chance.choice(WHAT), self.some_trouble()
            note(f"{what} {run.dag} {trouble}")
            getattr(self, what)(run, chance.randrange(2**16), trouble)
            self.all_is_as_it_must_be()

    def some_trouble(self) -> Trouble:
        """Or none."""
        kind, call = self.chance.choice(KINDS), self.chance.randint(1, _MOST_CALLS)
        return Trouble(kind, call) if self.chance.random() < _TROUBLED else CALM

    def go_on(self, run: Run, number: int, trouble: Trouble) -> None:
        """The next task of a run."""
        if ready := self.ready(run):
            self.perform(run, ready[number % len(ready)], trouble)

    def go_far(self, run: Run, number: int, trouble: Trouble) -> None:
        """Everything that can be done now, each with a trouble of its own: step by step chance seldom comes far."""
        for _ in range(6):
            for task in self.ready(run):
                self.perform(run, task, self.some_trouble())

    def goes_as_far_as_it_can(self, run: Run) -> bool:
        went = False
        while sum(self.perform(run, task) for task in self.ready(run)):  # each of them, not only the first
            went = True
        return went

    def once_more(self, run: Run, number: int, trouble: Trouble) -> None:
        """A task that is done is cleared, or was thought dead and is not."""
        if done := [t for t in run.done if t in self.tasks_of(run)]:
            self.perform(run, done[-1 - number % len(done)], trouble)

    def out_of_turn(self, run: Run, number: int, trouble: Trouble) -> None:
        """Somebody has marked what comes before as done: the rules hold all the same, whoever has which right."""
        if tasks := [t for t in self.tasks_of(run) if t not in run.done and not t.startswith("start_")]:
            self.under(trouble, lambda: self.attempt(run, tasks[number % len(tasks)]))

    def somebody_answers(self, run: Run, number: int, trouble: Trouble) -> None:
        """In time, late, or once more: whoever finds the page can send it."""
        if not run.asked:
            return
        tasks = [t for t in run.asked if t not in run.done] or list(run.asked)
        if number % 4 == 0:
            tasks = list(run.asked)
        task, number = tasks[number % len(tasks)], number // len(tasks)
        self.says(run, task, number if number % 2 else 0, ("ada", "ben")[number % 3 % 2])
        self.perform(run, task, trouble)

    def says(self, run: Run, task: str, answer: int, user: str) -> None:
        """Airflow has stored an answer: a whole form, as a browser sends it."""
        form, about = run.asked[task]
        possible = ANSWERS[form]
        choice, given = possible[answer % len(possible)]
        fields = {key: schema["default"] for key, schema in (FORMS[form].fields or {}).items()}
        filled = {key: self.filled(value, about) for key, value in given.items()}
        run.answers[task] = self.world.answer(choice, user, **fields | filled)

    def filled(self, value: str, about: str) -> str:
        """A field, for the site that is asked."""
        return value.format(low=about.lower())

    def time_passes(self, run: Run, number: int, trouble: Trouble) -> None:
        """Or the clock is set right."""
        self.world.clock += (HOUR, DAY, 4 * DAY, DAY, -5 * HOUR)[number % 5]

    def all_is_down_until_after_the_last_agreed_date(self, run: Run, number: int, trouble: Trouble) -> None:
        self.world.clock = max([self.world.clock, *self.dates()]) + 2 * DAY

    def an_hour(self, run: Run, number: int, trouble: Trouble) -> None:
        """What the sweep does: reminders, mails that wait, the tracker."""
        for task in (clients.remind, clients.send_mails):
            self.under(trouble, task.function)

    def elsewhere(self, run: Run, number: int, trouble: Trouble) -> None:
        """What else may happen to this family."""

    def dates(self) -> Iterable[datetime]:
        """Everything that anybody has agreed on."""
        for fact in self.all_facts():
            for key in ("due", "set_up_until", "feedback_until", "ends"):
                if key in fact.payload:
                    yield datetime.fromisoformat(fact.payload[key])

    # --- what must be so

    def records(self) -> list[Rollout]:
        """Those of our runs; what has not changed since the last look is not read again."""
        names = dict.fromkeys(run.name for run in self.runs if run.name)
        for name, newest in self.world.store.newest(list(names)).items():
            if self.seen.get(name, (0, None, ()))[0] != newest:
                mails = tuple(mail for mail, _, _ in self.world.store.outbox(name))
                self.seen[name] = (newest, self.world.record(name), mails)
        return [self.seen[name][1] for name in names if name in self.seen]

    def all_facts(self) -> Iterable[Fact]:
        return (fact for record in self.records() for fact in record.facts)

    def all_is_as_it_must_be(self) -> None:
        assert not self.world.grid.wrong, self.world.grid.wrong
        records = self.records()
        for record in records:
            self.nobody_is_creditedtwice(record)
            self.whoever_is_told_is_told_once_and_of_what_is_on_record(record)
            self.a_question_has_one_end(record)
        register = {row.name: row for row in self.world.store.rollouts()}
        unlike = [r.name for r in records if (register[r.name].closed_at is not None) != r.is_closed]
        assert not unlike, f"register and record differ: {unlike}"
        sent = Counter(mail.key for mail in self.world.postbox.mails[self.mailed_before :])
        assert max(sent.values(), default=1) == 1, f"mails were sent twice: {twice(sent)}"
        kinds = ((m, m.key.split("/")[1]) for m in self.world.postbox.mails[self.mailed_before :])
        said = Counter((m.to, m.subject, m.text) for m, kind in kinds if kind not in IN_THE_SAME_WORDS)
        assert max(said.values(), default=1) == 1, f"somebody was told the same twice: {twice(said)}"
        self.what_is_in_production_was_released_whole_and_nothing_else_is(records)

    def nobody_is_creditedtwice(self, record: Rollout) -> None:
        earned = [f for f in record.facts if f.kind is FactKind.CREDITED]
        unlike = [f.occasion for f in earned if not may_be_earned(f, record.facts[0].at, self.world.clock)]
        assert not unlike, f"credits come again for the same thing: {unlike}"
        once = Counter((f.subject, f.payload["activity"], f.occasion) for f in earned)
        assert max(once.values(), default=1) == 1, f"credits came twice: {twice(once)}"

    def whoever_is_told_is_told_once_and_of_what_is_on_record(self, record: Rollout) -> None:
        mails = self.seen[record.name][2]
        keys = {mail.key for mail in mails}
        promised = {key_of(f) for f in record.facts if f.kind in MAILED and f.payload.get(MAILED[f.kind])}
        assert promised <= keys, f"mails were lost: {promised - keys}"
        of_facts = {k for k in keys if k.split("/")[1] in MAILED}
        assert of_facts <= promised, f"mails are of nothing that is on record: {of_facts - promised}"
        said = Counter((m.to, m.subject) for m in mails if m.key.split("/")[1] not in AGAIN)
        assert max(said.values(), default=1) == 1, f"somebody was told twice: {twice(said)}"

    def a_question_has_one_end(self, record: Rollout) -> None:
        for asked in questions.questions(record):
            answer = questions.decisive(record, asked.step, asked.subject)
            expired = questions.has_expired(record, asked.step, asked.subject)
            assert not (answer and expired), f"a question was answered, and expired: {asked}"

    def what_is_in_production_was_released_whole_and_nothing_else_is(self, records: Iterable[Rollout]) -> None:
        place = set().union(*(v for k, v in self.world.production.places.items() if "/" not in k))
        for record in records:
            own = set(map(str, self.world.tracker.known[record.patch_number].packages))
            if record.has(FactKind.RELEASED_TO_PRODUCTION):
                assert own <= place, f"{record.name} is released, and not all of it is in production"
            if own & place:
                of_patch = [r for r in records if r.patch_number == record.patch_number]
                assert any(map(may_release, of_patch)), f"nobody has released {record.name}"

    # --- the end

    def teardown(self) -> None:
        """All comes to its end, unless something was wrong: what follows from that would hide it."""
        if not isinstance(sys.exception(), AssertionError):
            self.everything_ends()

    def everything_ends(self) -> None:
        """Everything answers again: each rollout ends, by decisions, by silence, or because somebody withdraws it."""
        self.world.weather.clears()
        answered = self.chance.random() < _ANSWERED
        for rounds in (2, 5):
            self.goes_on(rounds, self.goes_on_in_a_storm, answered)
            self.well_again()
        self.goes_on(24, self.goes_as_far_as_it_can, answered)
        for name in self.still_open():
            self.ended_by_hand(name)
        left = set(self.still_open())
        stories = [(r.name, [f.kind.value for f in r.facts]) for r in self.records() if r.name in left]
        assert not stories, f"rollouts cannot end: {stories}"
        self.all_is_as_it_must_be()

    def goes_on(self, rounds: int, go: Callable[[Run], bool], answered: bool) -> None:
        """Each run, and people if they answer; where nothing happens any more, time passes."""
        idle = 0
        for _ in range(rounds):
            went = [go(run) for run in list(self.runs)]
            if answered:
                for run in self.runs:
                    waiting = [task for task in run.asked if task not in run.done]
                    for number, task in enumerate(waiting):
                        self.says(run, task, 0, "ada" if number % 2 else "ben")
                    went += [go(run) for _ in waiting[:1]]
            if not self.still_open():
                break
            idle = 0 if any(went) else idle + 1
            if idle > 4:
                break
            if idle:
                self.world.clock = min([at for at in self.dates() if at >= self.world.clock] or [self.world.clock])
                self.world.clock += DAY if idle < 3 else 8 * DAY

    def goes_on_in_a_storm(self, run: Run) -> bool:
        """As far as `go_far`, with other things in between: by single steps chance hardly ever meets the last tasks of
        a path, and then without a trouble."""
        before = len(run.done)
        for _ in range(3):
            for task in self.ready(run):
                self.perform(run, task, self.some_trouble())
            what = self.chance.choice(_IN_A_STORM)
            if what:
                getattr(self, what)(run, self.chance.randrange(2**16), self.some_trouble())
            self.all_is_as_it_must_be()
        return len(run.done) > before

    def well_again(self) -> None:
        """What has happened to the world is mended, where it can be."""

    def still_open(self) -> list[str]:
        return [record.name for record in self.records() if not record.is_closed]

    def ended_by_hand(self, name: str) -> None:
        """Neither silence nor an answer has ended it."""


NOT_DONE, _SKIPPED = object(), object()


def walk(machine: type[PathMachine], world: Walked, number: int) -> None:
    """Try so many examples. They are not shrunk: that takes minutes, and such steps can be read."""
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    machine.world = world
    with_these = settings(max_examples=examples(number), stateful_step_count=15, phases=phases, print_blob=False)
    run_state_machine_as_test(machine, settings=with_these)
