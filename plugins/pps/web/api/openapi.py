"""Our API described by itself: `openapi.json` for programs, a page for people; for those who have signed in.

FastAPI knows addresses and parameters. What an answer holds, and what a request may say, is in the table here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pps import __version__
from pps.activities.clients.run_note import DOOR
from pps.services import Services
from pps.web.api import (
    answers,
    answers_from_afar,
    answers_of_pilots,
    answers_on_exposure,
    answers_on_health,
    answers_on_quality,
    answers_on_sites,
    answers_to_providers,
    answers_to_users,
)
from pps.web.controls import ControlBody, ExtendBody
from pps.web.far import RecordBody
from pps.web.feedback import FeedbackBody, WithdrawalBody
from pps.web.follow_ups import FollowUpBody
from pps.web.following import FollowBody
from pps.web.late_answers import AnswerBody
from pps.web.office import CandidatesBody, NoMirrorBody, OverrulingBody, SamDoneBody, SamTaskBody
from pps.web.pilot_doors import InterestBody, JustificationBody, MoveBody
from pps.web.pilot_log import EntryBody, RollBackBody, SuccessBody
from pps.web.provider_adopters import AdopterBody
from pps.web.provider_desk import SubmissionBody, WaiverBody
from pps.web.quality_api import ActionBody, ActionEndBody, ReviewBody, TargetBody
from pps.web.shell import page
from pps.web.sites import WishBody
from pps.web.statements import SignaturesBody

PREFIX = "/api/v1/"
_PLACE = f"{PREFIX}openapi.json"
_REF = "#/components/schemas/{model}"
_ABOUT = """Everything that the pages show, for programs. Times are ISO 8601 with their zone. Keys may be added; none is
renamed. Errors are `{"detail": "..."}`: why, and what to do next.

Closed operations want a token of Airflow: `POST /auth/token` with user name and password, then `Authorization: Bearer
...`. What is public says so with an empty `security`."""


@dataclass(frozen=True, slots=True)
class Described:
    """What FastAPI does not know of an operation."""

    answer: type[BaseModel] | None = None
    """None: nothing (204), or a document that describes itself"""
    body: type[BaseModel] | str | None = None
    """a str: text, and what it is"""
    statuses: tuple[int, ...] = (200,)
    editions: bool = False
    """has an ETag, and answers 304 to whoever has it"""


_KEPT = (201, 200)  # new; on record already
#: Every operation of the API.
OPERATIONS: Mapping[tuple[str, str], Described] = {
    ("GET", "/api/v1/map"): Described(answers.Map, editions=True),
    ("GET", "/api/v1/bulletin"): Described(answers.Bulletin, editions=True),
    ("GET", "/api/v1/patches/{number}"): Described(answers.Why, editions=True),
    ("GET", "/api/v1/rollouts/{name}"): Described(answers.Rollout),
    ("POST", "/api/v1/rollouts/{name}/feedback"): Described(answers.FeedbackTaken, FeedbackBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/feedback/withdrawal"): Described(answers.FeedbackStanding, WithdrawalBody),
    ("POST", "/api/v1/rollouts/{name}/feedback/{answer}/follow-up"): Described(
        answers_to_users.FollowedUp, FollowUpBody, _KEPT
    ),
    ("GET", "/api/v1/rollouts"): Described(answers_to_users.Register),
    ("GET", "/api/v1/rollouts/{name}/facts"): Described(answers_to_users.Facts),
    ("GET", "/api/v1/rollouts/{name}/outbox"): Described(answers_to_users.Outbox),
    ("GET", "/api/v1/feedback"): Described(answers_to_users.FeedbackList),
    ("GET", "/api/v1/rollouts/{name}/statements"): Described(answers_to_users.Statements),
    ("POST", "/api/v1/rollouts/{name}/signatures"): Described(answers_to_users.SignaturesTaken, SignaturesBody, _KEPT),
    ("GET", "/api/v1/questions"): Described(answers_to_users.Questions),
    ("GET", "/api/v1/verdict"): Described(answers_to_users.Verdict),
    ("POST", "/api/v1/rollouts/{name}/answers"): Described(answers_to_users.LateAnswer, AnswerBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/journal"): Described(answers_to_users.SaidOfSite, EntryBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/roll-back"): Described(answers_to_users.SaidOfSite, RollBackBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/success"): Described(answers_to_users.SaidOfSite, SuccessBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/interest"): Described(answers_to_users.SaidForVo, InterestBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/meetings/{what}"): Described(answers_to_users.MeetingMoved, MoveBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/justification"): Described(answers_to_users.Justified, JustificationBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/control"): Described(answers_to_users.Controlled, ControlBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/feedback-date"): Described(answers_to_users.Extended, ExtendBody, _KEPT),
    ("GET", "/api/v1/settings"): Described(answers_to_users.Settings),
    ("POST", "/api/v1/sites/{name}/receipts"): Described(
        answers_on_sites.ReportTaken, "what a kit reports; printable lines from PPS-REPORT 1 to PPS-REPORT-END", _KEPT
    ),
    ("POST", DOOR): Described(statuses=(204,)),
    ("GET", "/api/v1/credits"): Described(answers_to_users.Credits),
    ("GET", "/api/v1/following"): Described(answers_to_users.Following),
    ("POST", "/api/v1/following"): Described(answers_to_users.Following, FollowBody),
    ("GET", "/api/v1/pilots/{name}"): Described(answers_of_pilots.Pilot),
    ("GET", _PLACE): Described(),
    ("GET", "/api/v1/sites/{name}"): Described(answers_on_sites.PublicSite, editions=True),
    ("GET", "/api/v1/sites/{name}/work"): Described(answers_on_sites.SiteWork),
    ("POST", "/api/v1/sites/{name}/wishes"): Described(answers_on_sites.WishSaid, WishBody, _KEPT),
    ("GET", "/api/v1/provider/releases"): Described(answers_to_providers.SubmittedReleases),
    ("POST", "/api/v1/provider/releases"): Described(answers_to_providers.SubmittedRelease, SubmissionBody, _KEPT),
    ("GET", "/api/v1/provider/releases/{product}/{version}"): Described(answers_to_providers.SubmittedRelease),
    ("POST", "/api/v1/provider/releases/{product}/{version}/waivers"): Described(
        answers_to_providers.SubmittedRelease, WaiverBody, (201,)
    ),
    ("PUT", "/api/v1/provider/uploads"): Described(answers_to_providers.UploadedPackage, statuses=_KEPT),
    ("GET", "/api/v1/provider/adopters"): Described(answers_to_providers.EarlyAdopters),
    ("POST", "/api/v1/provider/adopters"): Described(answers_to_providers.EarlyAdopters, AdopterBody),
    ("GET", "/api/v1/quality"): Described(answers_on_quality.QualityList),
    ("GET", "/api/v1/quality/{product}"): Described(answers_on_quality.QualityOfProduct),
    ("GET", "/api/v1/quality/{product}/releases/{patch}"): Described(answers_on_quality.WholeRelease),
    ("GET", "/api/v1/quality/{product}/reviews/{number}"): Described(answers_on_quality.QualityReview),
    ("POST", "/api/v1/quality/{product}/targets"): Described(answers_on_quality.QualitySaid, TargetBody, _KEPT),
    ("POST", "/api/v1/quality/{product}/actions"): Described(answers_on_quality.QualitySaid, ActionBody, _KEPT),
    ("POST", "/api/v1/quality/{product}/actions/{number}"): Described(
        answers_on_quality.QualitySaid, ActionEndBody, _KEPT
    ),
    ("POST", "/api/v1/quality/{product}/reviews"): Described(answers_on_quality.QualitySaid, ReviewBody, _KEPT),
    ("GET", "/api/v1/exposure/{cve}"): Described(answers_on_exposure.Exposure),
    ("GET", "/api/v1/me"): Described(answers_from_afar.Me),
    ("GET", "/api/v1/configuration/{file}"): Described(answers_from_afar.ConfigurationFile),
    ("GET", "/api/v1/tracker/patches"): Described(answers_from_afar.TrackerPatches),
    ("GET", "/api/v1/tracker/patches/{number}"): Described(answers_from_afar.TrackerPatch),
    ("POST", "/api/v1/record"): Described(answers_from_afar.Record, RecordBody),
    ("POST", "/api/v1/patches/{number}/overruling"): Described(answers_from_afar.Overruled, OverrulingBody, _KEPT),
    ("POST", "/api/v1/sam-tasks"): Described(answers_from_afar.SamTask, SamTaskBody, _KEPT),
    ("POST", "/api/v1/sam-tasks/{number}/done"): Described(answers_from_afar.SamTask, SamDoneBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/no-mirror"): Described(answers_from_afar.NoMirror, NoMirrorBody, _KEPT),
    ("POST", "/api/v1/rollouts/{name}/candidates"): Described(answers_from_afar.Ranked, CandidatesBody, _KEPT),
    ("GET", "/api/v1/health"): Described(answers_on_health.HealthReport),
}


def router(services: Callable[[], Services], public: Collection[tuple[str, str]]) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each.

    Args:
        public: what anybody may call, as (method, path).
    """
    api = APIRouter()

    @api.get(_PLACE)
    def openapi(request: Request) -> dict[str, Any]:
        """This description, as OpenAPI 3.1."""
        return described(request.app, public, request.scope.get("root_path", ""))

    @api.get("/api")
    def api_page(request: Request) -> HTMLResponse:
        """The same for people."""
        document = described(request.app, public, request.scope.get("root_path", ""))
        rows = [
            {
                "method": method.upper(),
                "path": path,
                "public": not operation["security"],
                "summary": operation["summary"],
                "parameters": [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"],
            }
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        ]
        view = {"operations": sorted(rows, key=lambda row: (row["path"], row["method"]))}
        return page(services().templates, "api.html", view, "api")

    return api


def described(app: FastAPI, public: Collection[tuple[str, str]], root: str) -> dict[str, Any]:
    """The whole description of the API.

    Args:
        root: where the application is mounted.
    """
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.path.startswith(PREFIX)]
    document = get_openapi(title=app.title, version=__version__, description=_ABOUT, routes=routes)
    models = {model for d in OPERATIONS.values() for model in (d.answer, d.body) if isinstance(model, type)} | {
        answers.Problem
    }
    _, schemas = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda m: m.__name__)], ref_template=_REF
    )
    document["servers"] = [{"url": root or "/"}]
    document["components"] = {
        "schemas": dict(schemas["$defs"]),
        "securitySchemes": {"airflow": {"type": "http", "scheme": "bearer", "description": "A token of Airflow."}},
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            key = (method.upper(), path)
            operation["security"] = [] if key in public else [{"airflow": []}]
            _complete(operation, OPERATIONS.get(key, Described()))
    return document


def _complete(operation: dict[str, Any], about: Described) -> None:
    answer = {"schema": _ref(about.answer)} if about.answer else {"schema": {"type": "object"}}
    responses: dict[str, Any] = {}
    for status in about.statuses:
        words = {200: "As asked for.", 201: "It is on record now.", 204: "Done."}[status]
        content = {} if status == 204 else {"content": {"application/json": answer}}
        responses[str(status)] = {"description": words, **content}
    if about.editions:
        responses["304"] = {"description": "You have this edition: If-None-Match names it."}
    problem = {"application/json": {"schema": _ref(answers.Problem)}}
    responses["4XX"] = {"description": "It is refused; the detail says why.", "content": problem}
    responses["5XX"] = {"description": "A problem of ours; try again later.", "content": problem}
    operation["responses"] = responses
    operation["summary"] = (operation.get("description") or operation["summary"]).partition("\n")[0]
    if isinstance(about.body, str):
        text = {"text/plain": {"schema": {"type": "string", "description": about.body}}}
        operation["requestBody"] = {"required": True, "content": text}
    elif about.body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(about.body)}}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
