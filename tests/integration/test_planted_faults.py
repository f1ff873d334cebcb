"""The machines of all families find what they are for: each fault is planted, and one of their invariants names it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tests.integration.test_decisions_with_faults import Decisions
from tests.integration.test_pilots_with_faults import Pilots
from tests.integration.test_rollouts_with_faults import Clients
from tests.support.frail import FrailStore
from tests.support.machines import PathMachine
from tests.support.planted import Fault, found
from tests.support.simulated_sites import _Conversation
from tests.support.walked_paths import Walked, walked  # noqa: F401

from pps.activities.clients import nightly, withdrawal
from pps.activities.clients.publication import TagAnswer
from pps.activities.desk import Desk
from pps.activities.packages.production import Production
from pps.activities.people import asking
from pps.activities.people.asking import Asking
from pps.activities.pilots import effort as pilot_effort
from pps.activities.pilots import set_up
from pps.activities.ports.people import Mail
from pps.activities.release import overruling, release
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.people import questions
from pps.domain.people.effort import credit_fact
from pps.domain.people.questions import Question
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.orchestration.people import HumanStep
from pps.workflow.desk import FrontDesk

pytestmark = pytest.mark.needs("postgres")
Plant = pytest.MonkeyPatch


# --- clients -----------------------------------------------------------------------------------------------------


def _no_question_of_probes(m: Plant) -> None:
    m.setattr(Rollout, "may_tag", lambda record, site: record.must_not_be_withdrawn())


def _renames_first(m: Plant) -> None:
    send = _Conversation.send_file

    async def renames(self: _Conversation, path: Any) -> None:
        if self.fault != "cut":
            await send(self, path)
            return
        name, digest = self.arguments[1:3]
        self.site.held[name] = digest
        self.site.damaged.add(name)
        self._say(f"PPS-INSTALLED {name}")

    m.setattr(_Conversation, "send_file", renames)


def _forgets_a_site(m: Plant) -> None:
    remove = withdrawal.remove_previews

    async def remove_some(desk: Any, sites: Sequence[Any], *args: Any, **more: Any) -> Any:
        return await remove(desk, sites[:-1], *args, **more)

    m.setattr(withdrawal, "remove_previews", remove_some)


def _keeps_the_tag(m: Plant) -> None:
    async def nothing(*_: Any, **__: Any) -> None:
        pass

    m.setattr(nightly, "_record_losses", nothing)


def _removes_under_the_tag(m: Plant) -> None:
    async def nothing(*_: Any, **__: Any) -> tuple[()]:
        return ()

    async def absent(*_: Any, **__: Any) -> TagAnswer:
        return TagAnswer("absent")

    def gone(desk: Desk, *_: Any, **__: Any) -> bool:
        desk.record(desk.fact(FactKind.TAGS_GONE))
        return True

    m.setattr(withdrawal, "publication", SimpleNamespace(withdraw_tags=nothing, manage_tag=absent))
    m.setattr(withdrawal, "tags_are_gone", gone)


def _keys_anew(m: Plant) -> None:
    record = FrailStore.record

    def anew(store: FrailStore, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        queued = {mail.key for fact in facts for mail, _, _ in store.outbox(fact.rollout)}
        again = [replace(mail, key=f"{mail.key}/again") if mail.key in queued else mail for mail in mails]
        return record(store, *facts, mails=again)

    m.setattr(FrailStore, "record", anew)


# --- pilots ------------------------------------------------------------------------------------------------------


def _unseen(m: Plant) -> None:
    m.setattr(set_up, "reasons_against_answer", lambda *_: ())


def _credits_each_time(m: Plant) -> None:
    def each_time(record: Rollout, activity: Any, doer: Any, occasion: str, *args: Any, **more: Any) -> Fact:
        earned = sum(f.kind is FactKind.CREDITED for f in record.facts)
        return credit_fact(record, activity, doer, f"week-{earned + 1}", *args, **more)

    m.setattr(pilot_effort, "credit_fact", each_time)


def _asks_again(m: Plant) -> None:
    ask = asking.ask

    def again(desk: Desk, wanted: Asking, *, step: str, subject: str, link: str) -> Question:
        if known := questions.question(desk.rollout, step, subject):
            another = desk.next_occasion(FactKind.QUESTION_ASKED, subject, step)
            ask(desk, wanted, step=another, subject=subject, link=link)
        return known or ask(desk, wanted, step=step, subject=subject, link=link)

    m.setattr(asking, "ask", again)


def _raises_after_the_date(m: Plant) -> None:
    def raises(step: HumanStep, d: FrontDesk) -> str:
        raise RefusedError(step.about, ("The agreed date has passed.",))

    m.setattr(HumanStep, "_silent", raises)


# --- decisions ---------------------------------------------------------------------------------------------------


def _silence_after_an_answer(m: Plant) -> None:
    def careless(desk: Desk, *, step: str, subject: str, more: Iterable[Fact] = ()) -> bool:
        asked = questions.question(desk.rollout, step, subject)
        if asked is None or desk.now <= asked.due:
            return False
        desk.record(desk.fact(FactKind.QUESTION_EXPIRED, subject, step, {"reason": "Nobody answered."}), *more)
        return True

    m.setattr(asking, "note_silence", careless)


def _mails_afterwards(m: Plant) -> None:
    record = FrailStore.record

    def in_two(store: FrailStore, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        new = record(store, *facts)
        record(store, mails=mails)
        return new

    m.setattr(FrailStore, "record", in_two)


def _released_all_the_same(m: Plant) -> None:
    m.setattr(release, "reasons_against_production", lambda *_, **__: ())


def _announces_only(m: Plant) -> None:
    add = Production.add_packages

    def nothing(production: Production, *args: Any) -> Any:
        return add(replace(production, publish_packages=lambda *_: None), *args)

    m.setattr(Production, "add_packages", nothing)


def _register_afterwards(m: Plant) -> None:
    close = FrailStore.close

    def in_two(store: FrailStore, closing: Fact) -> None:
        store.record(closing)
        close(store, closing)

    m.setattr(FrailStore, "close", in_two)


def _waits_for_both(m: Plant) -> None:
    conclude = overruling.conclude

    def waits(desk: Desk) -> tuple[str, ...]:
        if any(questions.decisive(desk.rollout, step, role) is None for step, role in overruling.ROLES.items()):
            raise NotYetAllowedError(desk.name, "one of the two has not answered.", "Wait for the answer.")
        return conclude(desk)

    m.setattr(overruling, "conclude", waits)


FAULTS = (
    (
        Clients,
        Fault(
            "the tag is published without asking whether the probes have passed",
            _no_question_of_probes,
            "was added at ., where its preview was not verified",
        ),
        Fault("a receiver renames before it has checked", _renames_first, "is on record at ., and not whole"),
        Fault(
            "a withdrawal forgets the removal at one site",
            _forgets_a_site,
            "sites have something left after all was withdrawn",
        ),
        Fault(
            "a site that has lost its preview keeps its tag",
            _keeps_the_tag,
            "has the tag of .*, and not the whole of it",
        ),
        Fault("the files are removed before the tag", _removes_under_the_tag, "was removed at . under its tag"),
    ),
    (
        Pilots,
        Fault("a service counts as set up without a look at what it answers", _unseen, "counts as set up, and answers"),
        Fault("a credit's occasion is new each time", _credits_each_time, "credits come again for the same thing"),
        Fault("a repeated task opens a second question", _asks_again, "somebody was told twice"),
        Fault(
            "a mail's key is not kept, so a repeated task sends it again",
            _keys_anew,
            "somebody was told the same twice",
        ),
        Fault("an agreed date that has passed raises for ever", _raises_after_the_date, "rollouts cannot end"),
    ),
    (
        Decisions,
        Fault(
            "silence goes on record although somebody has answered",
            _silence_after_an_answer,
            "a question was answered, and expired",
            start=2,
        ),
        Fault("a mail is queued after its fact, in a transaction of its own", _mails_afterwards, "mails were lost"),
        Fault("a patch that was rejected is released", _released_all_the_same, "is released although it is rejected"),
        Fault(
            "a release is announced, and its packages are not published",
            _announces_only,
            "is released, and not all of it is in production",
        ),
        Fault(
            "the register hears of an end in a transaction of its own",
            _register_afterwards,
            "register and record differ",
        ),
        Fault("a joint decision waits for ever for one who is silent", _waits_for_both, "rollouts cannot end"),
    ),
)

#: Steps of an example, as few as find the faults; most of what an example does comes with its end.
STEPS = {Clients: 4, Pilots: 4, Decisions: 8}


@pytest.mark.parametrize(
    ("machine", "fault"),
    [pytest.param(machine, fault, id=str(fault)) for machine, *faults in FAULTS for fault in faults],
)
def test_it_is_found_that(walked: Walked, machine: type[PathMachine], fault: Fault) -> None:
    with pytest.MonkeyPatch.context() as planted:
        fault.plant(planted)
        said = found(machine, walked, fault.examples, STEPS[machine], fault.start)
    assert re.search(fault.says, said), said or "Nothing was found."
