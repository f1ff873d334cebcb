"""The web application, mounted under /pps by Airflow's plugin (plugins/pps_plugin.py).

Airflow serves a plugin's applications without asking who calls. So every route here wants an Airflow
user with a role, or (one each) a worker of ours, a site or a collector of numbers, except those in `PUBLIC`;
`create_app` refuses to return anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from pps.activities.operations.numbers import Sample
from pps.activities.quality.measures import Ledger
from pps.domain.people.roles import READERS
from pps.services import Services
from pps.web import (
    bulletin,
    closed,
    credits,
    documents,
    exposure,
    far,
    feedback,
    feeds,
    first_look,
    follow_ups,
    following,
    health,
    late_answers,
    metrics,
    office,
    pages,
    patches,
    pilot_doors,
    pilot_log,
    pilots,
    provider,
    provider_adopters,
    provider_uploads,
    public,
    quality,
    quality_api,
    quality_report,
    questions,
    reports,
    rollouts,
    run_notes,
    settings,
    shell,
    signing_keys,
    sites,
    statements,
    tasks,
    tracker_hook,
)
from pps.web.airflow_calls import Airflow, no_airflow
from pps.web.api import openapi
from pps.web.forms import Person
from pps.web.guards import SecurityHeaders
from pps.web.live import Live
from pps.web.problems import explain_errors
from pps.web.readers import at_the_door, for_strangers, reads

#: (method, path) -> why anybody may call it.
PUBLIC = {
    ("GET", "/"): "what is in preview now; leads to the pages below.",
    ("GET", "/home"): "the same, by the name under which pages lead back to it.",
    ("GET", "/map"): "SD 4.1.1: the live map of the distribution of new versions over the various sites.",
    ("GET", "/api/v1/map"): "SD 4.1.1: its data, for programs.",
    ("GET", "/sites/{name}"): "SD 4.1.1: the map, of one site: versions, states, and what it wishes; no person.",
    ("GET", "/api/v1/sites/{name}"): "the same, for programs.",
    ("GET", "/patches/{number}"): "SD 4.1: providers, sites and VOs see what a patch waits for; no person, no address.",
    ("GET", "/api/v1/patches/{number}"): "the same, for programs.",
    ("GET", "/static/{file}"): "what pages load: stylesheet, script, outlines of the map.",
    ("GET", "/api/v1/bulletin"): "SD 4.1.1: the live map of versions at sites is on a public page.",
    (
        "GET",
        "/log.json",
    ): "what two people have signed for sites with a kit: whoever wants can compare heads; no address.",
    ("GET", "/bulletin"): "SD 4.1.1: the same, for people.",
    ("GET", "/bulletin.html"): "SD 4.1.1: the same, by the name under which its own pages lead back to it.",
    ("GET", "/bulletin/{file}"): "SD 4.1.1: the map itself: all sites of a preview, or of all previews.",
    ("GET", "/bulletin.json"): "SD 4.1.1: what the page for people links to.",
    ("GET", "/bulletin.atom"): "SD 4.1.1: the bulletin for readers of feeds.",
    ("GET", "/deadlines.ics"): "SD 4.1.1: until when feedback is asked for, for calendars.",
    (
        "GET",
        "/release-notes/{file}",
    ): "SD 4.1.1: release notes, and what a release carries, are for all users; no address.",
    ("GET", "/keys"): "whoever installs from our repositories compares the key that signs them.",
    ("GET", "/keys/{file}"): "the public keys, for apt's Signed-By and dnf's gpgkey.",
    ("GET", "/answers.js"): "a part of Airflow's own pages that says why an answer was not taken; it holds no data.",
    ("GET", "/pilots/{name}/{file}"): "SD 4.1.3, 9: a pilot's post-mortem report; it names no user and no address.",
    ("GET", "/deployment-tests/{name}/results.json"): "SD 4.1.3: what release notes say of the test, for programs.",
    ("GET", "/api/v1/rollouts/{name}"): "SD 4.1.1: users select a version by its tag; holds no personal data.",
    ("POST", "/api/v1/rollouts/{name}/feedback"): "SD 4.1.1: a dedicated public channel to provide feedback.",
    (
        "POST",
        "/api/v1/rollouts/{name}/feedback/withdrawal",
    ): "the same channel: with an answer's token it is taken back.",
    ("GET", "/feedback/{name}"): "SD 4.1.1: the same channel as a form; the mails' links lead here.",
    ("GET", "/following/end/{token}"): "one link ends what somebody follows; it holds a key, and ends nothing itself.",
    ("POST", "/following/end/{token}"): "the same; its button, and what mail programs send (RFC 8058).",
    (
        "GET",
        "/following/{token}.atom",
    ): "feed readers cannot sign in; its address holds a key that its owner can change.",
    ("POST", "/feedback/{name}"): "SD 4.1.1: the same channel; where the form goes.",
    ("POST", "/tracker/changed"): "trackers cannot sign in; each delivery is signed, and only makes us look.",
}


def create_app(
    services: Callable[[], Services],
    current_user: Callable[..., Any],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    keep_note: run_notes.KeepNote = run_notes.no_runs,
    airflow: Airflow = no_airflow,
    *,
    how_it_is_set: Callable[[], Mapping[str, Any]] = settings.not_known,
    last_night: health.LastNight = health.no_nights,
    started: Callable[[Callable[[], list[Sample]]], None] = lambda samples: None,
) -> FastAPI:
    """Put the application together.

    Args:
        services: asked at each request, so that a start of the web server needs no database, and a changed file of
            the configuration is followed; keeps by itself what is costly.
        current_user: FastAPI dependency that raises 401 or 403 unless an Airflow user calls.
        keep_note: changes the note of a run of Airflow.
        airflow: starts runs and answers questions for whoever has sent a request.
        how_it_is_set: settings of the Airflow that serves this.
        last_night: the nightly distribution that ended last.
        started: called when this process begins to serve, with what measures the installation.
    """

    @asynccontextmanager
    async def serving(_: FastAPI) -> AsyncIterator[None]:
        started(lambda: watch.samples(now()))
        looking = asyncio.create_task(first_look.at_pages(app))
        yield
        looking.cancel()

    app = FastAPI(title="PPS Rollout", docs_url=None, redoc_url=None, openapi_url=None, lifespan=serving)
    app.add_middleware(SecurityHeaders)
    everything = services
    services, strangers = at_the_door(everything, now), for_strangers(everything, now)
    explain_errors(app, services)
    app.include_router(shell.router())
    live, watch = Live(strangers, now), health.watch_of(strangers, now, last_night)
    app.include_router(pages.router(live))
    app.include_router(sites.public_router(live, strangers, now))
    app.include_router(bulletin.router(live))
    app.include_router(feeds.router(live, strangers))
    app.include_router(patches.router(live, strangers, now))
    app.include_router(public.router(strangers))
    app.include_router(feedback.router(strangers, now, lambda record: run_notes.noted(strangers(), keep_note, record)))
    app.include_router(signing_keys.router(services))
    app.include_router(statements.public_router(strangers))
    app.include_router(documents.public_router(strangers))
    app.include_router(questions.public_router())
    app.include_router(following.public_router(live, strangers, now))
    app.include_router(tracker_hook.router(everything, now))
    metrics_for_collectors, metrics_for_users = metrics.routers(watch, now)
    app.include_router(metrics_for_collectors)
    user = reader(current_user)
    for router in (
        documents.closed_router(services),
        closed.router(services),
        late_answers.router(services, current_user, now),
        questions.router(services, current_user, now),
        pilot_log.router(services, current_user, now),
        pilot_doors.router(services, current_user, now),
        rollouts.router(services, current_user, now, airflow),
        tasks.router(services, current_user, now, airflow),
        follow_ups.router(services, current_user, now),
        credits.router(services, current_user),
        following.closed_router(services, current_user, now),
        openapi.router(services, PUBLIC),
        pilots.router(services, current_user, now),
        sites.closed_router(services, current_user, now),
        provider_adopters.router(services, current_user, now),
        provider_uploads.router(services, current_user, now),
        provider.router(services, current_user, now),
        quality.router(services, current_user, now, ledger := Ledger(lambda: everything().facts)),
        quality_report.router(services, current_user, now, ledger),
        quality_api.router(services, current_user, now, ledger),
        settings.router(how_it_is_set, now),
        statements.router(services, current_user, now),
        exposure.router(services, current_user, now),
        far.router(services, current_user, now),
        office.router(services, current_user, now),
        metrics_for_users,
        health.router(services, now, watch),
    ):
        app.include_router(router, dependencies=[Depends(user)])
    of_workers, worker = run_notes.router(everything, keep_note)
    app.include_router(of_workers)
    of_sites, site = reports.router(everything, now)
    app.include_router(of_sites)
    check_closed(app, user, worker, site, metrics.collector)
    return app


def reader(current_user: Callable[..., Any]) -> Callable[..., Any]:
    """The dependency of every closed route: an Airflow user (401 and 403 are Airflow's) with a role that may read."""

    # not in a thread of its own: who reads is known to all that follows in this request
    async def user_with_role(user: Any = Depends(current_user)) -> Any:  # noqa: B008
        if not READERS & {role.name for role in getattr(user, "roles", ())}:
            raise HTTPException(403, "Your account has no role here. An administrator of Airflow can give it one.")
        reads(Person.of(user).identities)
        return user

    return user_with_role


def check_closed(app: FastAPI, *locks: Callable[..., Any]) -> None:
    """Raise unless every route is in `PUBLIC` or asks who calls, and every entry of `PUBLIC` is a route.

    Whoever adds routes to the application calls this again.

    Args:
        locks: dependencies that ask: for a user, as `reader` has made it, for a worker of ours, a site, or a collector.
    """
    open_routes = set()
    for route in app.routes:
        if isinstance(route, APIRoute) and not set(locks).isdisjoint(_calls(route.dependant)):
            continue
        open_routes |= {(method, getattr(route, "path", "?")) for method in getattr(route, "methods", None) or {"ANY"}}
    if open_routes != set(PUBLIC):
        raise RuntimeError(f"routes that do not match the table of public ones: {sorted(open_routes ^ set(PUBLIC))}")


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for part in dependant.dependencies:
        yield from _calls(part)
