"""What a task needs around it: the services, the time, the caller."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import Context, get_current_context

from pps.config.loader import Configuration, load_configuration
from pps.config.node import this_node
from pps.domain.base.errors import RolloutError
from pps.orchestration import run_notes
from pps.orchestration.halts import note_going_on
from pps.orchestration.in_time import until_heard
from pps.orchestration.targets import credentials
from pps.services import Services
from pps.workflow.desk import FrontDesk, FrontOffice

if TYPE_CHECKING:
    from pps.adapters.record.store import FactStore

log = logging.getLogger(__name__)


@contextmanager
def services() -> Iterator[Services]:
    """The services of one task; closed afterwards. Within `asking_again`, what has been kept from the last time."""
    opened = _KEPT.services() if _ASKING_AGAIN.get() else say_which_node(Services(load_configuration(), credentials))
    try:
        with until_heard():
            yield opened
    except RolloutError:
        if _ASKING_AGAIN.get():
            _KEPT.forget()  # whatever it was, a new password or a moved database is asked for next time
        raise
    finally:
        opened.close()


def say_which_node(opened: Services) -> Services:
    """Enter with which configuration this node works: `pps doctor` compares (docs/adr/0039). No work waits for that."""
    try:
        opened.facts.keep_node(this_node(opened.config, now()))
    except RolloutError as error:
        log.warning("With which configuration this node works could not be entered: %s", error)
    return opened


@contextmanager
def office(acts: str = "") -> Iterator[FrontOffice]:
    """An office for one task that is about no single rollout.

    Args:
        acts: who acts, where it is not `actor`.
    """
    with services() as s:
        yield FrontOffice.of(s, now, acts or actor())


@contextmanager
def desk(rollout: str, acts: str = "") -> Iterator[FrontDesk]:
    """The desk of a rollout, for one task. What was done at it, or kept from being done, stands in the run's note."""
    with office(acts) as o:
        d = o.desk(rollout)
        note_going_on(d)
        try:
            yield d
        except Exception:
            run_notes.tell_of(d.rollout, d.services)
            raise
        run_notes.tell_of(d.rollout, d.services)


# --- for those who ask again and again ----------------------------------------------------------


@dataclass(frozen=True)
class _Standing:
    """A configuration as it was read, and the facts that it leads to."""

    seen: tuple[object, ...]
    said_on: date
    config: Configuration
    facts: FactStore


class _Kept:
    """What the questions of one process share.

    The triggerer asks for every pilot that waits, each minute, for weeks. To read the registry of 300 sites takes
    0.3 s of CPU, and to open a connection takes PostgreSQL a process; neither has to be done for each question.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._standing: _Standing | None = None

    def services(self) -> Services:
        """With the configuration as it stands in its files now."""
        config = load_configuration()
        seen = _seen(config.folder)
        with self._lock:
            today = now().date()  # this node is entered again each day
            if self._standing is None or (self._standing.seen, self._standing.said_on) != (seen, today):
                self._let_go()
                opened = say_which_node(Services(config, credentials))
                self._standing = _Standing(seen, today, config, opened.facts)
            standing = self._standing
        return Services(standing.config, credentials, shared_facts=standing.facts)

    def forget(self) -> None:
        """The next question begins anew. One that is being asked keeps its connection until it has its answer."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._standing is not None:
            self._standing.facts.dispose()
        self._standing = None


_KEPT = _Kept()
_ASKING_AGAIN: ContextVar[bool] = ContextVar("asking_again", default=False)


def asking_again(question: Callable[..., bool], **arguments: object) -> bool:
    """Ask a question that was asked before by this process, and will be again; in a thread of its own context."""
    token = _ASKING_AGAIN.set(True)
    try:
        return question(**arguments)
    finally:
        _ASKING_AGAIN.reset(token)


def _seen(folder: Path) -> tuple[object, ...]:
    """What changes with any file of a configuration, also when it is replaced by one of the same size."""
    found: list[object] = [str(folder)]
    for path in sorted(folder.glob("*.yaml")):
        with suppress(OSError):  # it is being replaced, and will look different in a moment
            status = path.stat()
            found.append((path.name, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def now() -> datetime:
    """The only clock of the orchestration."""
    return datetime.now(UTC)


def actor() -> str:
    """Who is behind this run, for the facts: the user who triggered it, else the DAG."""
    run = get_current_context()["dag_run"]
    return getattr(run, "triggering_user_name", None) or f"airflow:{run.dag_id}"


def run_of(context: Context) -> str:
    """How facts name a run: `<DAG>/<run>`."""
    return f"{context['dag_run'].dag_id}/{context['dag_run'].run_id}"


def actor_of(role: str) -> str:
    """The actor of what nobody triggered, e.g. the information system that shows a tag."""
    return f"pps:{role}"
