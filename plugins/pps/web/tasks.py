"""What waits for people, sorted by date, and answered in place: through Airflow's human tasks and its checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pps.activities.people.asking import open_questions
from pps.domain.base.errors import RolloutError
from pps.services import Services
from pps.web.airflow_calls import Airflow, question_path
from pps.web.closed import masked
from pps.web.forms import Person, office_of, sent_form, status_and_reason
from pps.web.shell import page
from pps.workflow.answers import Place, Standing, question_at, verdict

#: As many as a form of ours has at most, and the answer itself.
_FIELDS = 40
#: As many as Home names.
_URGENT = 3


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime], airflow: Airflow
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api = APIRouter()

    @api.get("/tasks")
    def tasks(user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """What waits for whoever asks, and below it what waits for others."""
        person, at = Person.of(user), now()
        waiting, regions = _waiting(services(), person, at), services().config.people.regions_of(person.name)
        others = [row for row in waiting if not row["mine"]]
        view = {
            "mine": [row for row in waiting if row["mine"]],
            "near": [row for row in others if row["region"] in regions],
            "others": [row for row in others if row["region"] not in regions],
            "regions": regions,
            "user": person.name,
            "read_at": at,
        }
        return page(services().templates, "tasks.html", view, "tasks")

    @api.get("/tasks/waiting")
    def waiting_for_me(user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """A part of Home: how many questions wait for whoever asks, and the most urgent ones."""
        person = Person.of(user)
        mine = [row for row in _waiting(services(), person, now()) if row["mine"]]
        view = {"mine": mine, "urgent": mine[:_URGENT], "regions": services().config.people.regions_of(person.name)}
        return page(services().templates, "waiting.html", view, "home", headers={"Cache-Control": "no-store"})

    @api.get("/tasks/{dag}/{run}/{task}/{map_index}")
    async def task(
        dag: str,
        run: str,
        task: str,
        map_index: int,
        request: Request,
        answered: str = "",
        user: Any = Depends(current_user),  # noqa: B008
    ) -> HTMLResponse:
        """One question with its form; after an answer what has become of it."""
        place, person = Place(dag, run, task, map_index), Person.of(user)
        asked = await airflow(request, "GET", question_path(place))
        if at := _moment(answered):
            office = office_of(services(), person, now())
            found = await run_in_threadpool(verdict, office, place, at)
            # nothing is being looked at where Airflow has no answer: then the link is not of an answer
            nothing = found.standing is Standing.NOT_JUDGED and not asked.get("response_received")
            if found.standing is not Standing.NOT_TAKEN and not nothing:
                view = {"standing": found.standing.value, "reasons": masked(found.reasons), "place": place}
                return await run_in_threadpool(page, services().templates, "task_answered.html", view, _place(place))
        return await run_in_threadpool(_form, services(), place, asked, person, now())

    @api.post("/tasks/{dag}/{run}/{task}/{map_index}")
    async def answer(
        dag: str,
        run: str,
        task: str,
        map_index: int,
        request: Request,
        user: Any = Depends(current_user),  # noqa: B008
    ) -> Response:
        """Answer it. What cannot be taken comes back with the reasons, and with what was typed."""
        place, person = Place(dag, run, task, map_index), Person.of(user)
        typed: dict[str, str] = {}
        asked = await airflow(request, "GET", question_path(place))
        try:
            typed = await sent_form(request, services(), fields_at_most=_FIELDS)
            option = typed.pop("answer", "")
            if option not in asked["options"]:
                raise HTTPException(422, f"Choose one of the answers: {', '.join(asked['options'])}.")
            body = {"chosen_options": [option], "params_input": _values(asked["params"] or {}, typed)}
            stored = await airflow(request, "PATCH", question_path(place), body)
        except (HTTPException, RolloutError) as error:
            status, why = status_and_reason(error)
            shown = await run_in_threadpool(_form, services(), place, asked, person, now(), typed, why)
            shown.status_code = status
            return shown
        to = f"{request.scope.get('root_path', '')}/{place.page}?answered={quote(stored['responded_at'])}"
        return RedirectResponse(to, 303)

    return api


def _place(place: Place) -> str:
    return f"tasks/{place.dag}/{place.run}/{place.task}/{place.map_index}"


def page_of(link: str) -> str:
    """Where a question of this link is answered below /pps/; "" if the link leads to none."""
    place = Place.read(link)
    return place.page if place else ""


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError as error:
        raise HTTPException(422, f"answered: {text[:40]!r} is no moment.") from error
    return found if found and found.tzinfo else None


def _waiting(services: Services, person: Person, at: datetime) -> list[dict[str, Any]]:
    """Every open question, the most urgent first."""
    sites = services.config.sites
    rows = [
        {**_row(record.name, asked, person, at), "region": sites[asked.subject].roc if asked.subject in sites else ""}
        for record, asked in open_questions(services.facts, at)
    ]
    return sorted(rows, key=lambda row: row["due"])


def _row(rollout: str, asked: Any, person: Person, at: datetime) -> dict[str, Any]:
    return {
        "rollout": rollout,
        "title": asked.title or f"{asked.step}: {asked.subject}",
        "due": asked.due,
        "late": at > asked.due,
        "whose": list(asked.assigned_to),
        "mine": bool(person.identities & set(asked.assigned_to)),
        "page": page_of(asked.link),
    }


def _form(
    services: Services,
    place: Place,
    asked: Mapping[str, Any],
    person: Person,
    at: datetime,
    typed: Mapping[str, str] | None = None,
    why: str = "",
) -> HTMLResponse:
    """The question as Airflow has it, with its date from the record."""
    found = question_at(office_of(services, person, at), place)
    whose = [str(user["id"]) for user in asked.get("assigned_users") or ()]
    view = {
        "title": found[1].title if found else asked["subject"],
        "rollout": found[0].name if found else "",
        "due": found[1].due if found else None,
        "body": asked.get("body") or "",
        "options": asked["options"],
        "fields": _fields(asked["params"] or {}, typed),
        "open": not asked.get("response_received"),
        "whose": whose,
        "mine": not whose or bool(person.identities & set(whose)),
        "place": place,
        "why": why,
    }
    return page(services.templates, "task.html", view, _place(place))


def _fields(params: Mapping[str, Mapping[str, Any]], typed: Mapping[str, str] | None) -> Sequence[Mapping[str, Any]]:
    """What the form shows: as typed, or what it holds by itself, or held when it was not taken."""
    shown = []
    for name, spec in params.items():
        schema = spec.get("schema") or {}
        value = spec.get("value") if typed is None else typed.get(name, "")
        shown.append(
            {
                "name": name,
                "title": schema.get("title") or name,
                "about": spec.get("description") or schema.get("description") or "",
                "kind": _kind(schema),
                "choices": schema.get("enum") or (),
                "longest": schema.get("maxLength") or 10_000,
                "value": "" if value in (None, False) else value,
            }
        )
    return shown


def _kind(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type") or "string"
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "boolean" in kinds:
        return "box"
    if schema.get("enum"):
        return "choice"
    return "text" if schema.get("format") == "multiline" or "array" in kinds else "line"


def _values(params: Mapping[str, Mapping[str, Any]], typed: Mapping[str, str]) -> dict[str, Any]:
    """What was typed as the JSON that the form's schema asks for; what does not fit is for the schema to refuse."""
    values: dict[str, Any] = {}
    for name, spec in params.items():
        schema = spec.get("schema") or {}
        kinds = schema.get("type") or "string"
        kinds = [kinds] if isinstance(kinds, str) else kinds
        text = typed.get(name, "")
        if "boolean" in kinds:
            values[name] = bool(text)
        elif not text and "null" in kinds:
            values[name] = None
        elif "array" in kinds:
            values[name] = [line.strip() for line in text.splitlines() if line.strip()]
        elif "integer" in kinds and text.strip().lstrip("-").isdecimal():
            values[name] = int(text)
        else:
            values[name] = text
    return values
