"""What sites say of an update that they try before it goes public; late answers are kept, too (SD 4.2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pps.activities.desk import Desk
from pps.activities.packages.fetching import kept_packages
from pps.activities.packages.repository_use import PublishedKeys, how_to_use
from pps.activities.people import asking
from pps.activities.quality.release_testing import FOLDER, delivery
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.packages.patch import Patch, Repository, RepositoryKind
from pps.domain.people import questions
from pps.domain.people.effort import Activity, Doer, credit_fact
from pps.domain.people.questions import Answer, Given
from pps.domain.quality import release_tests as rules
from pps.domain.quality.release_tests import STEP
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site

#: Key in activities.yaml: "Apply a middleware update for release testing".
ACTIVITY = "release-test"


def question_view(
    desk: Desk, patch: Patch, site: Site, services: Sequence[str], due: datetime, link: str, keys: PublishedKeys
) -> Mapping[str, Any]:
    """The view of the template `ask_release_test.md`.

    Args:
        keys: those that sign the repository.
        services: those to which the site's pool usually applies updates; a hint.
        link: where late answers go.
    """
    delivered = delivery(desk.rollout, site.name)
    if delivered is None:
        raise NotYetAllowedError(f"{desk.name} at {site.name}", "nothing has been delivered yet.", "Deliver it first.")
    kind, components = patch.repository.kind, patch.repository.components[:1]
    suite = FOLDER if kind is RepositoryKind.APT else ""
    source = Repository(kind, delivered.payload["repository"], suite, components)
    return {
        "rollout": desk.name,
        "patch": patch,
        "site": site,
        "services": services,
        "how_to_use": how_to_use(source, desk.name, keys, desk.templates),
        "packages": [name for name, _ in kept_packages(desk.rollout)],
        "due": due,
        "late_link": link,
    }


def facts_of_answer(record: Rollout, site: str, given: Given, activity: Activity) -> tuple[Fact, ...]:
    """What follows from a site's answer, in time or late: whoever has applied the update is credited, once.

    Source: SD 4.2.3, table: "Production Site: Apply a middleware update for release testing".

    Raises:
        RefusedError: the form does not say what the answer needs.
    """
    if reasons := rules.reasons_against_answer(given.choice, given.form):
        raise RefusedError(f"answer of {site}", reasons, "Fill it in, then answer again.")
    if not rules.has_applied(given.choice):
        return ()
    delivered = delivery(record, site)
    roc = str(delivered.payload["roc"]) if delivered else ""
    return (credit_fact(record, activity, Doer(site, site, roc, person=given.user), "", given.at, given.who),)


def keep_late_answer(desk: Desk, site: str, given: Given, activity: Activity) -> Answer:
    """Keep an answer that no longer decides; the same one twice is one record.

    Raises:
        NotYetAllowedError: nobody has asked the site, or the question is open: then it is answered in Airflow.
        RefusedError: the form does not say what the answer needs, or is too large.
    """
    record = desk.rollout
    asked = questions.question(record, STEP, site)
    if asked is None:
        raise NotYetAllowedError(f"{record.name}, {site}", "nobody has asked yet.", "Wait for the mail.")
    if is_open(record, site, desk.now):
        raise NotYetAllowedError(
            f"{record.name}, {site}",
            "the question is still open, and an answer counts.",
            f"Answer it in Airflow: {link_of(record, site)}",
        )
    more = facts_of_answer(record, site, given, activity)
    texts = {name: rules.field(given.form, name) for name in ("report", "services")}
    return asking.keep_answer(desk, replace(given, form=texts), step=STEP, subject=site, more=more)


def late_link(public_url: str, record: Rollout) -> str:
    """Where answers go that come after the time (`web/late_answers.py`)."""
    return f"{public_url.rstrip('/')}/pps/api/v1/rollouts/{record.name}/answers"


def is_open(record: Rollout, site: str, now: datetime) -> bool:
    """Tell whether a site's answer would count."""
    asked = questions.question(record, STEP, site)
    return asked is not None and now <= asked.due and questions.is_open(record, asked)


def link_of(record: Rollout, site: str) -> str:
    """Where the question to a site is answered while it is open."""
    put = (f for f in record.facts if f.kind is FactKind.QUESTION_ASKED and (f.occasion, f.subject) == (STEP, site))
    return next((str(f.payload.get("link", "")) for f in put), "")


def results(record: Rollout) -> dict[str, Any]:
    """Where a release test stands, for `pps release-test show`."""
    closed, decided = record.the(FactKind.ROLLOUT_CLOSED), rules.decision(record)

    def shown(answer: Answer) -> dict[str, Any]:
        texts = {name: rules.field(answer.form, name) for name in ("services", "report")}
        return {"choice": answer.choice, "user": answer.user, "at": answer.at, "late": answer.late, **texts}

    return {
        "rollout": record.name,
        "patch": record.patch_number,
        "outcome": closed.payload["outcome"] if closed else None,
        "reasons": list(closed.payload.get("reasons", ())) if closed else [],
        "sites": [
            {
                "site": s.site,
                "pool": s.pool,
                "delivered": delivery(record, s.site) is not None,
                "due": s.question.due if s.question else None,
                "answer": shown(s.answer) if s.answer else None,
                "without_effect": [shown(a) for a in s.others],
            }
            for s in rules.standings(record)
        ],
        "left_out": {f.subject: f.payload["reason"] for f in record.facts if f.kind is FactKind.SITE_LEFT_OUT},
        "decision": decided,
    }
