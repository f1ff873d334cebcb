"""A provider's desk: releases are submitted here, and what was found in them, and waived, is shown.

For the provider's people, and for those who decide on releases; whose product it is, people.yaml says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field

from pps.activities.packages import submission
from pps.activities.packages.submission import Sender, Terms
from pps.activities.people.adopters import all_adopters
from pps.config.egi_products import is_egi_product, releases_of_product
from pps.config.release_documents import parse_release, release_document
from pps.domain.base.errors import PatchNotFoundError, RefusedError, RolloutError, ServiceError
from pps.domain.base.names import is_name
from pps.domain.packages.patch import PatchState
from pps.domain.people.adopters import too_few
from pps.domain.people.providers import reasons_against_submitting
from pps.domain.record.facts import Fact
from pps.domain.record.submissions import LookState, Submitted
from pps.services import Services
from pps.web.closed import masked
from pps.web.doors import Body, Reason, checked
from pps.web.forms import Person, office_of, sent_form, status_and_reason
from pps.web.guards import check_origin, check_type, read_text, strict_json
from pps.web.provider_form import NAMES, as_document, as_typed
from pps.web.provider_view import may_see, may_waive, own_providers, release_view, seen_by
from pps.web.provider_work import Looker
from pps.web.shell import page
from pps.web.tracked import Tracked
from pps.workflow.provider_desk import patches_of, standing

_FIELDS = len(NAMES) + 2
_SHOWN = 100
"""releases, those that were sent last"""
_OTHERS = 50
"""patches that were entered in other ways, of one provider"""
_DEAD = (PatchState.REJECTED, PatchState.OBSOLETE)
_PREVIEW, _CHECK, _SUBMIT = "preview", "check", "submit"


class SubmissionBody(Body):
    """A release, to be looked at, or to be entered if no fault is found."""

    document: dict[str, Any]
    """see docs/provider.md"""
    submit: bool = False


class WaiverBody(Body):
    """A fault with which a release may go on."""

    finding: Annotated[str, Field(max_length=40)]
    """its key"""
    reason: Reason


@dataclass(frozen=True)
class _Desk:
    """What pages and programs have in common."""

    services: Callable[[], Services]
    now: Callable[[], datetime]
    looker: Looker
    tracked: Tracked

    def send(self, person: Person, document: Mapping[str, Any], *, submit: bool) -> Fact:
        """Take a release, and begin to look at it."""
        s, at = self.services(), self.now()
        document = _of_ours(document)
        product = document.get("metapackage")
        if not is_name(product):
            raise RefusedError("release", ("metapackage: name the product, e.g. glite-WN.",), "Nothing was looked at.")
        providers = s.config.providers
        if reasons := reasons_against_submitting(str(product), providers, person.identities):
            # before anything of somebody else's document is looked at
            raise RefusedError(f"release of {product}", reasons, "Nothing was looked at.")
        release = parse_release(document, s.contact_of(str(product)))
        sender = Sender(person.name, person.identities, providers)
        policy = s.config.policies.submission
        fact = submission.offer(
            office_of(s, person, at),
            sender,
            release,
            release_document(release),
            submit=submit,
            terms=Terms(policy.look_within, policy.looks_per_hour),
        )
        if fact.at == at:
            self.looker.begin(release, fact)
        return fact

    def known(self, person: Person, product: str, version: str) -> Submitted:
        """A release that this person may see; 404 otherwise, whether there is one or not."""
        s = self.services()
        found = (
            submission.release_of(s.facts, f"{product}/{version}") if is_name(product) and is_name(version) else None
        )
        if found is None or not may_see(s.config, person, product):
            raise HTTPException(404, "There is no such release here that you may see.")
        return found

    def waive(self, person: Person, release: Submitted, said: WaiverBody) -> Fact:
        """Let a release go on with a fault."""
        s = self.services()
        return submission.waive(
            office_of(s, person, self.now()),
            release.key,
            said.finding,
            said.reason,
            user=person.name,
            mine=person.identities,
            providers=s.config.providers,
        )

    def view(self, release: Submitted) -> dict[str, Any]:
        """As it stands now."""
        within = self.services().config.policies.submission.look_within
        where = self.standing(release.patch)
        return {
            **release_view(release, self.now(), within),
            "standing": where,
            "too_few": self._too_few(release, where),
        }

    def _too_few(self, release: Submitted, where: Mapping[str, Any] | None) -> str:
        """That too few try it, while it can be tried; "" if it has enough."""
        s = self.services()
        if release.patch is None or where is None or where["in_production"] or where["state"] in _DEAD:
            return ""
        at_least = s.config.policies.submission.adopters_at_least
        return too_few(all_adopters(s.facts), release.patch, release.product, at_least, self.now().date())

    def standing(self, patch: int | None) -> dict[str, Any] | None:
        """Where a patch is; None without one, or where nobody can tell."""
        s = self.services()
        if patch is None:
            return None
        with suppress(PatchNotFoundError, ServiceError):
            return standing(s.facts, patch, self.tracked.patch(patch), s.config.policies, self.now())
        return None

    def listed(self, person: Person, shown: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The releases that somebody may see, the one that was sent last first."""
        s = self.services()
        known = seen_by(s.config, person, list(submission.all_releases(s.facts).values()))
        return {
            "releases": [shown(self.view(r)) for r in known[:_SHOWN]],
            "older": max(0, len(known) - _SHOWN),
            "others": self.others(person, known),
        }

    def others(self, person: Person, releases: Collection[Submitted]) -> list[dict[str, Any]]:
        """Where the patches of somebody's products are that were not submitted here."""
        s = self.services()
        known = {release.patch for release in releases}
        numbers = [n for n in patches_of(s.facts, own_providers(s.config, person)) if n not in known]
        return [found for n in numbers[:_OTHERS] if (found := self.standing(n)) is not None]


def _of_ours(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The release itself; of a product as EGI describes it the one release that it makes."""
    if not is_egi_product(document):
        return document
    found = releases_of_product(document)
    if len(found) > 1:
        names = ", ".join(str(one["version"]) for one in found)
        why = f"It makes {len(found)} releases, since its targets have repositories of their own: {names}."
        raise RefusedError("EGI product", (why,), "Send each target by itself, or the file by: pps provider submit")
    return found[0]


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api, desk = APIRouter(), _Desk(services, now, Looker(services, now), Tracked(services))
    _add_pages(api, desk, current_user)
    _add_doors(api, desk, current_user)
    return api


def _add_pages(api: APIRouter, desk: _Desk, current_user: Callable[..., Any]) -> None:
    def form(person: Person, typed: Mapping[str, str], why: str = "", notes: str = "") -> HTMLResponse:
        s = desk.services()
        products = [product for p in own_providers(s.config, person) for product in p.products]
        view = {"typed": {**dict.fromkeys(NAMES, ""), **typed}, "products": products, "why": why, "notes": notes}
        return page(s.templates, "provider_submit.html", view, "provider/submit")

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

    @api.get("/provider/submit")
    def submit_page(release: str = "", user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """The form; of a release that was sent before, with what was sent."""
        person = Person.of(user)
        typed = {"clients_compatible": "yes"}
        if release:
            product, _, version = release.partition("/")
            typed = as_typed(desk.known(person, product, version).newest.document)
        return form(person, typed)

    @api.post("/provider/submit")
    async def submit(request: Request, user: Any = Depends(current_user)) -> Response:  # noqa: B008
        """Preview the notes, look at a release, or submit it. What cannot be taken comes back with the reasons."""
        person, typed = Person.of(user), dict[str, str]()
        try:
            typed = await sent_form(request, desk.services(), fields_at_most=_FIELDS)
            do = typed.pop("do", "")
            if do == _PREVIEW:
                return await run_in_threadpool(form, person, typed, "", typed.get("release_notes", "") or "(no notes)")
            if do not in (_CHECK, _SUBMIT):
                raise HTTPException(422, "do: choose one of the buttons.")
            document = as_document(typed)
            fact = await run_in_threadpool(lambda: desk.send(person, document, submit=do == _SUBMIT))
        except (HTTPException, RolloutError) as error:
            status, why = status_and_reason(error)
            answer = await run_in_threadpool(form, person, typed, why)
            answer.status_code = status
            return answer
        return RedirectResponse(f"{request.scope.get('root_path', '')}/provider/{quote(fact.subject)}", 303)

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


def _add_doors(api: APIRouter, desk: _Desk, current_user: Callable[..., Any]) -> None:
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
        check_type(request, "application/json")
        said, person = checked(SubmissionBody, strict_json(await read_text(request))), Person.of(user)

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
