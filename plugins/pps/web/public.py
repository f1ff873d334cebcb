"""The public part: release notes, where a rollout stands, and the channel for feedback (SD 4.1.1)."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pps.activities.clients.bulletin import stage
from pps.activities.clients.standing import public_view, tag_of
from pps.activities.ports.publication import PublicationFolder
from pps.activities.ports.record import Facts
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError, RolloutError
from pps.domain.base.names import is_name
from pps.domain.base.texts import for_the_public
from pps.domain.packages.tags import jdl_requirement
from pps.domain.people.feedback import Opinion, VoAnswer, feedback_due
from pps.domain.people.users import users_in
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import NO_ROLLOUTS, Rollout
from pps.services import Services
from pps.web import forms
from pps.web.guards import RateLimit, check_origin, check_rate, check_type, client_of, read_text, strict_json
from pps.web.shell import page

#: The form holds an invitation.
_NEVER_KEPT = {"Cache-Control": "no-store"}
#: Of a page that we have written into the publication folder.
DOCUMENT_HEADERS = {
    # 'self': Airflow's own pages show the bulletin in a frame
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
    ),
    "Cache-Control": "no-cache",
}
_NOTES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}\.(html|txt)")
_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
ANSWERS_AT_ONCE, ANSWERS_PER_S = 10, 10 / 60


class FeedbackBody(BaseModel):
    """What one answer consists of."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    vo: Annotated[str, Field(max_length=64)]
    opinion: Annotated[Opinion, Field(strict=False)]
    text: Annotated[str, Field(max_length=20_000)] = ""
    author: Annotated[str, Field(max_length=200)] = ""
    token: Annotated[str, Field(max_length=512)] = ""

    @field_validator("vo")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not is_name(value):
            raise ValueError("is not the name of a VO")
        return value

    @field_validator("text", "author", "token")
    @classmethod
    def _is_text(cls, value: str) -> str:
        if re.search("[\x00\ud800-\udfff]", value):
            raise ValueError("holds characters that are not text")
        return value

    @field_validator("author", "token")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must be one line of text")
        return value


def rollout_or_404(facts: Facts, name: str) -> Rollout:
    """A rollout on record; 404 otherwise, and for a record that is none: what sites wish, or what somebody follows, is
    nobody else's business."""
    missing = HTTPException(404, "There is no such rollout.")
    if not is_name(name):
        raise missing
    try:
        record = facts.rollout(name)
    except NotYetAllowedError as error:
        raise missing from error
    opened = record.the(FactKind.ROLLOUT_OPENED)
    if opened is not None and opened.payload.get("path") in NO_ROLLOUTS:
        raise missing
    return record


@dataclass(frozen=True)
class _Channel:
    """Takes answers, for the API and the form alike."""

    services: Callable[[], Services]
    now: Callable[[], datetime]
    limit: RateLimit

    def admit(self, request: Request, content_type: str) -> None:
        """Refuse by rate, origin and type, before the body is read."""
        check_rate(request, self.limit)
        check_origin(request, self.services().config.service.public_url)
        check_type(request, content_type)

    def take(self, name: str, body: FeedbackBody, key: str, network: str) -> tuple[VoAnswer, bool]:
        """Record an answer; tell whether it is new. The key and the content together identify it.

        A key alone would swallow a text that was corrected after "back"; the content alone would
        take two people who both only say "works" for one.
        """
        from pps.activities.people.feedback import Said, give_feedback

        services, now = self.services(), self.now()
        rollout_or_404(services.facts, name)
        parts = (key, body.vo, body.opinion.value, body.text, body.author)
        identity = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        said = Said(body.vo, body.opinion, body.text, body.author, body.token, identity)
        limits, secret = services.config.policies.feedback.limits(), services.feedback_secret
        answer = give_feedback(services.facts, name, said, now, secret, limits=limits, network=network)
        # an answer that was on record already carries the time of its first arrival
        return answer, answer.at == now


def router(services: Callable[[], Services], now: Callable[[], datetime]) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()
    channel = _Channel(services, now, RateLimit(ANSWERS_AT_ONCE, ANSWERS_PER_S))

    @api.get("/release-notes/{file}")
    def release_notes(file: str) -> Response:
        """The release notes of a rollout, as `<rollout>.html` or `<rollout>.txt`."""
        if not _NOTES.fullmatch(file):
            raise HTTPException(404, "There are no such release notes.")
        text = published(services().publication_folder, f"release-notes/{file}")
        if file.endswith(".txt"):
            return PlainTextResponse(text)
        return HTMLResponse(text, headers=DOCUMENT_HEADERS)

    @api.get("/api/v1/rollouts/{name}")
    def show_rollout(name: str) -> Mapping[str, Any]:
        """Where a rollout stands, without personal data."""
        return public_view(rollout_or_404(services().facts, name))

    @api.post("/api/v1/rollouts/{name}/feedback")
    async def give(name: str, request: Request, idempotency_key: Annotated[str, Header()] = "") -> JSONResponse:
        """Take an answer: 201 if it is new, 200 if it was here before."""
        channel.admit(request, "application/json")
        if idempotency_key and not _KEY.fullmatch(idempotency_key):
            raise HTTPException(422, "Idempotency-Key: 1 to 128 characters of A-Z a-z 0-9 _ . : -")
        body = _checked(strict_json(await read_text(request)))
        answer, new = await run_in_threadpool(channel.take, name, body, idempotency_key, client_of(request))
        said = {
            "identity": answer.identity,
            "late": answer.late,
            "invited": answer.invited,
            "replaced": answer.replaced,
            "at": answer.at.isoformat(),
        }
        return JSONResponse(said, 201 if new else 200)

    @api.get("/feedback/{name}")
    def form(name: str, vo: str = "", token: str = "") -> HTMLResponse:
        """The form; an invitation's link fills in the VO and its token, which is looked at before a word is typed."""
        return _form(services(), rollout_or_404(services().facts, name), now(), {"vo": vo[:64], "token": token[:512]})

    @api.post("/feedback/{name}")
    async def send_form(name: str, request: Request) -> HTMLResponse:
        """Take the form; what was typed comes back with the reason when it cannot be taken."""
        typed: dict[str, str] = {}
        try:
            channel.admit(request, forms.URLENCODED)
            typed = forms.typed(await read_text(request))
            nonce = typed.pop("nonce", "")[:128]
            if typed.pop("without_invitation", ""):
                typed["token"] = ""
            body = _checked(typed)
            answer, _ = await run_in_threadpool(channel.take, name, body, nonce, client_of(request))
        except (HTTPException, RolloutError) as error:
            rollout = await run_in_threadpool(rollout_or_404, services().facts, name)
            status, why = forms.status_and_reason(error)
            headers = getattr(error, "headers", None)
            return _form(services(), rollout, now(), typed, why=why, status=status, headers=headers)
        rollout = await run_in_threadpool(rollout_or_404, services().facts, name)
        view = {"rollout": rollout.name, "answer": answer, "due": _shown(feedback_due(rollout))}
        return page(services().templates, "thanks.html", view, f"feedback/{name}", status=201, headers=_NEVER_KEPT)

    return api


def published(folder: PublicationFolder, name: str) -> bytes:
    """A file of the publication folder; 404 unless it is there, and is no link to something else."""
    found = folder.read(name)
    if found is None:
        raise HTTPException(404, "This has not been written yet.")
    return found


def _checked(data: Any) -> FeedbackBody:
    try:
        return FeedbackBody.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise HTTPException(
            422, "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems[:5])
        ) from error


def _shown(at: datetime | None) -> str:
    return at.strftime("%d %B %Y, %H:%M UTC").lstrip("0") if at else ""


def _form(
    services: Services,
    rollout: Rollout,
    now: datetime,
    typed: Mapping[str, str],
    *,
    why: str = "",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    tag, due, opened = tag_of(rollout), feedback_due(rollout), rollout.the(FactKind.ROLLOUT_OPENED)
    about, names = opened.payload if opened else {}, users_in(rollout)
    shown = {field: typed.get(field, "") for field in ("vo", "opinion", "text", "author", "token")}
    invited = bool(shown["token"]) and _is_invitation(services, rollout, shown)
    cut_off = bool(shown["token"]) and not invited and not why
    asked = rollout.the(FactKind.WITHDRAWAL_ASKED)
    view = {
        "rollout": rollout.name,
        "software": f"{about.get('metapackage', rollout.name)} {about.get('version', '')}".strip(),
        "about": for_the_public(about.get("title", ""), names),
        "stage": stage(rollout),
        "ended": rollout.is_closed,
        "withdrawn": for_the_public(str(asked.payload["reason"]), names) if asked else "",
        "late": due is not None and now > due,
        "due": _shown(due),
        "tag": tag,
        "jdl": jdl_requirement(tag) if tag else "",
        "invited": invited,
        "cut_off": cut_off,
        # half an invitation would only be refused when it is sent
        "typed": shown | ({"token": ""} if cut_off else {}),
        "nonce": secrets.token_urlsafe(16),
        "why": why,
    }
    kept = {**_NEVER_KEPT, **(headers or {})}
    return page(services.templates, "feedback.html", view, f"feedback/{rollout.name}", status=status, headers=kept)


def _is_invitation(services: Services, rollout: Rollout, typed: Mapping[str, str]) -> bool:
    from pps.activities.people.feedback import check_token

    try:
        return is_name(typed["vo"]) and check_token(services.feedback_secret, rollout.name, typed["vo"], typed["token"])
    except ConfigurationError:  # a fault of ours is no fault of the link; whoever sends the form is told
        return True
