"""Runs of the paths' DAGs without Airflow: their very steps, forms and waits, in an order of their own.

Real are the record and what a step does. Sites, packages and services are simulated, and all that we talk to fails as
told (`frail.Weather`). Which step may follow which is in tests/support/itineraries.py.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.providers.standard.operators.hitl import HITLOperator
from tests.support.clean_roots import PretendedRoots
from tests.support.examples import SECRET, templates
from tests.support.frail import Frail, FrailStore, Weather
from tests.support.front import MemoryServices, MemoryTracker, site, write_config
from tests.support.local_shell import target_of
from tests.support.paper_packages import PaperProduction, PaperReader, PaperRepositories
from tests.support.pilot_runs import Services
from tests.support.pilots import MAJOR, MINOR
from tests.support.postgres import StoreUrls
from tests.support.simulated_sites import KilledError, SimulatedSites
from tests.support.tasks import tasks_work_with
from tests.support.withdrawals import Postbox
from upath import UPath

from pps.activities.clients import distribution
from pps.activities.packages import payloads
from pps.adapters.packages.artefacts import ArtefactStore
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record import database
from pps.adapters.record.store import FactStore
from pps.domain.packages.patch import Bug, PackageRef, Patch, PatchKind, PatchState, Severity
from pps.domain.packages.repository_trust import Trust
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.endpoints import PublishedService
from pps.domain.sites.probes import ProbeState
from pps.orchestration.people import HumanStep
from pps.orchestration.sensors import WaitUntil
from pps.orchestration.steps import clients, overruling, pilots, quality, release_tests, withdrawal
from pps.orchestration.steps import distribution as distributing
from pps.orchestration.steps import release_notes as notes

SITES = "ABC"
MEMBER = "D"
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
VARIABLE = "BDII_HOST"
ROLES = {
    "EMT": "emt@example.org",
    "PPS Coordinator": "coordination@example.org",
    "Release Manager": "rm@example.org",
}


class Parked(Exception):
    """The task holds no worker any more: Airflow asks again, or people have been asked."""


@dataclass
class Run:
    """One run of a DAG."""

    dag: str
    params: dict[str, Any]
    id: str
    name: str = ""
    """of its rollout, from its first step on"""
    done: dict[str, Any] = field(default_factory=dict)
    """task -> what it returned"""
    skipped: set[str] = field(default_factory=set)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """task -> what Airflow has stored, and the task has not taken yet"""
    asked: dict[str, tuple[str, str]] = field(default_factory=dict)
    """task that has asked people -> form, about"""
    parked: set[str] = field(default_factory=set)
    """those of them that wait for an answer"""


class Walked:
    """An installation: three production sites that take part in everything, and a PPS member site."""

    def __init__(self, folder: Path, store: FrailStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turned: datetime | None = START
        self.store, self.numbers = store, count(1)
        self.weather = store.weather = Weather()
        config = self._configuration(folder / "config")
        self.production = PaperProduction()
        self.postbox = Postbox()
        self.tracker = MemoryTracker()
        self.services_at = Services()
        self.begins(config.sites)
        frail = lambda real: Frail(real, self.weather)  # noqa: E731
        given: dict[str, Any] = {
            "facts": store,
            "clock": lambda: self.clock,
            "templates": templates(),
            "feedback_secret": SECRET,
            "mailer": self.postbox,
            "shell": self,
            "matchmaker": None,
            "package_reader": PaperReader(),
            "tracker": frail(self.tracker),
            "information_system": frail(self),
            "service_probes": frail(self.services_at),
            "repositories": frail(PaperRepositories()),
            "clean_roots": PretendedRoots(),
            "artefacts": frail(ArtefactStore(UPath(folder / "config/artefact_store"), folder / "cache")),
            "publication_folder": frail(PublishedFolder(UPath(folder / "config/publication_folder"))),
            "publish_in_production": frail(self.production).publish,
            "trust_in": lambda url: Trust(unsigned="It is on paper."),
            "write_bulletin": lambda now: None,
        }
        self.services = MemoryServices(config, lambda _: None, given)
        self.sites = config.sites
        self._without_airflow(monkeypatch)
        monkeypatch.setenv("PPS_CACHE", str(folder / "cache"))

    @property
    def clock(self) -> datetime:
        """That of the test, or the real one."""
        return self.turned or datetime.now(UTC)

    @clock.setter
    def clock(self, at: datetime) -> None:
        self.turned = at

    def begins(self, sites: Iterable[str]) -> None:
        """Everything outside of the record is as new."""
        self.grid = SimulatedSites(sites)
        self.services_at.state.clear()
        self.published: list[PublishedService] = []
        self.weather.clears()

    def _configuration(self, folder: Path) -> Any:
        entries = [
            site(
                name,
                partner_levels=["Silver", "Gold", "Platinum"],
                administrators=[f"admin-{name.lower()}"],
                services=[{"type": "CREAM-CE", "host": host_of(name)}],
            )
            for name in SITES
        ]
        entries.append(site(MEMBER, infrastructure="PPS", administrators=[f"admin-{MEMBER.lower()}"]))
        config = write_config(folder, entries)
        people = yaml.safe_load((folder / "people.yaml").read_text()) | {"role_contacts": ROLES}
        (folder / "people.yaml").write_text(yaml.safe_dump(people))
        scenario = ["platform: debian12-amd64", "origin: {region: North}"]
        by_hand = [*scenario, "system: torque", f"runner: {MEMBER}", "mandatory: false"]
        scenarios = [["name: by-program", *scenario], ["name: by-hand", *by_hand]]
        text = "\n".join(f"  - {{{', '.join(lines)}}}" for lines in scenarios)
        (folder / "scenarios.yaml").write_text(f"scenarios:\n{text}\n")
        pools = [{"name": "north", "roc": "North", "sites": list(SITES), "services": ["CREAM-CE"]}]
        (folder / "pools.yaml").write_text(yaml.safe_dump({"pools": pools}))
        return type(config)(folder)

    def _without_airflow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tasks_work_with(monkeypatch, lambda: self.services, lambda: self.clock, "erika")
        self.context: dict[str, Any] = {}
        for module in (clients, pilots, quality, release_tests, overruling, withdrawal):
            monkeypatch.setattr(module, "get_current_context", lambda: self.context)
        monkeypatch.setattr(clients, "_targets", lambda sites: {s.name: target_of(s.name) for s in sites})
        for module in (clients, distributing):
            monkeypatch.setattr(module.labels, "say_how_it_went", lambda *_: "")
        monkeypatch.setattr(clients.run_notes, "tell_opener", lambda *_: None)
        monkeypatch.setattr(payloads, "fcntl", SimpleNamespace(LOCK_EX=fcntl.LOCK_EX, flock=_locked_at_once))
        monkeypatch.setattr(database, "_TURN_AFTER_S", 0.1)  # nor for its turn
        monkeypatch.setattr(distribution, "_PAUSE_S", 0.0)
        monkeypatch.setattr("pps.activities.clients.withdrawal._PAUSES_S", ())

        def park(*_: Any) -> None:
            raise Parked

        for module in (distributing, notes):
            monkeypatch.setattr(module, "park", park)
        monkeypatch.setattr(HITLOperator, "execute", park)
        monkeypatch.setattr(HITLOperator, "execute_complete", lambda *_: None)

    # --- what the services say

    def tags_of(self, subclusters: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """The information system: it shows what stands in the lists."""
        shown = {self.sites[n].subcluster: frozenset(there.tags) for n, there in self.grid.sites.items()}
        return {name: shown[name] for name in subclusters if name in shown}

    def services_of(self, hosts: Iterable[str]) -> Mapping[str, tuple[PublishedService, ...]]:
        """The information system, of the services of pilots."""
        return {h: tuple(s for s in self.published if f"://{h}:" in s.endpoint) for h in hosts}

    def open(self, *args: Any) -> Any:
        """The way to the sites; what is asked for there is noted with the tarballs that are on record by now."""
        for fact in self.store.facts_of_kind([FactKind.TARBALL_BUILT]) if not self.weather.store_is_away else ():
            if "tag" in self.record(fact.rollout).opened:
                self.grid.tag_of[str(self.record(fact.rollout).tag)] = str(fact.payload["name"])
        return self.grid.open(*args)

    def serves(self, name: str, version: str = "3.1.23", state: ProbeState = ProbeState.OK) -> None:
        """What a pilot's service at a site answers, and what the information system shows of it."""
        self.services_at.state[endpoint_of(name)] = (state, version)
        self.published = [s for s in self.published if s.endpoint != endpoint_of(name)]
        self.published.append(PublishedService(f"{name}_cream", "CREAM-CE", version, endpoint_of(name), "OK"))

    # --- what is on record

    def record(self, name: str) -> Rollout:
        return self.store.rollout(name)

    def facts(self, name: str, *kinds: FactKind) -> list[Fact]:
        return [f for f in self.record(name).facts if f.kind in kinds]

    # --- what is done

    def patch(self, like: str, **more: Any) -> Patch:
        """A new patch in the tracker: `client`, `minor` or `major`."""
        number = next(self.numbers)
        ref = PackageRef(f"package{number}", "2.1.0-1", "amd64")
        base = {"client": replace(MINOR, **CLIENT), "minor": MINOR, "major": MAJOR}[like]
        made = replace(base, number=number, version=f"3.1.{number}", packages=(ref,), externals=(), **PLAIN | more)
        self.tracker.known[number] = made
        return made

    def changes(self, number: int, **more: Any) -> None:
        """Somebody changes a patch in the tracker."""
        self.tracker.known[number] = replace(self.tracker.known[number], **more)

    def run(self, dag: str, patch: int, **params: Any) -> Run:
        return Run(dag, {"patch": patch, **params}, f"run-{next(self.numbers)}")

    def within(self, run: Run) -> None:
        """From here on it is a task of this run that works."""
        self.context = {
            "params": {"feedback_until": None, "vos": None, "pools": None, "continues": None} | run.params,
            "dag_run": SimpleNamespace(dag_id=run.dag, run_id=run.id),
        }

    def waits(self, wait: str, **arguments: Any) -> None:
        """A task that waits; `Parked` as long as it is not over."""
        if not WaitUntil(task_id="wait", wait=wait, arguments=arguments)._is_over():
            raise Parked

    def human(self, run: Run, task: str, form: str, about: str) -> str:
        """A question: put, parked, answered, or nobody has answered in time."""
        step = HumanStep(task_id="ask", form=form, rollout=run.name, about=about)
        context: Any = {"ti": SimpleNamespace(dag_id=run.dag, run_id=run.id, task_id=task, map_index=-1)}
        event, parked, run.asked[task] = run.answers.pop(task, None), task in run.parked, (form, about)
        if event is None and parked:
            asked = (f for f in self.facts(run.name, FactKind.QUESTION_ASKED) if f.occasion == step.form.step)
            if self.clock <= next(datetime.fromisoformat(f.payload["due"]) for f in asked if f.subject == about):
                raise Parked
            event = {"error": "nobody", "error_type": "timeout"}
        run.parked.discard(task)  # whatever becomes of it now, unless it parks again
        try:
            return str(step.execute(context) if event is None else step.execute_complete(context, event))
        except Parked:
            run.parked.add(task)
            raise

    def answer(self, choice: str, user: str, **form: Any) -> dict[str, Any]:
        """What Airflow hands over."""
        who = {"id": user, "name": user}
        return {"chosen_options": [choice], "params_input": form, "responded_by_user": who, "responded_at": self.clock}


CLIENT: dict[str, Any] = {
    "kind": PatchKind.CLIENT,
    "state": PatchState.IN_CERTIFICATION,
    "metapackage": "glite-WN",
    "title": "Clients that know IPv6",
    "bugs": (Bug(101, "No IPv6", Severity.MAJOR, "ada@example.org"),),
}
PLAIN: dict[str, Any] = {"platforms": (MINOR.platforms[0],), "install_tested": (MINOR.platforms[0],)}


@pytest.fixture
def walked(tmp_path: Path, store_urls: StoreUrls, fact_store: FactStore, monkeypatch: pytest.MonkeyPatch) -> Any:
    """On a PostgreSQL."""
    store = FrailStore(store_urls.application)
    yield Walked(tmp_path, store, monkeypatch)
    store.dispose()


def _locked_at_once(file: int, how: int) -> None:
    """An attempt that overtakes another one cannot wait for what that one holds: it is killed meanwhile."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise KilledError from error


def host_of(name: str) -> str:
    return f"ce.{name.lower()}.example.org"


def endpoint_of(name: str) -> str:
    return f"https://{host_of(name)}:8443/status"
