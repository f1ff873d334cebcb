"""What sites with a kit may do: the public log of statements, and the door for those who sign (docs/kit.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from pps.activities.clients import signing
from pps.activities.trust import statements
from pps.domain.record.facts import Fact
from pps.domain.record.statements import Offered
from pps.domain.sites.site import Scheme
from pps.domain.trust.keys import Root
from pps.services import Services
from pps.web.doors import Body, WebDoor
from pps.web.public import rollout_or_404
from pps.workflow.desk import FrontDesk


class SignaturesBody(Body):
    """Documents with signatures, as `pps sign` writes them."""

    signatures: Annotated[str, Field(max_length=200_000)]


def public_router(services: Callable[[], Services]) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()

    @api.get("/log.json")
    def shown_log(request: Request) -> Response:
        """Every statement that was offered, with its signatures: each can be checked with the tools that sites have."""
        s = services()
        keys = {scheme.value: [signed.document for signed in lists] for scheme, lists in s.key_lists.items()}
        entries = [_logged(it) for what in statements.whats(s.facts) for it in statements.all_offered(s.facts, what)]
        log = JSONResponse({"keys": keys, "statements": entries})
        # of what is shown, and of nothing else: lists of keys are no facts, and an embargo ends without one
        tag = f'"{hashlib.sha256(bytes(log.body)).hexdigest()[:20]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        log.headers.update(headers)
        return log

    return api


def _logged(it: Offered) -> Mapping[str, Any]:
    signatures: dict[str, dict[str, str]] = {}
    for signature in it.signatures:
        signatures.setdefault(signature.scheme.value, {})[signature.by.name] = signature.text
    return {
        "what": it.statement.what,
        "sequence": it.statement.sequence,
        "sha256": it.statement.digest,
        "offered_at": it.at.isoformat(),
        "document": it.statement.text,
        "signatures": signatures,
    }


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api, door = APIRouter(), WebDoor(services, now)

    @api.get("/api/v1/rollouts/{name}/statements")
    def to_be_signed(name: str) -> dict[str, Any]:
        """What is signed for a rollout, with all by which whoever signs can check it on a machine of their own."""
        s = services()
        rollout_or_404(s.facts, name)
        roots = s.keys_in_force
        return {"statements": [_for_signers(s, it, roots) for it in statements.offered_for(s.facts, name)]}

    @api.post("/api/v1/rollouts/{name}/signatures")
    async def sign(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Take signatures that come after the question to sign has ended, or beside it; each counts once."""

        def act(d: FrontDesk, body: SignaturesBody, who: str, mine: frozenset[str]) -> Fact:
            return signing.sign(d, body.signatures, who, mine, d.services.keys_in_force, d.services.check_signatures)

        def said(fact: Fact) -> Mapping[str, Any]:
            return {"signer": fact.payload["signer"], "role": fact.payload["role"]}

        return await door.answered(request, SignaturesBody, name, user, act, said)

    return api


def _for_signers(s: Services, it: Offered, roots: Mapping[Scheme, Root]) -> Mapping[str, Any]:
    before = statements.all_offered(s.facts, it.statement.what)
    last = next((o.statement for o in reversed(before) if o.statement.sequence == it.statement.sequence - 1), None)
    with_kit = [site for site in s.config.sites.values() if site.kit and str(site.platform) == it.statement.platform]
    return {
        "what": it.statement.what,
        "document": it.statement.text,
        "manifest": signing.manifest_text(it.statement.preview, s.artefacts),
        "before": last.text if last else "",
        "manifest_before": signing.manifest_text(last.preview, s.artefacts) if last else "",
        "sites": sorted(site.name for site in with_kit),
        "schemes": {
            scheme.value: {"signed_as": sorted(it.roles(root)), "missing": it.missing(root)}
            for scheme, root in roots.items()
        },
    }
