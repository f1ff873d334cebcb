"""Does the installation do its work: a page for people, and the same for programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from pps.activities.operations.health import Rooms, health, worst
from pps.activities.operations.signatures import signed_until
from pps.activities.operations.watch import Watch, World
from pps.activities.ports.operations import Night
from pps.activities.sites.diagnosis import Finding, Health
from pps.domain.base.errors import ServiceError
from pps.services import Services
from pps.web.metrics import SETTING, tokens
from pps.web.shell import page

#: When the last night ended, as Airflow knows it.
LastNight = Callable[[], Night | None]


def no_nights() -> Night | None:
    """Where no Airflow is around us: nobody knows."""
    raise ServiceError("Airflow", "is not here.", "Look at: pps doctor")


def watch_of(services: Callable[[], Services], now: Callable[[], datetime], last_night: LastNight) -> Watch:
    """A watch over this installation."""
    world = World(
        facts=lambda: services().facts,
        last_night=last_night,
        signed_until=lambda at: signed_until(services().own_indexes(at), services().seal.release, at),
        ask_tracker=lambda: services().tracker.readings(),  # noqa: PLW0108 (the tracker of this moment)
    )
    return Watch(world, now)


def router(services: Callable[[], Services], now: Callable[[], datetime], watch: Watch) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api = APIRouter()
    rooms = Rooms(
        schema_is_current=lambda: services().facts.is_current(),  # noqa: PLW0108 (no database is asked for before)
        read_pages=lambda: services().publication_folder.read("bulletin.json") is not None,
    )

    def findings(at: datetime) -> tuple[Finding, ...]:
        found = health(watch, rooms, services().config.policies.watch.to_activity(), at)
        if os.environ.get(SETTING) and not tokens():
            why = f"{SETTING} is shorter than 32 characters, so no collector is let in."
            found += (Finding("collectors", Health.WARN, why, "Make one: openssl rand -hex 32"),)
        return found

    @api.get("/health")
    def health_page() -> HTMLResponse:
        """What is looked at, what was found, and what to do."""
        found = findings(at := now())
        view = {"checks": found, "state": worst(found), "at": at.isoformat()}
        return page(services().templates, "health.html", view, "health")

    @api.get("/api/v1/health")
    def health_data() -> dict[str, Any]:
        """How the installation is. The status is 200 whatever was found: `state` says how it is."""
        found = findings(at := now())
        return {
            "state": worst(found).value,
            "at": at.isoformat(),
            "checks": [
                {"subject": f.subject, "state": f.health.value, "text": f.text, "next_step": f.next_step} for f in found
            ],
        }

    return api
