"""Asking people: once, whatever is retried; every answer is kept once; reminders and silence are on record."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.support.bad_input import HTML, JINJA
from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, opened, sqlite_store, templates
from tests.support.snapshots import matches_snapshot

from pps.activities.people import asking
from pps.activities.people.asking import Asking
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.people import questions
from pps.domain.people.questions import Answer, Given, Question
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

STEP, SITE = "release-test", "PIC"
DUE = NOW + timedelta(days=1)


@pytest.fixture
def store() -> FactStore:
    return sqlite_store()


def ask(store: FactStore, record: Rollout, due_in: timedelta = DUE - NOW, body: str = "Apply it.") -> Question:
    return asking.ask(
        at_desk(record, store, templates=templates(), now=NOW, actor="pps"),
        Asking("PIC: please apply glite-WN 3.1.23", body, NOW + due_in, ("user:admin-pic",), "pic@example.org"),
        step=STEP,
        subject=SITE,
        link="https://pps.example.org/dags/x",
    )


def answer(store: FactStore, name: str, choice: str = "Accept", hours: float = 1, **form: str) -> Answer:
    at = NOW + timedelta(hours=hours)
    record = store.rollout(name)
    return asking.keep_answer(
        at_desk(record, store, now=at), Given(choice, form, "admin-pic", at), step=STEP, subject=SITE
    )


def test_a_question_is_put_and_mailed_once_and_its_time_is_agreed_once(store: FactStore) -> None:
    record = opened(store)
    first = ask(store, record)
    again = ask(store, store.rollout(record.name), timedelta(days=9))
    assert first == again
    ((mail, _, _),) = store.outbox(record.name)
    assert mail.to == "pic@example.org"
    assert "https://pps.example.org/dags/x" in mail.text
    matches_snapshot("question.txt", mail.text)


@pytest.mark.parametrize("text", [*HTML[:4], *JINJA[:3]])
def test_what_people_wrote_is_data_in_the_mail(store: FactStore, text: str) -> None:
    record = opened(store)
    ask(store, record, body=templates().render("ask_overruling.md", _overruling_view(record, text)))
    ((mail, _, _),) = store.outbox(record.name)
    assert text in mail.text
    assert "<script" not in mail.html
    assert "49" not in mail.text


def _overruling_view(record: Rollout, reason: str) -> dict[str, object]:
    from tests.support.examples import PATCH

    return {"patch": PATCH, "opened": {"urgency": "urgent", "reason": reason}, "role": "EMT", "rollout": record.name}


def test_peoples_text_cannot_leave_its_block_of_code() -> None:
    from pps.adapters.services.templates import fenced

    text = "before\n```\n![i](http://tracker/p.png)\n````\nafter"
    lines = fenced(text).split("\n")
    assert lines[0] == "`````text"
    assert lines[-1] == "`````"
    assert not any(line.startswith("`````") for line in lines[1:-1])


def test_the_same_answer_twice_is_one_and_another_is_kept_beside_it(store: FactStore) -> None:
    record = opened(store)
    ask(store, record)
    assert answer(store, record.name) == answer(store, record.name)
    answer(store, record.name, "Reject", 2)
    kept = questions.answers(store.rollout(record.name), STEP)
    assert [a.choice for a in kept] == ["Accept", "Reject"]
    assert questions.decisive(store.rollout(record.name), STEP, SITE).choice == "Accept"


def test_an_answer_is_kept_with_what_follows_from_it_or_not_at_all(store: FactStore) -> None:
    record = opened(store)
    ask(store, record)
    follows = Fact(record.name, FactKind.SITE_CONFIGURED, SITE, "", NOW, "x", {})
    asked = store.rollout(record.name)
    asking.keep_answer(
        at_desk(asked, store, now=NOW), Given("Accept", {}, "u", NOW), step=STEP, subject=SITE, more=[follows]
    )
    kinds = [f.kind for f in store.rollout(record.name).facts]
    assert kinds[-2:] == [FactKind.ANSWER_GIVEN, FactKind.SITE_CONFIGURED]


def refuse(store: FactStore, name: str, *reasons: str, at: datetime = NOW + timedelta(hours=1), **form: str) -> None:
    asking.refuse(
        at_desk(store.rollout(name), store, templates=templates(), now=at + timedelta(seconds=9)),
        Given("Accept", form, "admin-pic", at),
        RefusedError("PIC", reasons or ("It does not say to which services it was applied.",), "Fill it in."),
        step=STEP,
        subject=SITE,
    )


def test_an_answer_that_was_not_taken_is_on_record_and_told_once_however_often_it_is_tried(store: FactStore) -> None:
    record = opened(store)
    ask(store, record)
    for _ in range(3):  # the task is retried; power is cut between the fact and whatever comes next
        refuse(store, record.name, services="", report="It\u202e works.\r\nReally.")
    (refusal,) = questions.refusals(store.rollout(record.name), STEP, SITE)
    assert refusal.given == Given(
        "Accept", {"services": "", "report": "It⟨U+202E⟩ works.\nReally."}, "admin-pic", NOW + timedelta(hours=1)
    )
    assert refusal.link == "https://pps.example.org/dags/x"
    mails = [mail for mail, _, _ in store.outbox(record.name)][1:]
    assert [(mail.to, mail.subject) for mail in mails] == [
        ("pic@example.org", "Not taken: your answer to “PIC: please apply glite-WN 3.1.23”")
    ]
    assert "Really" not in mails[0].text, "a list reads the mail, the form is read by who may answer"
    matches_snapshot("answer_refused.txt", mails[0].text)
    matches_snapshot("answer_refused.html", mails[0].html)
    assert questions.is_open(store.rollout(record.name), questions.question(store.rollout(record.name), STEP, SITE))


def test_the_same_answer_at_another_time_is_another_one(store: FactStore) -> None:
    record = opened(store)
    ask(store, record)
    refuse(store, record.name, report="No.")
    refuse(store, record.name, report="No.", at=NOW + timedelta(hours=2))
    assert len(questions.refusals(store.rollout(record.name), STEP, SITE)) == 2
    assert len(store.outbox(record.name)) == 3


def test_a_refusal_keeps_nothing_endless_and_not_without_end(store: FactStore) -> None:
    record = opened(store)
    with pytest.raises(NotYetAllowedError):
        refuse(store, record.name)
    ask(store, record)
    for n in range(asking.MOST_ANSWERS + 2):
        at = NOW + timedelta(minutes=n)
        refuse(store, record.name, "x" * 9_000, at=at, report="x" * (asking.LONGEST_TEXT + 1), services="SE")
    kept = questions.refusals(store.rollout(record.name), STEP, SITE)
    assert len(kept) == asking.MOST_ANSWERS
    assert kept[0].given.form == {"services": "SE"}
    assert len(kept[0].reasons[0]) == 500


def test_nobody_answers_what_was_not_asked_and_nothing_endless_is_kept(store: FactStore) -> None:
    record = opened(store)
    with pytest.raises(NotYetAllowedError):
        answer(store, record.name)
    ask(store, record)
    with pytest.raises(RefusedError, match="longer"):
        answer(store, record.name, report="x" * (asking.LONGEST_TEXT + 1))
    for n in range(asking.MOST_ANSWERS):
        answer(store, record.name, report=str(n))
    with pytest.raises(RefusedError, match="all the answers"):
        answer(store, record.name, report="one more")


def test_silence_is_noted_once_when_the_time_is_over_and_not_where_somebody_answered(store: FactStore) -> None:
    record = opened(store)
    ask(store, record)

    def silence(now_in: timedelta) -> bool:
        now = NOW + now_in
        return asking.note_silence(
            at_desk(store.rollout(record.name), store, now=now, actor="pps"), step=STEP, subject=SITE
        )

    assert not silence(DUE - NOW)
    assert silence(DUE - NOW + timedelta(seconds=1))
    assert answer(store, record.name, hours=30).late
    assert questions.decisive(store.rollout(record.name), STEP, SITE) is None


@pytest.mark.sd("4.1.3", step=8)
def test_a_sweep_reminds_at_each_share_of_the_time_once_and_not_after_an_answer(store: FactStore) -> None:
    record = opened(store)
    ask(store, record)

    def sweep(hours: float) -> int:
        return asking.remind(
            at_office(store, templates=templates(), now=NOW + timedelta(hours=hours), actor="pps"), (0.5, 0.9)
        )

    assert [sweep(h) for h in (1, 12, 13, 22, 23, 25)] == [0, 1, 0, 1, 0, 0]
    subjects = [mail.subject for mail, _, _ in store.outbox(record.name)]
    assert subjects[1:] == ["Reminder: PIC: please apply glite-WN 3.1.23"] * 2


def test_who_has_answered_is_not_reminded(store: FactStore) -> None:
    record = opened(store)
    ask(store, record)
    answer(store, record.name)
    assert (
        asking.remind(at_office(store, templates=templates(), now=NOW + timedelta(hours=20), actor="pps"), (0.5,)) == 0
    )


def test_two_answers_at_once_are_both_kept_and_one_decides(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path)
    record = opened(store)
    ask(store, record)
    stores = [FactStore(f"sqlite:///{tmp_path}/facts.db") for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: answer(stores[n], record.name, ("Accept", "Reject")[n % 2], 1 + n % 2), range(6)))
    kept = questions.answers(store.rollout(record.name), STEP)
    assert sorted(a.choice for a in kept) == ["Accept", "Reject"]
    assert questions.decisive(store.rollout(record.name), STEP, SITE) == kept[0]
