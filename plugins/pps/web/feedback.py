"""The channel for feedback, as a form and for programs (SD 4.1.1); who gave an answer can change or withdraw it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.background import BackgroundTask

from pps.domain.base.errors import RolloutError
from pps.domain.base.names import is_name
from pps.domain.people.feedback import Opinion, VoAnswer, feedback_due
from pps.domain.people.links import feedback_link
from pps.domain.people.verdicts import Asked
from pps.domain.record.rollouts import Rollout
from pps.services import Services
from pps.web.doors import checked
from pps.web.feedback_form import NEVER_KEPT, Filled, form_page, shown
from pps.web.forms import URLENCODED, status_and_reason, typed
from pps.web.guards import RateLimit, check_origin, check_rate, check_type, client_of, read_text, strict_json
from pps.web.public import rollout_or_404
from pps.web.shell import page
from pps.web.tracked import Tracked

_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
#: A key that nobody guesses: whoever sends an answer again with it is who has sent it before.
_UNGUESSABLE = 22
ANSWERS_AT_ONCE, ANSWERS_PER_S = 10, 10 / 60
#: A preview stores nothing.
PREVIEWS_AT_ONCE, PREVIEWS_PER_S = 30, 0.5
_MOST_FIELDS = 2500
_Verdict = Annotated[str, Field(max_length=20)]
Verdicts = Annotated[dict[Annotated[str, Field(max_length=64)], _Verdict], Field(max_length=1200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    vo: Annotated[str, Field(max_length=64)]
    token: Annotated[str, Field(max_length=512)] = ""
    replaces: Annotated[str, Field(max_length=64)] = ""
    """identity of the answer that is changed or withdrawn"""

    @field_validator("vo")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not is_name(value):
            raise ValueError("is not the name of a VO")
        return value

    @field_validator("token", "replaces")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        return _one_line(_text(value))


class FeedbackBody(_Body):
    """What one answer consists of."""

    opinion: Annotated[Opinion, Field(strict=False)]
    text: Annotated[str, Field(max_length=20_000)] = ""
    author: Annotated[str, Field(max_length=200)] = ""
    bugs: Verdicts = {}
    """number -> "fixed", "not fixed" or "not tried" """
    test_cases: Verdicts = {}
    """name -> "works", "does not work" or "not tried" """

    @field_validator("text", "author")
    @classmethod
    def _is_text(cls, value: str) -> str:
        return _text(value)

    @field_validator("author")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        return _one_line(value)


class WithdrawalBody(_Body):
    """Which answer is taken back: of the VO whose invitation the token is, or that which the token came with."""


def _text(value: str) -> str:
    if re.search("[\x00\ud800-\udfff]", value):
        raise ValueError("holds characters that are not text")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line of text")
    return value


@dataclass(frozen=True)
class _Channel:
    """Takes answers, for the API and the form alike."""

    services: Callable[[], Services]
    now: Callable[[], datetime]
    tracked: Tracked
    limit: RateLimit
    previews: RateLimit

    def admit(self, request: Request, content_type: str, *, preview: bool = False) -> None:
        """Refuse by rate, origin and type, before the body is read."""
        check_rate(request, self.previews if preview else self.limit)
        check_origin(request, self.services().config.service.public_url)
        check_type(request, content_type)

    def take(self, name: str, body: FeedbackBody, key: str, network: str) -> tuple[VoAnswer, bool, str]:
        """Record an answer; tell whether it is new, and the token with which whoever sent it may change it.

        The key and the content together identify it: a key alone would swallow a text that was corrected after
        "back"; the content alone would take two people who both only say "works" for one. An answer's own token goes
        to nobody who only says the same.
        """
        from pps.activities.people.feedback import Said, give_feedback
        from pps.activities.people.tokens import own_token

        services, now = self.services(), self.now()
        record = rollout_or_404(services.facts, name)
        verdicts = [repr(sorted(said.items())) for said in (body.bugs, body.test_cases) if said]
        parts = (key, body.vo, body.opinion.value, body.text, body.author, *verdicts)
        identity = hashlib.sha256("\0".join(parts).encode()).hexdigest() if key else None
        said = Said(
            body.vo,
            body.opinion,
            body.text,
            body.author,
            body.token,
            identity,
            bugs=body.bugs,
            test_cases=body.test_cases,
            replaces=body.replaces,
        )
        limits, secret = services.config.policies.feedback.limits(), services.feedback_secret
        asked = self._asked(record) if _says_something(body) else Asked()
        answer = give_feedback(services.facts, name, said, now, secret, limits=limits, network=network, asked=asked)
        # an answer that was on record already carries the time of its first arrival
        new = answer.at == now
        theirs = not answer.invited and (new or len(key) >= _UNGUESSABLE)
        return answer, new, own_token(secret, name, answer.vo, answer.identity) if theirs else ""

    def withdraw(self, name: str, body: _Body) -> VoAnswer:
        """Take an answer back."""
        from pps.activities.people.feedback import withdraw_feedback

        s = self.services()
        rollout_or_404(s.facts, name)
        return withdraw_feedback(
            s.facts, name, body.vo, body.token, self.now(), s.feedback_secret, answer=body.replaces
        )

    def _asked(self, record: Rollout) -> Asked:
        """What the patch names; 503 while the tracker, which knows it, does not answer."""
        patch = self.tracked.patch(record.patch_number).patch
        if patch is None:
            why = "The tracker does not answer, so what you say of single bugs cannot be checked now."
            raise HTTPException(503, f"{why} Try again in a few minutes, or say it in the text; nothing was stored.")
        return Asked(tuple(b.number for b in patch.bugs), tuple(c.name for c in patch.test_cases))


def _says_something(body: FeedbackBody) -> bool:
    return any(verdict not in ("", "not tried") for said in (body.bugs, body.test_cases) for verdict in said.values())


def router(
    services: Callable[[], Services], now: Callable[[], datetime], heard: Callable[[Rollout], None]
) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`.

    Args:
        heard: called after an invited VO has spoken, or taken back what it said.
    """
    api = APIRouter()
    tracked = Tracked(services)
    answers, previews = RateLimit(ANSWERS_AT_ONCE, ANSWERS_PER_S), RateLimit(PREVIEWS_AT_ONCE, PREVIEWS_PER_S)
    channel = _Channel(services, now, tracked, answers, previews)

    def then(answer: VoAnswer, name: str) -> BackgroundTask | None:
        return BackgroundTask(lambda: heard(services().facts.rollout(name))) if answer.invited else None

    @api.post("/api/v1/rollouts/{name}/feedback")
    async def give(name: str, request: Request, idempotency_key: Annotated[str, Header()] = "") -> JSONResponse:
        """Take an answer: 201 if it is new, 200 if it was here before."""
        channel.admit(request, "application/json")
        if idempotency_key and not _KEY.fullmatch(idempotency_key):
            raise HTTPException(422, "Idempotency-Key: 1 to 128 characters of A-Z a-z 0-9 _ . : -")
        body = checked(FeedbackBody, strict_json(await read_text(request)))
        answer, new, token = await run_in_threadpool(channel.take, name, body, idempotency_key, client_of(request))
        said = _standing(answer) | {"change_token": token or None}
        return JSONResponse(said, 201 if new else 200, background=then(answer, name))

    @api.post("/api/v1/rollouts/{name}/feedback/withdrawal")
    async def take_back(name: str, request: Request) -> JSONResponse:
        """Withdraw an answer, until the asking ends."""
        channel.admit(request, "application/json")
        body = checked(WithdrawalBody, strict_json(await read_text(request)))
        answer = await run_in_threadpool(channel.withdraw, name, body)
        return JSONResponse(_standing(answer), background=then(answer, name))

    @api.get("/feedback/{name}")
    def form(name: str, vo: str = "", token: str = "") -> HTMLResponse:
        """The form; an invitation's link fills in the VO, its token, and what the VO has answered already."""
        fields = {"vo": vo[:64], "token": token[:512]}
        return form_page(services(), tracked, rollout_or_404(services().facts, name), now(), Filled(fields))

    @api.post("/feedback/{name}")
    async def send_form(name: str, request: Request, preview: bool = False) -> HTMLResponse:
        """Take the form; what was typed comes back with the reason when it cannot be taken, and with a preview."""
        said, token = dict[str, str](), ""
        try:
            channel.admit(request, URLENCODED, preview=preview)
            said = typed(await read_text(request), fields_at_most=_MOST_FIELDS)
            nonce, withdraw = said.pop("nonce", "")[:128], said.pop("withdraw", "")
            if said.pop("without_invitation", ""):
                said |= {"token": "", "replaces": ""}
            if preview:
                record = await run_in_threadpool(rollout_or_404, services().facts, name)
                return await run_in_threadpool(
                    form_page, services(), tracked, record, now(), Filled(said, sent=True, preview=True)
                )
            token = said.get("token", "")
            if withdraw:
                body = checked(WithdrawalBody, {k: said[k] for k in ("vo", "token", "replaces") if k in said})
                answer = await run_in_threadpool(channel.withdraw, name, body)
            else:
                whole = checked(FeedbackBody, _fields(said))
                answer, _, token = await run_in_threadpool(channel.take, name, whole, nonce, client_of(request))
        except (HTTPException, RolloutError) as error:
            record = await run_in_threadpool(rollout_or_404, services().facts, name)
            status, why = status_and_reason(error)
            filled = Filled(said, sent=True, why=why, status=status, headers=getattr(error, "headers", None))
            return await run_in_threadpool(form_page, services(), tracked, record, now(), filled)
        record = await run_in_threadpool(rollout_or_404, services().facts, name)
        link = feedback_link(services().config.service.public_url, name, answer.vo, token) if token else ""
        view = {"rollout": name, "answer": answer, "due": shown(feedback_due(record)), "own_link": link}
        status = 200 if withdraw else 201
        done = page(services().templates, "thanks.html", view, f"feedback/{name}", status=status, headers=NEVER_KEPT)
        done.background = then(answer, name)
        return done

    return api


def _standing(answer: VoAnswer) -> dict[str, Any]:
    """What a program is told of its answer."""
    return {
        "identity": answer.identity,
        "late": answer.late,
        "invited": answer.invited,
        "replaced": answer.replaced,
        "withdrawn_at": answer.withdrawn_at.isoformat() if answer.withdrawn_at else None,
        "at": answer.at.isoformat(),
    }


def _fields(said: Mapping[str, str]) -> dict[str, Any]:
    """The fields of the form as a program would send them: `bug-101` and `case-x` are what is said of these."""
    whole: dict[str, Any] = {k: v for k, v in said.items() if not k.startswith(("bug-", "case-"))}
    for prefix, field in (("bug-", "bugs"), ("case-", "test_cases")):
        whole[field] = {k.removeprefix(prefix): v for k, v in said.items() if k.startswith(prefix) and v}
    return whole
