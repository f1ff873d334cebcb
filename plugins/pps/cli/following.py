"""Watching a rollout: a live table on a terminal, one line a fact anywhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from pps.activities.standing import state_of, told
from pps.cli import output
from pps.cli.front import Front
from pps.domain.errors import NotYetAllowedError, ServiceError
from pps.domain.facts import Fact
from pps.domain.rollouts import Rollout, SiteState

_EVERY_S = 2.0
_LOOKS_BEFORE_OPENED = 150
_LOOKS_WITHOUT_STORE = 30
_RECENT = 8


def follow_rollout(here: Front, name: str, *, as_json: bool) -> None:
    """Watch until the rollout is closed; exit code 1 if it was stopped before its end."""
    rollout = None
    if as_json or not output.console().is_terminal:
        shown = 0
        for rollout in _looks(here, name):
            for fact in rollout.facts[shown:]:
                _print(fact, as_json=as_json)
            shown = len(rollout.facts)
    else:
        with Live(console=output.console(), auto_refresh=False) as live:
            for rollout in _looks(here, name):
                live.update(_picture(rollout), refresh=True)
    if rollout is not None and rollout.is_stopped:
        raise typer.Exit(1)


def _looks(here: Front, name: str) -> Iterator[Rollout]:
    """The rollout as it stands, again and again until it is closed.

    A store that is away for a minute, or a rollout that Airflow has yet to open, ends nothing.
    """
    opened, misses = False, 0
    while True:
        try:
            rollout = here.services.facts.rollout(name)
            opened, misses = True, 0
            yield rollout
            if rollout.is_closed:
                return
        except (NotYetAllowedError, ServiceError) as error:
            misses += 1
            if opened and isinstance(error, NotYetAllowedError):
                raise
            if misses >= (_LOOKS_WITHOUT_STORE if isinstance(error, ServiceError) else _LOOKS_BEFORE_OPENED):
                raise
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
    failed = sum(p.state is SiteState.FAILED for p in progress)
    head = f"{rollout.name}: {state_of(rollout)}. {done} of {len(progress)} sites offer the preview, {failed} failed."
    sites = output.table(("SITE", "STATE", "REASON"), [(p.site, p.state, p.reason) for p in progress])
    recent = [(output.moment(f.at), f.kind, f.subject or "-") for f in rollout.facts[-_RECENT:]]
    note = "Ctrl-C stops watching, not the rollout."
    return Group(Text(output.plain(head), style="bold"), sites, output.table(("WHEN", "FACT", "SUBJECT"), recent), note)
