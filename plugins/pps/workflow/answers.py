"""What becomes of an answer: would the form's rule take it, was it taken, and why does a question wait again?

For the doors: Airflow's own routes, our pages, `pps tasks`. Nothing here has an effect, so it may be asked at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit

from pps.activities.people import asking
from pps.activities.ports.record import Facts
from pps.domain.base.errors import RefusedError
from pps.domain.people import questions
from pps.domain.people.questions import Given, Question, Refusal
from pps.domain.record.facts import Fact, FactKind
from pps.workflow.desk import FrontDesk, FrontOffice
from pps.workflow.form_book import FORMS

_PAGE = "/pps/tasks/"
#: Airflow's own form; links of questions that were put before we had a page of our own lead there.
_FORM = "/required_actions"
_OURS = re.compile(rf"{_PAGE}([^/]+)/([^/]+)/([^/]+)/(-1|[0-9]{{1,6}})$")
_AIRFLOWS = re.compile(rf"/dags/([^/]+)/runs/([^/]+)/tasks/([^/]+)(?:/mapped/([0-9]{{1,6}}))?{_FORM}$")
#: The time of an answer goes through Airflow's database and a task's arguments before we record it.
_SAME_TIME = timedelta(milliseconds=5)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a question waits in Airflow: one instance of a human task."""

    dag: str
    run: str
    task: str
    map_index: int = -1

    @property
    def page(self) -> str:
        """Our own page of it, below /pps/."""
        return f"tasks/{'/'.join(quote(part, safe='') for part in (self.dag, self.run, self.task))}/{self.map_index}"

    @property
    def form(self) -> str:
        """Airflow's own form, below Airflow's address.

        Airflow 3.3's own `generate_link_to_ui` leads to a page without the form for each mapped task.
        """
        mapped = f"/mapped/{self.map_index}" if self.map_index >= 0 else ""
        return f"dags/{quote(self.dag)}/runs/{quote(self.run)}/tasks/{quote(self.task)}{mapped}{_FORM}"

    @classmethod
    def read(cls, link: str) -> Place | None:
        """Where a link that was recorded leads; None if it leads to no question."""
        path = urlsplit(link).path
        found = _OURS.search(path) or _AIRFLOWS.search(path)
        if found is None:
            return None
        dag, run, task, map_index = found.groups()
        return cls(unquote(dag), unquote(run), unquote(task), int(map_index) if map_index else -1)

    def link(self, public_url: str) -> str:
        """Where it is answered in a browser."""
        return f"{public_url.rstrip('/')}/pps/{self.page}"

    def is_in(self, link: str) -> bool:
        """Tell whether a link that was recorded leads here; our address may have changed since."""
        return Place.read(link) == self


def question_at(office: FrontOffice, place: Place) -> tuple[FrontDesk, Question] | None:
    """The question that waits there, at the desk of the rollout that the run has opened, or withdraws; None if it is
    none of ours."""
    opened = office.facts.with_payload(FactKind.ROLLOUT_OPENED, "run", [f"{place.dag}/{place.run}"])
    names = [fact.rollout for fact in opened] or asking.withdrawn_lately(office.facts, office.now)
    for name in dict.fromkeys(names):
        d = office.desk(name)
        for asked in questions.questions(d.rollout):
            if place.is_in(asked.link):
                return d, asked
    return None


# --- before it is stored ------------------------------------------------------------------------


class _Reading:
    """The record of facts for somebody who only looks."""

    _MAY = frozenset({"about", "rollout", "rollouts", "dossier", "standing", "has", "facts_of_kind", "with_payload"})

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def __getattr__(self, name: str) -> Any:
        if name not in self._MAY:
            raise TypeError(f"the check of an answer has no effect, and called {name}; its form needs a `check`")
        return getattr(self._facts, name)


def reasons_against(office: FrontOffice, place: Place, given: Given) -> tuple[str, ...]:
    """Say why an answer would not be taken, as far as that can be told without any effect; no reasons means go on.

    The task judges it again when it is stored: another answer may be first, and a service may look different then.

    Raises:
        ServiceError: a service that the rule asks is down.
    """
    found = question_at(office, place)
    if found is None:
        return ()
    d, asked = found
    decided = questions.decisive(d.rollout, asked.step, asked.subject) is not None
    if decided or questions.has_expired(d.rollout, asked.step, asked.subject) or given.at > asked.due:
        return ()  # it is kept, and decides nothing: no rule is asked
    form = FORMS.get(asked.step)
    if form is None:
        return ()
    reader = replace(d, facts=cast(Facts, _Reading(d.facts)))
    try:
        asking.must_fit(d.rollout, given, step=asked.step, subject=asked.subject)
        (form.check or form.follow)(reader, asked.subject, given)
    except RefusedError as error:
        return (*error.reasons, *([error.next_step] if error.next_step else []))
    return ()


# --- afterwards ---------------------------------------------------------------------------------


class Standing(StrEnum):
    """What has become of an answer that was stored. Programs read it: never rename."""

    TAKEN = "taken"
    WITHOUT_EFFECT = "without effect"
    """kept: it came after the time, or after the one that decides"""
    NOT_TAKEN = "not taken"
    SET_ASIDE = "set aside"
    """a service is down that is needed to take it; it is tried again by itself"""
    NOT_JUDGED = "not judged"
    """not yet"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one answer; with the reasons if it was not taken or has to wait."""

    standing: Standing
    reasons: tuple[str, ...] = ()


def verdict(office: FrontOffice, place: Place, at: datetime) -> Verdict:
    """Say what has become of the answer that was stored at this time."""
    found = question_at(office, place)
    if found is None:
        return Verdict(Standing.NOT_JUDGED)
    d, asked = found
    mine = [
        fact
        for fact in d.rollout.facts
        if fact.subject == asked.subject and fact.payload.get("step") == asked.step and abs(fact.at - at) <= _SAME_TIME
    ]
    return next((said for fact in reversed(mine) if (said := _said(d, asked, fact))), Verdict(Standing.NOT_JUDGED))


def _said(d: FrontDesk, asked: Question, fact: Fact) -> Verdict | None:
    match fact.kind:
        case FactKind.ANSWER_GIVEN:
            decides = questions.decisive(d.rollout, asked.step, asked.subject)
            takes = decides is not None and decides.at == fact.at
            return Verdict(Standing.TAKEN if takes else Standing.WITHOUT_EFFECT)
        case FactKind.ANSWER_REFUSED:
            refusal = questions.refusal_of(fact)
            return Verdict(Standing.NOT_TAKEN, (*refusal.reasons, *([refusal.next_step] if refusal.next_step else [])))
        case FactKind.ANSWER_SET_ASIDE:
            return Verdict(Standing.SET_ASIDE, (str(fact.payload.get("reason", "")),))
    return None


# --- when it is asked again ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """What a question says on top, and what its fields hold, after an answer that was not taken."""

    words: str
    """Markdown"""
    form: Mapping[str, Any]


def asked_again(office: FrontOffice, since: datetime, *places: Place) -> Mapping[Place, AskedAgain]:
    """Of these places, those whose newest answer was not taken; one look at the record for all of them.

    Args:
        since: when the oldest of their questions was put.
    """
    newest: dict[Place, Refusal] = {}
    for fact in office.facts.facts_of_kind([FactKind.ANSWER_REFUSED], since=since):
        refusal = questions.refusal_of(fact)
        newest |= {place: refusal for place in places if place.is_in(refusal.link)}
    return {place: _shown(office, refusal) for place, refusal in newest.items()}


def _shown(office: FrontOffice, refusal: Refusal) -> AskedAgain:
    return AskedAgain(office.templates.render("answer_refused.md", {"refusal": refusal}), refusal.given.form)
