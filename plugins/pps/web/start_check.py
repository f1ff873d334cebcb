"""Looks at every request that would start a rollout, before Airflow makes the run (`POST .../dagRuns`).

Airflow accepts unknown keys in a run's conf, lets a run wait until the year 2999, and chooses a random run id. Here a
start has exactly the keys of its form, it is for now, and its run id is the rollout's name. So of many who start the
same patch at once, Airflow's own unique key lets one through, and all others are told why not. Backfills and the
materialization of assets are no way to start what is ours.

This is comfort and order, not the last line: a run that comes another way still has to open its rollout in the record
of facts, which lets only one be open for a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol

from jsonschema import Draft202012Validator

from pps.domain.base.errors import RolloutError, ServiceError
from pps.domain.people.roles import identities
from pps.web.airflow_routes import FORMATS, Handler, refusal, sentence

START = ("POST", "/api/v2/dags/{dag_id}/dagRuns")
BACKFILL = ("POST", "/api/v2/backfills")
MATERIALIZE = ("POST", "/api/v2/assets/{asset_id}/materialize")

_CLOCKS_DIFFER = timedelta(minutes=5)
#: The form in the browser sends the time at which it was opened.
_FORM_STAYS_OPEN = timedelta(days=1)
_LONGEST_NOTE = 1000


@dataclass(frozen=True)
class StartForm:
    """How one DAG is started. Keys of `conf` without a default must be given; keys that are not listed must not.

    Args:
        properties: key -> JSON schema of its value, as in the DAG's params.
        path: names the rollouts that the DAG opens; empty: it opens none.
        rule: what no schema can say: reasons against a conf that fits it, at this moment.
    """

    properties: Mapping[str, Mapping[str, object]]
    path: str = ""
    rule: Callable[[Mapping[str, Any], datetime], Sequence[str]] = lambda conf, now: ()

    @cached_property
    def _validator(self) -> Draft202012Validator:
        required = [key for key, schema in self.properties.items() if "default" not in schema]
        schema = {"type": "object", "properties": self.properties, "required": required, "additionalProperties": False}
        return Draft202012Validator(schema, format_checker=FORMATS)

    def reasons_against(self, conf: Any, now: datetime) -> tuple[str, ...]:
        """One sentence for each thing that is wrong with a conf."""
        found = sorted(self._validator.iter_errors(conf), key=lambda e: list(map(str, e.absolute_path)))
        return tuple(sentence(error) for error in found[:10]) or tuple(self.rule(conf, now))


class Register(Protocol):
    """What we ask the record of facts, and Airflow about its runs."""

    def open_rollout(self, path: str, patch: int) -> str | None:
        """Name of the rollout that is open for this patch in the path's line (`domain.record.rollouts.line_of`)."""

    def next_run(self, dag: str, path: str, patch: int) -> str:
        """Id of the run that would open the next rollout of this patch; the same for all who ask at once."""


class StartCheck:
    """In place of Airflow's handlers of `START`, `BACKFILL` and `MATERIALIZE`.

    Args:
        register: called for each start.
        forms: DAG id -> form; runs of other DAGs are not looked at.
        may_not: says why this person may not start a DAG with such a conf; called with DAG, conf and `identities`.
        conflict: what Airflow's database raises for a run id that is taken.
    """

    def __init__(
        self,
        register: Callable[[], Register],
        forms: Mapping[str, StartForm],
        may_not: Callable[[str, Mapping[str, Any], frozenset[str]], Sequence[str]],
        conflict: type[Exception],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._register, self._forms, self._may_not = register, forms, may_not
        self._conflict, self._now = conflict, now

    def start(self, handler: Handler, given: dict[str, Any]) -> Any:
        """Check a start as Airflow has parsed it, name its run, and pass it on."""
        dag, body = given["dag_id"], given["body"]
        form = self._forms.get(dag)
        if form is None:
            return handler(**given)
        if reasons := (
            *form.reasons_against({} if body.conf is None else body.conf, self._now()),
            *self._reasons_against(body),
        ):
            raise refusal(422, " ".join(reasons))
        user = given["user"]
        mine = identities(user.get_id(), user.get_name(), (role.name for role in getattr(user, "roles", ())))
        if reasons := tuple(self._may_not(dag, body.conf or {}, mine)):
            raise refusal(403, " ".join(reasons))
        run = self._run(dag, form, body)
        # times that the caller chooses could take the place of a run that is planned
        times = {"run_after": self._now(), "logical_date": None, "data_interval_start": None, "data_interval_end": None}
        given["body"] = body.model_copy(update={**times, "dag_run_id": run})
        try:
            return handler(**given)
        except self._conflict:
            if run is None:
                raise
            # Airflow's own 409 quotes SQL
            why = f"The run {run} exists already: somebody started this patch a moment ago. Follow that run."
            raise refusal(409, why) from None

    def backfill(self, handler: Handler, given: dict[str, Any]) -> Any:
        """Refuse to run our DAGs for days gone by."""
        self._must_not_be_ours(given["backfill_request"].dag_id, "backfilled")
        return handler(**given)

    def materialize(self, handler: Handler, given: dict[str, Any]) -> Any:
        """Refuse to run our DAGs for an asset; only Airflow knows which DAG it is, so its run is made, then undone."""
        run = handler(**given)
        self._must_not_be_ours(run.dag_id, "started for an asset")
        return run

    def _must_not_be_ours(self, dag: str, how: str) -> None:
        if dag in self._forms:
            why = f"{dag} is not {how}: each of its runs is for now, and has its own form. Start it with that form."
            raise refusal(422, why)

    def _reasons_against(self, body: Any) -> tuple[str, ...]:
        """The keys beside `conf`: they may not ask for another time or another name."""
        now, reasons = self._now(), []
        for key in ("dag_run_id", "partition_key"):
            if getattr(body, key):
                reasons.append(f"{key}: leave it out; a run's name is ours to give.")
        for key in ("data_interval_start", "data_interval_end"):
            if getattr(body, key) is not None:
                reasons.append(f"{key}: leave it out; none of our runs is for a span of time.")
        for key in ("run_after", "logical_date"):
            at = getattr(body, key)
            if at is None:
                continue
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            if not now - _FORM_STAYS_OPEN <= at <= now + _CLOCKS_DIFFER:
                reasons.append(f"{key}: leave it out, or give the present time; a start is for now.")
        if body.note and len(body.note) > _LONGEST_NOTE:
            reasons.append(f"note: longer than {_LONGEST_NOTE} characters.")
        return tuple(reasons)

    def _run(self, dag: str, form: StartForm, body: Any) -> str | None:
        """The id for the run (None: Airflow may choose), or the reason against it."""
        if not form.path:
            return None
        patch = int(body.conf["patch"])
        try:
            register = self._register()
            is_open = register.open_rollout(form.path, patch)
            run = register.next_run(dag, form.path, patch)
        except ServiceError as error:
            raise refusal(503, str(error)) from error
        except RolloutError as error:
            raise refusal(500, str(error)) from error
        if is_open:
            raise refusal(
                409, f"Patch {patch} is being rolled out already: {is_open}. Follow that rollout, or end it first."
            )
        return run
