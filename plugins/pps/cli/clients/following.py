"""Following a rollout: one line for each fact, for logs. In place it is seen with `pps rollout watch`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import typer

from pps.activities.clients.standing import told
from pps.cli import output
from pps.cli.front import Front
from pps.domain.base.errors import NotYetAllowedError, RolloutError, ServiceError
from pps.domain.base.texts import plain
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout

_EVERY_S = 2.0
_LOOKS_BEFORE_OPENED = 150
_LOOKS_WITHOUT_STORE = 30


def follow_rollout(
    here: Front,
    name: str,
    *,
    as_json: bool,
    just_started: Callable[[], None] | None = None,
    until: Callable[[Rollout], bool] | None = None,
) -> None:
    """Watch until the rollout is closed; exit code 1 if it was stopped before its end.

    Args:
        just_started: given when Airflow has yet to open the rollout; called at each look, raises
            when Airflow will do no more.
        until: watch for this end instead; reaching it is a success.
    """
    rollout = None
    looks = _looks(here, name, just_started, until or (lambda seen: seen.is_closed))
    shown = 0
    for rollout in looks:
        for fact in rollout.facts[shown:]:
            _print(fact, as_json=as_json)
        shown = len(rollout.facts)
    if rollout is not None and rollout.is_stopped and until is None:
        raise typer.Exit(1)


def check_run(here: Front, dag: str, run: str, step: str) -> None:
    """Raise `RolloutError` with the next `step` when Airflow's run has failed, for `just_started`."""
    try:
        state = here.airflow.run_state(dag, run)
    except ServiceError:  # an api-server that is restarted changes nothing for the run
        return
    if state == "failed":
        raise RolloutError(f"Airflow run {run}", "has failed.", step)


def looks_at(here: Front, name: str, until: Callable[[Rollout], bool]) -> Iterator[Rollout]:
    """The rollout as it stands, every two seconds until its end."""
    return _looks(here, name, None, until)


def _looks(
    here: Front, name: str, just_started: Callable[[], None] | None, until: Callable[[Rollout], bool]
) -> Iterator[Rollout]:
    """The rollout as it stands, again and again until its end; a store that is away for a minute ends nothing."""
    misses, patience = 0, _LOOKS_BEFORE_OPENED if just_started else 0
    while True:
        try:
            rollout = here.services.facts.rollout(name)
        except ServiceError:
            misses += 1
            if misses > _LOOKS_WITHOUT_STORE:
                raise
        except NotYetAllowedError:
            if not patience:
                raise
            patience -= 1
        else:
            misses = patience = 0
            yield rollout
            if until(rollout):
                return
        if just_started:
            just_started()
        here.pause(_EVERY_S)


def _print(fact: Fact, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(output.to_data(fact), allow_nan=False) + "\n")
    else:
        words = (output.moment(fact.at), fact.kind.value, fact.subject, told(fact))
        output.say("  ".join(plain(w).replace("\n", " ") for w in words if w))
    sys.stdout.flush()
