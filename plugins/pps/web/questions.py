"""Questions that wait for people, and what has become of an answer: for pages, and for `pps tasks`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime

from pps.activities.people.asking import open_questions
from pps.domain.people.roles import identities
from pps.services import Services
from pps.web.closed import masked
from pps.web.shell import STATIC
from pps.workflow.answers import Place, verdict
from pps.workflow.desk import FrontOffice

Name = Annotated[str, Query(max_length=250)]


_SCRIPT = STATIC / "answers.js"


def public_router() -> APIRouter:
    """The script with which Airflow's own pages say why an answer was not taken (`react_apps` in pps_plugin.py)."""
    api = APIRouter()
    script = _SCRIPT.read_text()

    @api.get("/answers.js")
    def show_script() -> Response:
        """The same for everybody."""
        return Response(script, media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    return api


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api = APIRouter(prefix="/api/v1")

    @api.get("/questions")
    def list_questions(user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """All that wait for an answer, the most urgent first; `mine`: put to whoever asks, by name or by role."""
        me = identities(user.get_id(), user.get_name(), (role.name for role in getattr(user, "roles", ())))
        waiting = sorted(open_questions(services().facts, now()), key=lambda found: found[1].due)
        url = services().config.service.public_url
        return {
            "questions": [
                {
                    "rollout": record.name,
                    "step": asked.step,
                    "subject": asked.subject,
                    "title": asked.title,
                    "due": asked.due.isoformat(),
                    "assigned_to": list(asked.assigned_to),
                    "mine": bool(me & set(asked.assigned_to)),
                    # our own page, also of what was put when the links led to Airflow's form
                    "link": place.link(url) if (place := Place.read(asked.link)) else asked.link,
                }
                for record, asked in waiting
            ]
        }

    @api.get("/verdict")
    def verdict_on_answer(dag: Name, run: Name, task: Name, at: AwareDatetime, map_index: int = -1) -> dict[str, Any]:
        """On the answer that was stored at this time (Airflow's `responded_at`)."""
        office = FrontOffice.of(services(), now, "pps:api-server")
        found = verdict(office, Place(dag, run, task, map_index), at)
        return {"standing": found.standing.value, "reasons": masked(found.reasons)}

    return api
