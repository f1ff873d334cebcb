"""What a human step asks, and what follows from the answer: one `Form` for each kind of question.

`orchestration.people.HumanStep` puts it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pps.activities.people import asking
from pps.activities.people.asking import Asking
from pps.domain.people import questions
from pps.domain.people.effort import Doer, credit_fact
from pps.domain.people.questions import Given
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact
from pps.domain.sites.site import Site
from pps.workflow.desk import FrontDesk


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of question. `about` is the site or role that is asked.

    Args:
        prepare: what to ask, from the facts; None if there is nothing to ask (any more).
        follow: the facts that follow from an answer in time; `RefusedError` if it cannot be taken;
            then the same question is put again. Called once, for the answer that decides.
        check: raises `RefusedError` for an answer that `follow` would refuse, as far as that can be told without any
            effect: asked before an answer is stored, any number of times. None: `follow` itself has no effect, and is
            asked.
        silence: the facts that follow when the time is up.
        after: what else is to be done when answer or silence is on record (bulletin, mails, ...).
    """

    step: str
    options: tuple[str, ...]
    prepare: Callable[[FrontDesk, str], Asking | None]
    follow: Callable[[FrontDesk, str, Given], tuple[Fact, ...]]
    silence: Callable[[FrontDesk, str], tuple[Fact, ...]]
    fields: Mapping[str, Mapping[str, Any]] | None = None
    """field -> JSON schema with `default`, `title`, `description`, as in `start_forms`; each has a valid default"""
    after: Callable[[FrontDesk, str], None] | None = None
    check: Callable[[FrontDesk, str, Given], object] | None = None


def text_field(title: str, description: str) -> dict[str, Any]:
    """A field for several lines; it may stay empty."""
    return line_field(title, description, 10_000) | {"format": "multiline"}


def line_field(title: str, description: str, longest: int = 500) -> dict[str, Any]:
    """A field for one line; it may stay empty."""
    kind = {"type": ["null", "string"], "maxLength": longest, "default": None}
    return {**kind, "title": title, "description": description}


def put(d: FrontDesk, form: Form, about: str, wanted: Asking, link: str) -> questions.Question:
    """Put a question as its form has prepared it; one that was put before stays as it was."""
    return asking.ask(d, wanted, step=form.step, subject=about, link=link)


def people_of(site: Site) -> tuple[str, ...]:
    """Who may answer for a site: its administrators; the coordination where the registry names none."""
    return tuple(f"user:{name}" for name in site.administrators) or (f"role:{Role.PPS_COORDINATOR}",)


def credit_of_site(d: FrontDesk, activity: str, site: str, occasion: str, given: Given) -> Fact:
    """The site's credit for an activity that its people have just completed (SD 4); the fact counts once."""
    known = d.site(site)
    doer = Doer(site, site, known.roc if known else "", person=given.user)
    return credit_fact(d.rollout, d.config.activity(activity), doer, occasion, given.at, given.who)
