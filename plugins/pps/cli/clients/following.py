"""Watching a rollout: a live table on a terminal, one line per fact anywhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from pps.activities.clients.bulletin import stage
from pps.activities.clients.standing import told
from pps.cli import output
from pps.cli.front import Front
from pps.domain.base.errors import NotYetAllowedError, RolloutError, ServiceError
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import FAILURES, Rollout, SiteState

_EVERY_S = 2.0
_LOOKS_BEFORE_OPENED = 150
_LOOKS_WITHOUT_STORE = 30
_RECENT = 8


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
    if as_json or not output.console().is_terminal:
        shown = 0
        for rollout in looks:
            for fact in rollout.facts[shown:]:
                _print(fact, as_json=as_json)
            shown = len(rollout.facts)
    else:
        with Live(console=output.console(), auto_refresh=False) as live:
            for rollout in looks:
                live.update(_picture(rollout), refresh=True)
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
        output.say("  ".join(output.plain(w).replace("\n", " ") for w in words if w))
    sys.stdout.flush()


def _picture(rollout: Rollout) -> Group:
    progress = rollout.all_progress()
    done = sum(p.state in (SiteState.AVAILABLE, SiteState.TAGGED) for p in progress)
    failed = sum(p.state in FAILURES for p in progress)
    head = f"{rollout.name}: {stage(rollout)}. {done} of {len(progress)} sites offer the preview, {failed} failed."
    recent = [(output.moment(f.at), f.kind, f.subject or "-") for f in rollout.facts[-_RECENT:]]
    # a grid can be longer than a screen: what needs an eye comes first, so only what is well is cut off
    order = {**dict.fromkeys(FAILURES, 0), SiteState.LOST: 1, SiteState.AVAILABLE: 3}
    sites = sorted(progress, key=lambda p: order.get(p.state, 2))
    return Group(
        Text(output.plain(head), style="bold"),
        Text("Ctrl-C stops watching, not the rollout.", style="dim"),
        output.table(("WHEN", "FACT", "SUBJECT"), recent),
        output.table(("SITE", "STATE", "REASON"), [(p.site, p.state, p.reason) for p in sites]),
    )
