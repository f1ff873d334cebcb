"""The page with the form for feedback: what is asked, what was said before, and what was typed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi.responses import HTMLResponse

from pps.activities.clients.bulletin import stage
from pps.activities.clients.standing import tag_of
from pps.domain.base.errors import ConfigurationError
from pps.domain.base.names import is_name
from pps.domain.base.texts import clean_text, for_the_public
from pps.domain.packages.tags import jdl_requirement
from pps.domain.people.feedback import AS_AGREED, Asking, VoAnswer, change_ends, feedback_due
from pps.domain.people.users import users_in
from pps.domain.people.verdicts import NOT_TRIED, BugVerdict, CaseVerdict
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout
from pps.services import Services
from pps.web.shell import page
from pps.web.tracked import Tracked

#: The form holds an invitation.
NEVER_KEPT = {"Cache-Control": "no-store"}
_BUG = re.compile(r"bug-([1-9][0-9]{0,8})")


def shown(at: datetime | None) -> str:
    """A moment as the form names it."""
    return at.strftime("%d %B %Y, %H:%M UTC").lstrip("0") if at else ""


@dataclass(frozen=True, slots=True)
class Filled:
    """What stands in the fields, and what its reader is told."""

    fields: Mapping[str, str]
    sent: bool = False
    """by its reader; else by a link, and the present answer may stand in the fields"""
    preview: bool = False
    """show the text above the form as it would be published"""
    why: str = ""
    """it was not taken"""
    status: int = 200
    headers: Mapping[str, str] | None = None


def form_page(services: Services, tracked: Tracked, rollout: Rollout, now: datetime, filled: Filled) -> HTMLResponse:
    """The form, with what was typed."""
    typed = filled.fields
    tag, due, opened = tag_of(rollout), feedback_due(rollout), rollout.the(FactKind.ROLLOUT_OPENED)
    about, names = opened.payload if opened else {}, users_in(rollout)
    fields = {f: typed.get(f, "") for f in ("vo", "opinion", "text", "author", "token", "replaces")}
    invited, owns, mine = _right(services, rollout, fields)
    cut_off = bool(fields["token"]) and not (invited or owns) and not filled.why
    verdicts = {k: v for k, v in typed.items() if k.startswith(("bug-", "case-"))}
    ended = change_ends(rollout, now)
    changes = mine is not None and mine.withdrawn_at is None and not ended
    if mine is not None and changes and not filled.sent:
        fields |= {"opinion": mine.opinion.value, "text": mine.text, "author": mine.author if owns else ""}
        verdicts = {f"bug-{number}": v.value for number, v in mine.verdicts.bugs.items()}
        verdicts |= {f"case-{name}": v.value for name, v in mine.verdicts.test_cases.items()}
    asked = rollout.the(FactKind.WITHDRAWAL_ASKED)
    over = rollout.the(FactKind.FEEDBACK_ENDED)
    asking = Asking.of(rollout, services.config.policies.feedback.terms())
    bugs, cases, away = _one_by_one(tracked, rollout, verdicts)
    view = {
        "rollout": rollout.name,
        "software": f"{about.get('metapackage', rollout.name)} {about.get('version', '')}".strip(),
        "about": for_the_public(about.get("title", ""), names),
        "stage": stage(rollout),
        "ended": rollout.is_closed,
        "withdrawn": for_the_public(str(asked.payload["reason"]), names) if asked else "",
        "late": due is not None and now > due,
        "due": shown(due),
        "asking": "" if services.config.policies.feedback.terms() == AS_AGREED or over else asking.sentence,
        "over": over.at if over else None,
        "tag": tag,
        "jdl": jdl_requirement(tag) if tag else "",
        "invited": invited,
        "owns": owns,
        "mine": mine,
        "changes": changes,
        "changed_from": bool(fields["replaces"]) and mine is not None and fields["replaces"] != mine.identity,
        "change_ended": ended,
        "cut_off": cut_off,
        "bugs": bugs,
        "test_cases": cases,
        "tracker_away": away,
        "preview": for_the_public(clean_text(fields["text"]).strip(), names) if filled.preview else None,
        # half an invitation would only be refused when it is sent
        "typed": fields | ({"token": ""} if cut_off else {}) | {"replaces": mine.identity if mine and changes else ""},
        "nonce": secrets.token_urlsafe(16),
        "why": filled.why,
    }
    kept = {**NEVER_KEPT, **(filled.headers or {})}
    return page(
        services.templates, "feedback.html", view, f"feedback/{rollout.name}", status=filled.status, headers=kept
    )


def _right(services: Services, rollout: Rollout, fields: Mapping[str, str]) -> tuple[bool, bool, VoAnswer | None]:
    """Whether the token is the VO's invitation, or an answer's own; and the answer that stands."""
    from pps.activities.people.feedback import right_of

    if not fields["token"] or not is_name(fields["vo"]):
        return False, False, None
    try:
        right = right_of(rollout, services.feedback_secret, fields["vo"], fields["token"])
    except ConfigurationError:  # a fault of ours is no fault of the link; whoever sends the form is told
        return True, False, None
    return right.invited, right.owns, right.answer


def _one_by_one(
    tracked: Tracked, rollout: Rollout, said: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], bool]:
    """Bugs and test cases with what is said of them; and whether the tracker, which knows them, does not answer.

    What was typed of others stands among them, so that nothing is lost when it cannot be taken.
    """
    opened = rollout.the(FactKind.ROLLOUT_OPENED)
    number = opened.payload.get("patch") if opened else None
    told = tracked.patch(int(number)) if number else None
    patch = told.patch if told else None
    titles = {str(b.number): b.title for b in patch.bugs} if patch else {}
    typed = [m[1] for name, v in said.items() if v and (m := _BUG.fullmatch(name)) and m[1] not in titles]
    known = {c.name: c for c in patch.test_cases} if patch else {}
    more = [name.removeprefix("case-") for name, v in said.items() if v and name.startswith("case-")]
    bugs = [_item(n, titles.get(n, ""), "", said.get(f"bug-{n}", ""), BugVerdict) for n in (*titles, *typed)]
    cases = [
        _item(n, known[n].title if n in known else "", known[n].how if n in known else "", said.get(f"case-{n}", ""))
        for n in dict.fromkeys((*known, *filter(is_name, more)))
    ]
    return bugs, cases, told is not None and patch is None


def _item(
    name: str, title: str, how: str, said: str, kind: type[BugVerdict] | type[CaseVerdict] = CaseVerdict
) -> dict[str, Any]:
    choice = [*((v.value, v.value) for v in kind), ("", NOT_TRIED)]
    return {"name": name, "title": title, "how": how, "said": said, "choice": choice}
