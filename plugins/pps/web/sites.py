"""A site: which versions are there, for everybody; what was done there and what comes, for those who run it.

Its own people say here when we may write there and what it does not want; the rules are those of
`activities.sites.wishes`, whoever sends the form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field
from starlette.background import BackgroundTask

from pps.activities.clients.at_site import at_site, what_follows, wishes_view
from pps.activities.sites import wishes
from pps.activities.sites.wishes import Speaker, Wish
from pps.domain.base.errors import RolloutError
from pps.domain.base.names import is_name
from pps.domain.base.texts import shown_to_the_public
from pps.domain.base.working_days import WEEKDAYS
from pps.domain.people.roles import reasons_against_speaking_for_site
from pps.domain.people.users import users_in
from pps.domain.record.facts import Fact
from pps.domain.record.wishes import RECORD, wishes_in
from pps.domain.sites.site import Site
from pps.services import Services
from pps.web import site_map
from pps.web.closed import masked
from pps.web.doors import Body, Name, Reason, WebDoor, checked
from pps.web.forms import Person, office_of, sent_form, status_and_reason
from pps.web.guards import check_origin, check_type, read_text, strict_json
from pps.web.live import Edition, Live
from pps.web.shell import page
from pps.workflow.desk import FrontOffice

#: Of the form with most fields: what is done, seven days, two hours.
_FIELDS = 12
_Hour = Annotated[str, Field(max_length=5)]


class Do(StrEnum):
    """What a site's people can say. Part of addresses and of the CLI: never rename."""

    WINDOW = "window"
    """the only one from now on"""
    WINDOW_BESIDE = "add-window"
    LESS_WINDOW = "lift-window"
    NO_WINDOW = "no-window"
    """none of them: at any time"""
    PIN = "pin"
    NO_PIN = "unpin"
    OPT_OUT = "opt-out"
    OPT_IN = "opt-in"


class WishBody(Body):
    """A wish, for programs; which fields count depends on what is said."""

    do: Annotated[Do, Field(strict=False)]
    days: Annotated[list[Annotated[str, Field(max_length=20)]], Field(max_length=7, default_factory=list)]
    begins: _Hour = ""
    ends: _Hour = ""
    metapackage: Name = ""
    version: Name = ""
    reason: Reason = ""
    dry_run: bool = False
    """check it and say what would follow; nothing is put on record"""


def public_router(live: Live, services: Callable[[], Services], now: Callable[[], datetime]) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()

    def asked(name: str) -> tuple[str, Callable[[], Mapping[str, Any]]]:
        """Name of the edition of now, and what makes it; 404 for a site that is nowhere."""
        edition = live.edition()
        known = {s["site"]: s for s in site_map.data(edition)["sites"]} if is_name(name) else {}
        if name not in known and name not in edition.sites:
            raise HTTPException(404, "There is no such site here.")
        seen = known.get(name) or site_map.without_previews(name, edition.sites)

        def made() -> Mapping[str, Any]:
            return _public(services(), edition, seen, now())

        return live.name_of([RECORD], edition.name, name), made

    @api.get("/sites/{name}")
    def site_page(name: str, request: Request) -> Response:
        """Every preview that is shown, at one site; and what the site has wished."""
        edition, made = asked(name)
        return live.own_page(request, edition, "site.html", f"sites/{name}", made)

    @api.get("/api/v1/sites/{name}")
    def site_data(name: str, request: Request) -> Response:
        """The same, for programs."""
        edition, made = asked(name)
        return live.own_json(request, edition, lambda: _plain(_data(made())))

    return api


def _public(s: Services, edition: Edition, site: Mapping[str, Any], at: datetime) -> Mapping[str, Any]:
    registered, record = edition.sites.get(site["site"]), s.facts.about([RECORD], site["site"])[RECORD]
    previews = sorted(site_map.data(edition)["previews"], key=lambda r: r["closed_at"] is not None)  # open ones first
    found = [
        (rollout, seen["state"], seen["since"] and datetime.fromisoformat(seen["since"]))
        for rollout in previews
        if (seen := site["states"].get(rollout["rollout"]))
    ]
    said = wishes_view(wishes_in(record, at).of(site["site"]), registered, at) if registered else None
    return {
        "site": site,
        "timezone": registered.timezone if registered else None,
        "previews": found,
        "wishes": shown_to_the_public(said, users_in(record)),
        "read_at": edition.read_at,
    }


def _data(view: Mapping[str, Any]) -> dict[str, Any]:
    """Version 1; keys may be added."""
    keys = ("rollout", "patch", "metapackage", "version", "stage", "tag")
    site = {key: value for key, value in view["site"].items() if key != "states"}
    previews = [{**{k: r[k] for k in keys}, "state": state, "since": since} for r, state, since in view["previews"]]
    return {"format": 1, **site, "timezone": view["timezone"], "previews": previews, "wishes": view["wishes"]}


def closed_router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api, door = APIRouter(), WebDoor(services, now)

    def known(name: str) -> Site:
        site = services().config.sites.get(name)
        if site is None:
            raise HTTPException(404, "The site registry has no such site.")
        return site

    def shown(site: Site, person: Person, typed: Mapping[str, str], why: str = "") -> HTMLResponse:
        """As it is now; after a refusal with the reason, and with what was typed."""
        against = reasons_against_speaking_for_site(
            site.name, site.administrators, "say what it wishes", person.identities
        )
        about = {
            **_work(services(), site, at := now()),
            "may_not": " ".join(against),
            "weekdays": WEEKDAYS,
            "typed": {**dict.fromkeys(WishBody.model_fields, ""), **typed},
            "why": why,
            "read_at": at,
        }
        return page(services().templates, "site_work.html", about, f"sites/{site.name}/work")

    @api.get("/sites/{name}/work")
    def work_page(name: str, user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """What was done at a site, what comes next, and what it wishes."""
        return shown(known(name), Person.of(user), {})

    @api.get("/api/v1/sites/{name}/work")
    def work_data(name: str) -> dict[str, Any]:
        """The same, for programs."""
        return {"format": 1, **_plain(_work(services(), known(name), now()))}

    @api.post("/sites/{name}/work")
    async def say(name: str, request: Request, user: Any = Depends(current_user)) -> Response:  # noqa: B008
        """Say what the site wishes. What cannot be taken comes back with the reasons, and with what was typed."""
        site, person, typed = known(name), Person.of(user), dict[str, str]()
        try:
            typed = await sent_form(request, services(), fields_at_most=_FIELDS)
            days = [day for day in WEEKDAYS if typed.get(day)]
            fields = {k: v for k, v in typed.items() if k in WishBody.model_fields and k not in ("days", "dry_run")}
            said = checked(WishBody, {**fields, "days": days})
            at = now()

            def act() -> None:
                _say(office_of(services(), person, at), site, _wish(site, said, person), person)

            await run_in_threadpool(act)
        except (HTTPException, RolloutError) as error:
            status, why = status_and_reason(error)
            answer = await run_in_threadpool(shown, site, person, typed, why)
            answer.status_code = status
            return answer
        root = request.scope.get("root_path", "")
        return RedirectResponse(f"{root}/sites/{name}/work#wishes", 303, background=BackgroundTask(door.send))

    @api.post("/api/v1/sites/{name}/wishes")
    async def say_by_program(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """The same, for programs: 201 for what is new, 200 for what stood already, or was only tried."""
        check_origin(request, services().config.service.public_url)
        check_type(request, "application/json")
        said, site, person = checked(WishBody, strict_json(await read_text(request))), known(name), Person.of(user)
        at = now()

        def act() -> tuple[dict[str, Any], bool]:
            office = office_of(services(), person, at)
            wish = _wish(site, said, person)
            stood = wishes.must_make_sense(office.facts.standing([RECORD])[RECORD], wish, at)
            follows = list(what_follows(office.facts, wish, at))
            fact = stood if said.dry_run else _say(office, site, wish, person)
            new = stood is None if said.dry_run else fact is not None and fact.at == at
            stands = wishes_view(wishes.all_wishes(office.facts, at).of(name), site, at)
            about = {"site": name, "do": said.do.value, "dry_run": said.dry_run, "new": new, "follows": follows}
            return {**about, "timezone": site.timezone, "wishes": _plain(masked(stands))}, new

        answer, new = await run_in_threadpool(act)
        done = new and not said.dry_run
        return JSONResponse(answer, 201 if done else 200, background=BackgroundTask(door.send) if done else None)

    return api


def _work(s: Services, site: Site, at: datetime) -> Mapping[str, Any]:
    found: Mapping[str, Any] = masked(at_site(s.facts, site, at, s.config.policies.withdrawal.retire_after))
    return found


def _say(office: FrontOffice, site: Site, wish: Wish, person: Person) -> Fact:
    return wishes.say(office, wish, person.name, in_charge=office.services.in_charge_of(site))


def _wish(site: Site, said: WishBody, person: Person) -> Wish:
    """What is said, checked by the rules of the activity."""
    by = Speaker(person.name, person.identities)
    hours = (site, said.days, said.begins, said.ends, by)
    software = (site, said.metapackage, said.version)
    said_by = {
        Do.WINDOW: lambda: wishes.window(*hours),
        Do.WINDOW_BESIDE: lambda: wishes.window(*hours, beside=True),
        Do.LESS_WINDOW: lambda: wishes.less_window(*hours),
        Do.NO_WINDOW: lambda: wishes.no_window(site, by),
        Do.PIN: lambda: wishes.pin(*software, said.reason, by),
        Do.NO_PIN: lambda: wishes.no_pin(*software, by),
        Do.OPT_OUT: lambda: wishes.opt_out(site, said.reason, by),
        Do.OPT_IN: lambda: wishes.opt_in(site, by),
    }
    return said_by[said.do]()


def _plain(value: Any) -> Any:
    """The same with moments as programs read them."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
