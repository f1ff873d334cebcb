"""What somebody follows: a page and a feed of their own; and the link in each mail that ends it without signing in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field

from pps.activities.people import following
from pps.domain.base.errors import RefusedError, RolloutError
from pps.domain.people.following import Follower, Kind, News, Thing
from pps.domain.people.links import feed_link, following_link, patch_link
from pps.services import Services
from pps.web.doors import Body, checked
from pps.web.feeds import Entry, as_atom
from pps.web.forms import Person, office_of, sent_form, status_and_reason
from pps.web.guards import RateLimit, check_origin, check_rate, check_type, read_text, strict_json
from pps.web.live import Live
from pps.web.shell import page
from pps.workflow.desk import FrontOffice

_PRIVATE = {"Cache-Control": "no-store"}
#: Whoever tries links at random does not try many.
LINKS_AT_ONCE, LINKS_PER_S = 60, 0.5
_GONE = "This link is none of ours, or no longer. What you follow is on your own page: sign in, and open Following."


#: A keyed digest, as links carry it.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class FollowBody(Body):
    """What is to be followed, or no longer."""

    do: Literal["follow", "end"]
    what: Annotated[str, Field(max_length=80, pattern=r"^(patch|product|site):.+")]
    """e.g. `patch:4711`, `product:glite-WN`, `site:PIC`"""


@dataclass(frozen=True, slots=True)
class _Own:
    """Acts for somebody who has signed in, and for nobody else."""

    services: Callable[[], Services]
    now: Callable[[], datetime]

    def done(self, person: Person, to: str, do: str, what: str) -> None:
        """Follow, end, move or renew; `RefusedError` says why not."""
        s = self.services()
        office = office_of(s, person, self.now())
        if do == "follow":
            following.follow(office, person.name, to, _thing(what), s.config.sites)
        elif do == "end":
            following.end(office, person.name, [_thing(what)])
        elif do == "address":
            following.move(office, person.name, to)
        elif do == "feed":
            following.renew_feed(office, person.name)
        else:
            raise RefusedError("following", (f"There is no button {do[:40]!r}.",))

    def feed(self, mine: Follower) -> str:
        """Address of somebody's feed."""
        s = self.services()
        return feed_link(s.config.service.public_url, following.feed_token(s.feedback_secret, mine))


def _thing(key: str) -> Thing:
    try:
        return Thing.read(key)
    except ValueError as error:
        why = f"what: {key[:60]!r} is none of patch:<number>, product:<metapackage>, site:<name>."
        raise RefusedError("following", (why,)) from error


def closed_router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api, own = APIRouter(), _Own(services, now)

    def shown(user: Any, typed: Mapping[str, str], status: int = 200, why: str = "") -> HTMLResponse:
        s, person = services(), Person.of(user)
        mine, account = following.follower(s.facts, person.name), following.account_address(getattr(user, "email", ""))
        view = {
            "mine": sorted(mine.since.items()),
            "to": mine.to if mine.since else account,
            "account": account,
            "moved": bool(mine.since) and mine.to != account,
            "feed": own.feed(mine),
            "typed": {kind.value: typed.get(kind.value, "")[:80] for kind in Kind},
            "products": following.products(s.facts),
            "sites": sorted(s.config.sites),
            "why": why,
        }
        return page(s.templates, "following.html", view, "following", status=status, headers=_PRIVATE)

    @api.get("/following")
    def following_page(
        patch: str = "",
        product: str = "",
        site: str = "",
        user: Any = Depends(current_user),  # noqa: B008
    ) -> HTMLResponse:
        """What I follow; other pages lead here with what is to be followed."""
        return shown(user, {"patch": patch, "product": product, "site": site})

    @api.post("/following")
    async def change(request: Request, user: Any = Depends(current_user)) -> Response:  # noqa: B008
        """Follow, end, take the account's address of now, or change the feed's address."""
        typed: dict[str, str] = {}
        to = following.account_address(getattr(user, "email", ""))
        try:
            typed = await sent_form(request, services())
            what = typed.get("what") or next((f"{k}:{typed[k].strip()}" for k in Kind if typed.get(k, "").strip()), "")
            await run_in_threadpool(own.done, Person.of(user), to, typed.get("do", ""), what)
        except (HTTPException, RolloutError) as error:
            status, why = status_and_reason(error)
            return await run_in_threadpool(shown, user, typed, status, why)
        return RedirectResponse("following", 303, headers=_PRIVATE)

    def as_data(person: Person) -> dict[str, Any]:
        mine = following.follower(services().facts, person.name)
        things = [{"what": t.key, "since": at.isoformat()} for t, at in sorted(mine.since.items())]
        return {"user": person.name, "mails_to": mine.to, "feed": own.feed(mine), "following": things}

    @api.get("/api/v1/following")
    def following_data(user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """What whoever asks follows, and where their own feed is."""
        return as_data(Person.of(user))

    @api.post("/api/v1/following")
    async def change_by_program(request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Follow a patch, a product or a site, or end it; the answer is what is followed then."""
        check_origin(request, services().config.service.public_url)
        check_type(request, "application/json")
        body, person = checked(FollowBody, strict_json(await read_text(request))), Person.of(user)
        to = following.account_address(getattr(user, "email", ""))
        await run_in_threadpool(own.done, person, to, body.do, body.what)
        return JSONResponse(await run_in_threadpool(as_data, person))

    return api


def public_router(live: Live, services: Callable[[], Services], now: Callable[[], datetime]) -> APIRouter:
    """Routes for whoever holds a link; each has its line in `app.PUBLIC`."""
    api, limit = APIRouter(), RateLimit(LINKS_AT_ONCE, LINKS_PER_S)

    def held(request: Request, token: str) -> tuple[str, Thing]:
        check_rate(request, limit)
        _must_look_like_one(token)
        found = following.whose_end(services().facts, services().feedback_secret, token)
        if found is None:
            raise HTTPException(404, _GONE)
        return found

    def shown(user: str, thing: Thing, token: str, *, ended: bool) -> HTMLResponse:
        s = services()
        left = following.follower(s.facts, user).since
        view = {"thing": str(thing), "ended": ended, "others": len(left.keys() - {thing}), "token": token}
        return page(s.templates, "following_end.html", view, f"following/end/{token}", headers=_PRIVATE)

    @api.get("/following/end/{token}")
    def ask(token: str, request: Request) -> HTMLResponse:
        """A button: programs that look at the links of mails end nothing."""
        user, thing = held(request, token)
        return shown(user, thing, token, ended=thing not in following.follower(services().facts, user).since)

    @api.post("/following/end/{token}")
    async def end(token: str, request: Request) -> HTMLResponse:
        """End it; also for mail programs, which send what RFC 8058 says, and no page of ours."""
        check_origin(request, services().config.service.public_url)
        everything = "all=yes" in (await read_text(request)).split("&")

        def work() -> HTMLResponse:
            user, thing = held(request, token)
            office = FrontOffice.of(services(), now, f"user {user}")
            others = following.follower(office.facts, user).since if everything else ()
            following.end(office, user, {thing, *others})
            return shown(user, thing, token, ended=True)

        return await run_in_threadpool(work)

    @api.get("/following/{token}.atom")
    def feed(token: str, request: Request) -> Response:
        """News of what somebody follows, for feed readers."""
        check_rate(request, limit)
        _must_look_like_one(token)
        s = services()
        mine = following.whose_feed(s.facts, s.feedback_secret, token)
        if mine is None:
            raise HTTPException(404, _GONE)
        office = FrontOffice.of(s, now, "pps:feed")

        def made() -> bytes:
            return _as_atom(following.heard(office, mine), s.config.service.public_url, token)

        return live.own_text(request, following.sources(office, mine), token, "application/atom+xml", made)

    return api


def _must_look_like_one(token: str) -> None:
    """404 for what cannot be a link of ours, whatever our keys are."""
    if not _TOKEN.fullmatch(token):
        raise HTTPException(404, _GONE)


def _as_atom(news: Sequence[News], url: str, token: str) -> bytes:
    page_of_all = following_link(url)
    entries = [
        Entry(
            n.sentence,
            f"{page_of_all}#{quote(n.rollout)}/{quote(n.word)}",
            n.at.isoformat(),
            patch_link(url, n.patch),
            n.sentence,
        )
        for n in news
    ]
    return as_atom("What you follow", page_of_all, feed_link(url, token), entries)
