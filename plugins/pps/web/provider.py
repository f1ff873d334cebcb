"""A provider's desk: releases are submitted here, and what was found in them, and waived, is shown.

For the provider's people, and for those who decide on releases; whose product it is, people.yaml says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from pps.activities.packages import submission
from pps.domain.base.errors import RolloutError
from pps.domain.record.submissions import LookState, Submitted
from pps.services import Services
from pps.web import provider_submit
from pps.web.closed import masked
from pps.web.doors import checked
from pps.web.forms import Person, sent_form, status_and_reason
from pps.web.guards import check_origin, check_type, read_text, strict_json
from pps.web.provider_desk import Desk, SubmissionBody, WaiverBody
from pps.web.provider_view import may_waive, own_providers
from pps.web.provider_work import Looker
from pps.web.shell import page
from pps.web.tracked import Tracked

_YAML = (
    'The body is JSON: {"document": RELEASE, "submit": true}. If yours is YAML, use `pps provider submit FILE`, or '
    "convert it: python -c 'import json, sys, yaml; "
    'print(json.dumps({"document": yaml.safe_load(sys.stdin), "submit": True}, default=str))\' < FILE'
)


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api, desk = APIRouter(), Desk(services, now, Looker(services, now), Tracked(services))
    _add_pages(api, desk, current_user)
    provider_submit.add_pages(api, desk, current_user)
    _add_doors(api, desk, current_user)
    return api


def _add_pages(api: APIRouter, desk: Desk, current_user: Callable[..., Any]) -> None:
    def shown(person: Person, release: Submitted, typed: Mapping[str, str], why: str = "") -> HTMLResponse:
        s = desk.services()
        view = {
            **desk.view(release),
            "may_waive": may_waive(s.config, person, release.product),
            "is_own": any(release.product in p.products for p in own_providers(s.config, person)),
            "typed": {"finding": "", "reason": "", **typed},
            "why": why,
            "read_at": desk.now(),
        }
        place = f"provider/{release.product}/{release.version}"
        return page(s.templates, "provider_release.html", masked_view(view), place)

    @api.get("/provider")
    def desk_page(user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """The releases of whoever asks, the newest first."""
        s, person = desk.services(), Person.of(user)
        view = {
            **desk.listed(person, masked_view),
            "own": own_providers(s.config, person),
            "user": person.name,
            "read_at": desk.now(),
        }
        return page(s.templates, "provider.html", view, "provider")

    @api.get("/provider/{product}/{version}")
    def release_page(product: str, version: str, user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """A release: what was found, what of it was waived, and every look before."""
        person = Person.of(user)
        return shown(person, desk.known(person, product, version), {})

    @api.post("/provider/{product}/{version}")
    async def waive(
        product: str,
        version: str,
        request: Request,
        user: Any = Depends(current_user),  # noqa: B008
    ) -> Response:
        """Waive a fault."""
        person, typed = Person.of(user), dict[str, str]()
        release = await run_in_threadpool(desk.known, person, product, version)
        try:
            typed = await sent_form(request, desk.services())
            said = checked(WaiverBody, typed)
            await run_in_threadpool(desk.waive, person, release, said)
        except (HTTPException, RolloutError) as error:
            status, why = status_and_reason(error)
            answer = await run_in_threadpool(shown, person, release, typed, why)
            answer.status_code = status
            return answer
        return RedirectResponse(f"{request.scope.get('root_path', '')}/provider/{quote(release.key)}", 303)


def _add_doors(api: APIRouter, desk: Desk, current_user: Callable[..., Any]) -> None:
    @api.get("/api/v1/provider/releases")
    def list_releases(user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """The releases that whoever asks may see, the newest first; without their history."""
        left_out = ("looks", "document", "format")

        def row(view: Mapping[str, Any]) -> dict[str, Any]:
            return {k: v for k, v in plain(view).items() if k not in left_out}

        return {"format": 1, **desk.listed(Person.of(user), row)}

    @api.post("/api/v1/provider/releases")
    async def send(request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Send a release: 201, and the look begins; ask for the release until it is `looking` no more."""
        check_origin(request, desk.services().config.service.public_url)
        try:
            check_type(request, "application/json")
            data = strict_json(await read_text(request))
        except HTTPException as error:
            if error.status_code in (415, 422):
                error.detail = f"{error.detail} {_YAML}"
            raise
        said, person = checked(SubmissionBody, data), Person.of(user)

        def act() -> tuple[dict[str, Any], bool]:
            began = desk.now()
            fact = desk.send(person, said.document, submit=said.submit)
            release = submission.release_of(desk.services().facts, fact.subject)
            assert release is not None  # noqa: S101 (its fact was just recorded)
            return plain(desk.view(release)), fact.at >= began

        answer, new = await run_in_threadpool(act)
        return JSONResponse(answer, 201 if new else 200)

    @api.get("/api/v1/provider/releases/{product}/{version}")
    def release_data(product: str, version: str, user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """A release, its findings and waivers, and every look at it."""
        found: dict[str, Any] = plain(desk.view(desk.known(Person.of(user), product, version)))
        return found

    @api.post("/api/v1/provider/releases/{product}/{version}/waivers")
    async def waive_by_program(
        product: str,
        version: str,
        request: Request,
        user: Any = Depends(current_user),  # noqa: B008
    ) -> JSONResponse:
        """Waive a fault; the answer is the release as it stands then."""
        check_origin(request, desk.services().config.service.public_url)
        check_type(request, "application/json")
        said, person = checked(WaiverBody, strict_json(await read_text(request))), Person.of(user)

        def act() -> dict[str, Any]:
            desk.waive(person, desk.known(person, product, version), said)
            found: dict[str, Any] = plain(desk.view(desk.known(person, product, version)))
            return found

        return JSONResponse(await run_in_threadpool(act), 201)


def masked_view(view: Mapping[str, Any]) -> Any:
    """A view with mail addresses masked, but for the document, which its provider has written."""
    return {key: value if key == "document" else masked(value) for key, value in view.items()}


def plain(view: Any) -> Any:
    """A view as programs read it."""
    if isinstance(view, datetime):
        return view.isoformat(timespec="seconds")
    if isinstance(view, LookState):
        return view.value
    if isinstance(view, Mapping):
        return {key: plain(part) for key, part in view.items()}
    return [plain(part) for part in view] if isinstance(view, list | tuple) else view
