"""What a human step asks, and what follows from the answer: one `Form` a kind of question (see people.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pps.activities.people import asking
from pps.domain.people import questions
from pps.domain.people.effort import credit_fact
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site
from pps.services import Services


@dataclass(frozen=True, slots=True)
class Asking:
    """What is put to whom."""

    title: str
    """one line: the mail's subject, and the headline in Airflow"""
    body: str
    """what they need to know, in Markdown; people's text only through the template filter `fenced`"""
    due: datetime
    assigned_to: tuple[str, ...]
    """`user:<name>` or `role:<Name>`"""
    to: str = ""
    """mail address; "" sends none"""


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as Airflow hands it over: by whom is Airflow's word, not the form's."""

    choice: str
    form: Mapping[str, Any]
    user: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of question. `about` is the site or role that is asked.

    Args:
        prepare: what to ask, from the facts; None if there is nothing to ask (any more).
        follow: the facts that follow from an answer in time; `RefusedError` if it cannot be taken, then the
            same question is put again. Called once, for the answer that decides.
        silence: the facts that follow when the time is up.
        after: what else is to be done when answer or silence is on record (bulletin, mails, ...).
    """

    step: str
    options: tuple[str, ...]
    prepare: Callable[[Services, Rollout, str], Asking | None]
    follow: Callable[[Services, Rollout, str, Given], tuple[Fact, ...]]
    silence: Callable[[Services, Rollout, str], tuple[Fact, ...]]
    fields: Mapping[str, Mapping[str, Any]] | None = None
    """field -> JSON schema with `default`, `title`, `description`, as in params.py; each must have a valid default"""
    after: Callable[[Services, Rollout, str], None] | None = None


def text_field(title: str, description: str) -> dict[str, Any]:
    """A field for several lines; it may stay empty."""
    return line_field(title, description, 10_000) | {"format": "multiline"}


def line_field(title: str, description: str, longest: int = 500) -> dict[str, Any]:
    """A field for one line; it may stay empty."""
    kind = {"type": ["null", "string"], "maxLength": longest, "default": None}
    return {**kind, "title": title, "description": description}


def put(
    s: Services, record: Rollout, form: Form, about: str, wanted: Asking, *, link: str, now: datetime, actor: str
) -> questions.Question:
    """Put a question as its form has prepared it; one that was put before stays as it was."""
    return asking.ask(
        record,
        s.facts,
        s.templates,
        step=form.step,
        subject=about,
        title=wanted.title,
        body=wanted.body,
        due=wanted.due,
        to=wanted.to,
        assigned_to=wanted.assigned_to,
        link=link,
        now=now,
        actor=actor,
    )


def people_of(site: Site) -> tuple[str, ...]:
    """Who may answer for a site: its administrators; the coordination where the registry names none."""
    return tuple(f"user:{name}" for name in site.administrators) or (f"role:{Role.PPS_COORDINATOR}",)


def credit_of_site(s: Services, record: Rollout, activity: str, site: str, occasion: str, given: Given) -> Fact:
    """The site's credit for an activity that its people have just completed (SD 4); the fact counts once."""
    known = s.config.sites.get(site)
    return credit_fact(
        record,
        s.config.activity(activity),
        site,
        occasion,
        given.at,
        f"user {given.user}",
        site=site,
        roc=known.roc if known else "",
        person=given.user,
    )
