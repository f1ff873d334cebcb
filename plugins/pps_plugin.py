"""What Airflow's plugin loader sees, and all that it may see (plugins/.airflowignore hides pps/).

Every process of Airflow loads this file; the web application and its imports are only for the
api-server, so they are made when it asks for them. An error there keeps the api-server from
starting, which is right: without the start check it would take starts that nobody checked.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin


class PpsPlugin(AirflowPlugin):
    """Pages, feedback channel and JSON API under /pps, and the check of every start."""

    name = "pps"

    external_views: ClassVar[list[dict[str, Any]]] = [
        # without a slash in front: Airflow may be served below any path, and its page names that as its base
        {"name": "PPS", "href": "pps/home", "url_route": "pps", "destination": "nav", "nav_top_level": True},
        {
            "name": "Rollout",
            "href": "pps/runs/{DAG_ID}/{RUN_ID}",
            "url_route": "rollout",
            "destination": "dag_run",
        },
        {
            "name": "Rollout",
            "href": "pps/runs/{DAG_ID}/{RUN_ID}/{TASK_ID}/{MAP_INDEX}",
            "url_route": "rollout-of-task",
            "destination": "task_instance",
        },
    ]

    react_apps: ClassVar[list[dict[str, Any]]] = [
        {"name": "PPS answers", "bundle_url": "pps/answers.js", "destination": "base"}  # below Airflow's base path
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The web application; every route of it asks for an Airflow user or stands in its table of public ones."""
        from airflow.api_fastapi.core_api.security import get_user

        from pps.orchestration.settings import settings
        from pps.web.airflow_calls import InProcess
        from pps.web.app import create_app

        app = create_app(
            services,
            get_user,
            keep_note=keep_note,
            airflow=InProcess(this_airflow),
            last_night=last_night,
            started=send_gauges,
            how_it_is_set=settings,
        )
        return [{"app": app, "url_prefix": "/pps", "name": "PPS Rollout"}]

    @cached_property
    def fastapi_root_middlewares(self) -> list[dict[str, Any]]:
        """The checks of every start of a rollout and of every answer to a human task; how a question comes back."""
        from sqlalchemy.exc import IntegrityError

        from pps.orchestration.register import asked
        from pps.web import asked_again
        from pps.web.airflow_routes import ChecksBehindAirflow
        from pps.web.answer_check import ANSWER, AnswerCheck
        from pps.web.start_check import BACKFILL, MATERIALIZE, START, StartCheck, StartForm
        from pps.workflow.paths import STARTS
        from pps.workflow.start_forms import reasons_against_dates

        rule = reasons_against_dates
        forms = {dag: StartForm(start.schema, start.path or "", rule) for dag, start in STARTS.items()}
        starts = StartCheck(register, forms, reasons_against_start, IntegrityError)
        checks = {
            START: starts.start,
            BACKFILL: starts.backfill,
            MATERIALIZE: starts.materialize,
            ANSWER: AnswerCheck(asked, reasons_against_answer),
            **asked_again.checks(asked_again_since),
        }
        return [{"middleware": ChecksBehindAirflow, "kwargs": {"checks": checks}, "name": "PPS checks"}]


_services: tuple[object, Any] = (None, None)


def services() -> Any:
    """The adapters, with secrets from Airflow's Connections. Kept until a configuration file changes."""
    global _services  # noqa: PLW0603 (one for the process: it holds a pool of connections)
    from datetime import UTC, datetime

    from pps.config.loader import load_configuration
    from pps.orchestration.runtime import say_which_node
    from pps.orchestration.targets import credentials
    from pps.services import Services

    configuration = load_configuration()
    files = sorted((f.name, f.stat().st_mtime_ns) for f in configuration.folder.glob("*.yaml"))
    seen = (datetime.now(UTC).date(), files)  # each day this node is entered again
    if _services[0] != seen:
        _services = (seen, say_which_node(Services(configuration, credentials)))
    return _services[1]


def reasons_against_start(dag: str, conf: Any, mine: frozenset[str]) -> tuple[str, ...]:
    """Why somebody may not start a DAG in the name that they give, as people.yaml says."""
    from pps.orchestration.roles import reasons_against_start

    vos = {vo.name: vo.representatives for vo in services().config.people.vos}
    return reasons_against_start(dag, conf, vos, mine)


def office() -> Any:
    """Where the doors of the api-server ask the rules and the record."""
    from datetime import UTC, datetime

    from pps.workflow.desk import FrontOffice

    return FrontOffice.of(services(), lambda: datetime.now(UTC), "pps:api-server")


def reasons_against_answer(place: Any, given: Any) -> tuple[str, ...]:
    """Why the rule of a question would refuse an answer."""
    from pps.workflow.answers import reasons_against

    return reasons_against(office(), place, given)


def asked_again_since(since: Any, places: Any) -> Any:
    """Which of these questions wait again after an answer that was not taken, and what is to be said."""
    from pps.workflow.answers import asked_again

    return asked_again(office(), since, *places)


def register() -> Any:
    """The record of facts and Airflow's runs, as the start check asks them."""
    from pps.orchestration.register import FactsRegister

    return FactsRegister(services().facts)


def this_airflow() -> Any:
    """The application that serves us, as its own middleware and routes see a request."""
    from airflow.api_fastapi.app import cached_app

    return cached_app()


def keep_note(dag: str, run: str, changed: Any) -> bool:
    """Change the note of a run in Airflow's tables."""
    from pps.orchestration.register import keep_note

    return keep_note(dag, run, changed)


def last_night() -> Any:
    """The nightly distribution that ended last, from Airflow's tables."""
    from pps.orchestration.register import last_night

    return last_night()


def send_gauges(samples: Any) -> None:
    """Send our gauges where Airflow sends its metrics, if that is by OpenTelemetry."""
    from pps.orchestration.gauges import send

    send(samples)
