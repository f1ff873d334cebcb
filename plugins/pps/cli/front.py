"""What every command gets: the services, Airflow, the clock. Tests bring their own."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import typer
from requests import Response
from typer.core import TyperGroup

from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.adapters.services.sign_in import SignIn, kept
from pps.cli.output import complain
from pps.config.loader import load_configuration
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError, RefusedError, RolloutError, ServiceError
from pps.services import Services
from pps.services.far import Doors, FarServices
from pps.workflow.desk import FrontDesk, FrontOffice


class Airflow(Protocol):
    """What the CLI wants of Airflow's REST API; errors are `RolloutError`s."""

    def trigger(self, dag: str, conf: Mapping[str, Any]) -> str:
        """Start a run, return its id; a bad conf is a `RefusedError`, a duplicate an `AlreadyOpenError`."""

    def run_state(self, dag: str, run: str) -> str:
        """`queued`, `running`, `success` or `failed`."""

    def questions(self, dag: str = "~", run: str = "~") -> Sequence[AirflowQuestion]:
        """Human tasks that wait for an answer."""

    def answer(
        self, question: AirflowQuestion, options: Sequence[str], params: Mapping[str, Any] | None = None
    ) -> datetime:
        """Answer one of them; returns when Airflow has stored the answer."""

    def dags(self) -> Mapping[str, bool]:
        """DAG -> whether it is paused."""

    def request(self, method: str, path: str, **arguments: Any) -> Response:
        """Any other call; `ServiceError` if nobody answers."""


@dataclass
class Front:
    """The world as the commands see it."""

    services: Services
    airflow_url: str = ""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[float], None] = time.sleep

    @cached_property
    def airflow(self) -> Airflow:
        """Airflow's REST API; address and login from the environment."""
        from pps.adapters.services.airflow_rest import AirflowClient

        url = self.airflow_url or os.environ.get("PPS_AIRFLOW_URL", "")
        user, password = os.environ.get("PPS_AIRFLOW_USER", ""), os.environ.get("PPS_AIRFLOW_PASSWORD", "")
        found = self.signed_in
        # whoever is far knows no configuration before somebody has been asked; the service's own account asks its own
        # installation, never the one at which the same person happens to have signed in
        at = (url or (found.url if found and self.is_far else self.services.config.service.public_url)).rstrip("/")
        if user and password:
            return AirflowClient(at, user, password)
        if found is not None and found.url == at:
            return AirflowClient(at, found.user, "", token=found.token)
        raise ConfigurationError(
            f"Airflow at {at}",
            "wants to know who you are.",
            "Sign in: pps login https://... (programs set PPS_AIRFLOW_URL, PPS_AIRFLOW_USER, PPS_AIRFLOW_PASSWORD).",
        )

    @cached_property
    def signed_in(self) -> SignIn | None:
        """Who has signed in on this machine, by `pps login`."""
        return kept()

    @property
    def actor(self) -> str:
        """Who types this: the user for Airflow where one is set, whoever is far, else the user of this machine."""
        if named := os.environ.get("PPS_AIRFLOW_USER"):
            return named
        return self.signed_in.user if self.is_far and self.signed_in else getpass.getuser()

    @property
    def is_far(self) -> bool:
        """Somebody has signed in from a machine of their own: what they decide goes through the API's doors."""
        return isinstance(self.services, FarServices)

    def office(self) -> FrontOffice:
        """Where commands that put something on record do their work."""
        return FrontOffice.of(self.services, self.now, self.actor)

    def desk(self, rollout: str) -> FrontDesk:
        """The desk of a rollout."""
        return self.office().desk(rollout)

    def post(self, path: str, body: Mapping[str, Any], *, about: str) -> dict[str, Any]:
        """Ask our own API, `path` below pps/api/v1, and return its answer; its refusal is an error about `about`."""
        return _said(self.airflow.request("POST", f"pps/api/v1/{path}", json=body), about)

    def put(self, path: str, file: Path, query: Mapping[str, str], *, about: str) -> dict[str, Any]:
        """Send a file as it is."""
        kind = {"Content-Type": "application/octet-stream"}
        # read whole: a stream could not be sent once more where Airflow asks to sign in again
        sent = self.airflow.request(
            "PUT", f"pps/api/v1/{path}", data=file.read_bytes(), params=dict(query), headers=kind
        )
        return _said(sent, about)

    def get(self, path: str, query: Mapping[str, str], *, about: str) -> dict[str, Any]:
        """The same, for what is only read."""
        return _said(self.airflow.request("GET", f"pps/api/v1/{path}", params=dict(query)), about)


def opened(config: Path | None, airflow_url: str) -> Front:
    """The front of somebody who types `pps`.

    The service's own account has the database's Connection and the configuration. Everybody else signs in, and then
    reads what the installation holds, not what happens to lie in ./config here; unless a folder is named, or nobody
    has signed in: then what needs no record still works with the folder.
    """
    here = Front(Services(load_configuration(config)), airflow_url)
    far = airflow_url and os.environ.get("PPS_AIRFLOW_USER") and os.environ.get("PPS_AIRFLOW_PASSWORD")
    if config is not None or here.services.credentials("pps_store") or not (far or here.signed_in):
        return here
    doors = Doors(lambda place, query: here.get(place, query, about=place), _asks(here))
    here.services = FarServices.through(doors)
    return here


def _asks(here: Front) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    return lambda place, body: here.post(place, body, about=place)


def _said(response: Response, about: str) -> dict[str, Any]:
    try:
        said = response.json()
    except ValueError as error:
        why = f"HTTP {response.status_code} without JSON."
        raise ServiceError("Airflow", why, "Correct PPS_AIRFLOW_URL.") from error
    if response.ok:
        return dict(said)
    detail = str(said.get("detail", said)) if isinstance(said, dict) else str(said)
    if response.status_code >= 500:
        again = "" if "try again" in detail.lower() else "Try again later. "
        raise ServiceError(about, detail, f"{again}The api-server's log says more.")
    if response.status_code == 409:
        raise NotYetAllowedError(about, detail)
    raise RefusedError(about, (detail,))


def front(ctx: typer.Context) -> Front:
    """The `Front` of this call."""
    found = ctx.find_object(Front)
    if found is None:  # a command that is called outside the app
        raise ConfigurationError("pps", "the command was not started through `pps`.")
    return found


class PpsGroup(TyperGroup):
    """Turns our own errors into one line on stderr and exit code 1; a usage error stays 2, Ctrl-C 130."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RolloutError as error:
            complain(error)
            raise typer.Exit(1) from error


def group(help_text: str) -> typer.Typer:
    """A group of commands; without one it shows its help."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None)
