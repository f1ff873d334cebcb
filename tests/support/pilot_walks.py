"""A whole pilot, walked by the very forms and steps of its DAG, without Airflow.

Real are the store, the templates, the provider's repository and the mirror over HTTP, and production. In memory are
tracker, mail server, information system and the services of the sites; the clock is the test's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from tests.support.desks import front, front_office, is_over
from tests.support.examples import NOW, SECRET, sqlite_store, templates
from tests.support.front import MemoryServices, MemoryTracker, site, write_config
from tests.support.http_folder import serving
from tests.support.pilot_runs import Published, Services
from tests.support.pilots import MAJOR, MINOR, SCOPE
from tests.support.provider import WHY_UNSIGNED, Provider
from tests.support.tasks import tasks_work_with
from tests.support.withdrawals import Postbox
from upath import UPath

from pps.activities.people import feedback, tokens
from pps.activities.ports.people import Mail
from pps.activities.quality import deployment_tests
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.config.loader import Configuration
from pps.domain.base.errors import RefusedError, ServiceError
from pps.domain.packages.patch import Patch, PatchState, RepositoryKind
from pps.domain.people.roles import Role
from pps.domain.pilots.pilot import Pilot
from pps.domain.quality.scenarios import Origin, OriginKind, Scenario, ScenarioResult, scenario_payload
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.sites.endpoints import PublishedService
from pps.domain.sites.probes import ProbeState
from pps.orchestration.people import HumanStep
from pps.orchestration.steps import pilots as steps
from pps.orchestration.steps import quality as steps_quality
from pps.workflow.answers import Place, reasons_against
from pps.workflow.desk import FrontDesk
from pps.workflow.form_book import FORMS
from pps.workflow.forms import Given, put

COORDINATOR = Role.PPS_COORDINATOR.value
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
OLD = "3.1.22"
SITES = {"PIC": "Gold", "INFN-T1": "Gold", "SARA": "Platinum"}


class Tracker(MemoryTracker):
    """Moves patches, and keeps what was said."""

    def __init__(self, *patches: Patch) -> None:
        super().__init__(*patches)
        self.said: list[str] = []

    def set_state(self, number: int, state: PatchState, comment: str, **_: Any) -> None:
        self.known[number] = replace(self.known[number], state=state)
        self.said.append(comment)

    def comment(self, number: int, text: str) -> None:
        self.said.append(text)


def server(provider: Provider, *, major: bool, **more: Any) -> Patch:
    """A server update whose packages the provider publishes."""
    _, sample = provider.publish_sample()
    like = MAJOR if major else MINOR
    return replace(
        like,
        repository=sample.repository,
        packages=sample.packages,
        externals=sample.externals,
        platforms=sample.platforms,
        install_tested=(),
        provider="cream-developers@example.org",
        **more,
    )


def configuration(folder: Path, mirror_url: str, source_url: str) -> Configuration:
    """Two Gold and a Platinum partner; everybody has an address."""
    sites = [
        site(
            name,
            partner_levels=[level],
            administrators=[f"admin-{name.lower()}"],
            services=[{"type": "CREAM-CE", "host": host_of(name)}],
        )
        for name, level in SITES.items()
    ]
    write_config(folder, sites)
    people_file = folder / "people.yaml"
    known = yaml.safe_load(people_file.read_text())
    contacts = {
        "PPS Coordinator": "coordination@example.org",
        "EMT": "emt@example.org",
        "Release Manager": "rm@example.org",
    }
    people_file.write_text(yaml.safe_dump(known | {"role_contacts": contacts}))
    service_file = folder / "service.yaml"
    (folder / "mirror").mkdir(exist_ok=True)
    service = yaml.safe_load(service_file.read_text())
    service |= {"mirror_folder": (folder / "mirror").resolve().as_uri(), "mirror_url": mirror_url}
    service["package_keys"] = {source_url: {"unsigned_over_http": WHY_UNSIGNED}}
    service_file.write_text(yaml.safe_dump(service))
    return Configuration(folder)


def host_of(name: str) -> str:
    return f"ce.{name.lower()}.example.org"


def endpoint_of(name: str) -> str:
    return f"https://{host_of(name)}:8443/status"


@dataclass
class Walk:
    """`name` is that of the newest round; each method is one thing that happens."""

    services: MemoryServices
    path: RolloutPath
    patch: Patch
    context: dict[str, Any]
    clock: datetime = NOW
    name: str = ""

    # --- what is so

    @property
    def store(self) -> FactStore:
        return self.services.facts

    @property
    def record(self) -> Rollout:
        return self.store.rollout(self.name)

    @property
    def pilot(self) -> Pilot:
        return Pilot(self.record)

    @property
    def mails(self) -> list[Mail]:
        return self.services.mailer.mails  # type: ignore[attr-defined]

    def told(self, to: str) -> list[str]:
        """Subjects of the mails to an address."""
        return [mail.subject for mail in self.mails if mail.to == to]

    def of(self, kind: FactKind) -> list[Fact]:
        return [f for f in self.record.facts if f.kind is kind]

    def outcome(self, name: str = "") -> str:
        return str(self.store.rollout(name or self.name).need(FactKind.ROLLOUT_CLOSED, "").payload["outcome"])

    def notes(self, kind: str = "txt") -> str:
        return str((self.services.publication_folder.root / f"release-notes/{self.name}.{kind}").read_text())

    def in_production(self) -> Mapping[str, str]:
        found = self.services.production_packages.open(self.patch.repository.kind)
        return {p.ref.name: p.sha256 for p in found.newest(self.patch.packages).values()}

    @property
    def desk(self) -> FrontDesk:
        """As a task opens it now."""
        return front(self.services, self.name, "erika")

    # --- what happens

    def wait(self, time: timedelta) -> Walk:
        self.clock += time
        return self

    def opens(self, **params: Any) -> Walk:
        """A run of the DAG begins."""
        given = {"patch": self.patch.number, "scope": SCOPE, "vo": None, "justification": None, "continues": None}
        self.context["params"] = given | params
        self.context["dag_run"] = SimpleNamespace(dag_id="pilot", run_id=f"run-{params.get('continues') or 'first'}")
        self.name = self.step("open_pilot", about=self.path.value)
        return self

    def step(self, task: str, *more: str, about: str = "") -> Any:
        """A task, twice: the second time changes nothing."""
        function = getattr(steps, task).function
        first = function(about or self.name, *more)
        facts, mails = self.store.facts_of_kind(list(FactKind)), len(self.mails)
        function(about or self.name, *more)
        assert self.store.facts_of_kind(list(FactKind)) == facts, f"{task} is done twice"
        assert len(self.mails) == mails, f"{task} mails twice"
        return first

    def holds(self, condition: str, **more: str) -> bool:
        return is_over(self.services, condition, rollout=self.name, **more)

    def asks(self, form: str, about: str) -> bool:
        """The human step puts its question; False if there is nothing to ask."""
        asked = FORMS[form].prepare(self.desk, about)
        if asked is None:
            return False
        put(self.desk, FORMS[form], about, asked, self._place(form, about).link("https://pps.example.org"))
        return True

    def _place(self, form: str, about: str) -> Place:
        dag, _, run = str(self.record.opened["run"]).partition("/")
        return Place(dag, run, form, -1 if about == COORDINATOR else sorted(SITES).index(about))

    def body(self, form: str, about: str = COORDINATOR) -> str:
        """What the question says."""
        asked = FORMS[form].prepare(self.desk, about)
        assert asked is not None
        return asked.body

    def answers(self, form: str, choice: str, about: str = COORDINATOR, **fields: Any) -> str:
        """Somebody answers, as Airflow hands it over."""
        assert self.asks(form, about), f"{form} is not asked of {about}"
        return self.gives(form, choice, about, **fields)

    def gives(self, form: str, choice: str, about: str = COORDINATOR, **fields: Any) -> str:
        """The answer alone, to a question that has been put."""
        known = FORMS[form].fields or {}
        assert set(fields) <= set(known)
        defaults = {key: schema["default"] for key, schema in known.items()}
        user = "carla" if about == COORDINATOR else f"admin-{about.lower()}"
        given = Given(choice, defaults | fields, user, self.clock)
        before = self.store.facts_of_kind(list(FactKind))
        against: tuple[str, ...] = ()
        with suppress(ServiceError):  # what is down keeps nobody from answering
            against = reasons_against(front_office(self.services), self._place(form, about), given)
        assert self.store.facts_of_kind(list(FactKind)) == before, "the check at the door has no effect"
        try:
            taken = str(self._human(form, about)._take(self.desk, given))
        except RefusedError as error:
            # where a form has a check of its own, the rest of its rule is a look at the world
            assert against[: len(error.reasons)] == error.reasons or FORMS[form].check, "the door would let it in"
            raise
        assert not against, "the door would refuse what is taken"
        return taken

    def retries(self, form: str, about: str = COORDINATOR) -> str:
        """The task begins anew, as after a failure; what it returns without asking again, or ""."""
        human = self._human(form, about)
        return human._standing(self.record) or human._taken_now(self.desk)

    def is_silent(self, form: str, about: str = COORDINATOR) -> str:
        """Nobody answers until the time is up."""
        assert self.asks(form, about)
        asked = [f for f in self.of(FactKind.QUESTION_ASKED) if (f.occasion, f.subject) == (form, about)]
        self.clock = datetime.fromisoformat(asked[0].payload["due"]) + timedelta(seconds=1)
        return str(self._human(form, about)._silent(self.desk))

    def _human(self, form: str, about: str) -> HumanStep:
        return HumanStep(task_id="question", form=form, rollout=self.name, about=about)

    # --- ways

    def selected(self, *sites: str) -> Walk:
        """Steps 1 to 3."""
        self.answers("pilot-acceptance", "Accept")
        assert self.step("request_is_accepted")
        assert set(self.step("rank_candidates")) >= set(sites)
        if self.path is RolloutPath.MAJOR_PILOT:
            self.step("ask_vos_for_interest")
        self.answers("pilot-selection", "Select", sites="\n".join(sites))
        assert self.step("sites_are_selected")
        self.step("instruct_sites")
        return self

    def kicked_off(self, **form: Any) -> Walk:
        """Steps 4 and 5; the form is answered after the meeting."""
        self.step("invite_to_kick_off")
        self.wait(2 * DAY)
        self.answers("pilot-kick-off", "Agreed", **form)
        assert self.step("dates_are_agreed")
        return self

    def set_up(self, *sites: str) -> Walk:
        """Steps 6 and 7."""
        self.step("mirror_repository")
        for name in sites or self.step("sites_of_pilot"):
            self.serves(name)
            self.answers("pilot-set-up", "Set up", name, endpoint=endpoint_of(name), version="3.1.23", previous=OLD)
            assert self.holds("pilot_is_set_up", site=name)
            assert self.pilot.service_at(name) is not None
        return self

    def serves(self, name: str, version: str = "3.1.23", state: ProbeState = ProbeState.OK) -> None:
        """What answers at a site, and what the information system shows."""
        self.services.service_probes.state[endpoint_of(name)] = (state, version)  # type: ignore[attr-defined]
        published = self.services.information_system
        shown = [s for s in published.services if s.endpoint != endpoint_of(name)]  # type: ignore[attr-defined]
        shown.append(PublishedService(f"{name}_cream", "CREAM-CE", version, endpoint_of(name), "OK"))
        published.services = shown  # type: ignore[attr-defined]

    def runs(self, time: timedelta, look_every: timedelta = DAY) -> Walk:
        """Step 8: the sensor looks until the run is over."""
        ends = self.clock + time
        assert Pilot(self.record).runs_until == self.pilot.runs_until, "both readings of the rule say the same"
        while not self.holds("pilot_run_is_over"):
            assert self.clock < ends, "the run does not end"
            self.clock = min(self.clock + look_every, ends)
        return self

    def reported(self, *sites: str) -> Walk:
        """Step 9."""
        for name in sites or self.pilot.sites:
            assert self.holds("pilot_ends_at_site", site=name)
            self.answers("post-mortem", "Report", name, resources="2 GB of memory.", stability="No restart.")
        return self

    def wrapped_up(self, choice: str, **form: Any) -> str:
        """Step 10: meeting, decision, and what follows it."""
        self.step("invite_to_wrap_up")
        self.wait(2 * DAY)
        self.answers("pilot-wrap-up", choice, **form)
        follows = str(steps.follow_decision.function(self.name))
        if follows == "wait_for_deployment_test":
            assert self.holds("deployment_test_is_over")
            assert self.follows_test() == "release_update"
            self.step("release_update")
            self.step("end_pilot")
        elif follows == "prolong_pilot":
            return str(self.step("prolong_pilot"))
        else:
            self.step(follows)
        return self.outcome()

    def follows_test(self) -> str:
        """What comes after the deployment test: the release, or another test."""
        return str(steps.renew_deployment_test.function(self.name))

    def needs_test(self) -> bool:
        """Whether the DAG starts a deployment test beside the pilot."""
        return bool(steps_quality.deployment_test_is_missing.function(self.name))

    def changes_patch(self, **changes: Any) -> Walk:
        """The developers change the patch in the tracker."""
        self.patch = self.services.tracker.known[self.patch.number] = replace(  # type: ignore[attr-defined]
            self.patch, **changes
        )
        return self

    def said(self, vo: str, opinion: str, text: str) -> None:
        """A VO answers with its own invitation."""
        token = tokens.invitation_token(SECRET, self.name, vo)
        feedback.give_feedback(self.store, self.name, feedback.Said(vo, opinion, text, vo, token), self.clock, SECRET)

    def deployment_tested(self, result: ScenarioResult | None = ScenarioResult.PASS) -> Walk:
        """The other activity, "in parallel and separately", has ended so; None: it has begun."""
        test, number = RolloutPath.PRE_DEPLOYMENT.value, self.patch.number
        name = self.store.next_name(test, number)
        platform = self.patch.platforms[0]
        scenario = Scenario("ce", platform, "CREAM", "", Origin(OriginKind.REGION, "North"))
        opened = {
            "path": test,
            "patch": self.patch.number,
            "metapackage": self.patch.metapackage,
            "version": self.patch.version,
            "platforms": [str(platform)],
            "update": deployment_tests.update_digest(self.patch),
        }

        def fact(kind: FactKind, subject: str = "", **payload: Any) -> Fact:
            return Fact(name, kind, subject, "", self.clock, "pps", payload)

        if not any(row.name == name for row in self.store.rollouts(paths=[test])):
            self.store.open(test, number, fact(FactKind.ROLLOUT_OPENED, **opened), name)
            self.store.record(fact(FactKind.SCENARIOS_PLANNED, scenarios=[scenario_payload(scenario)]))
        if result is None:
            return self
        ended = {"result": result.value, "platform": str(platform), "reason": "", "log": "", "by": "auto"}
        self.store.record(fact(FactKind.SCENARIO_ENDED, "ce", **ended))
        self.store.close(fact(FactKind.ROLLOUT_CLOSED, outcome=result.value))
        return self


@contextmanager
def walking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: RolloutPath, **patch: Any) -> Iterator[Walk]:
    """A world in which a pilot of a provider's server update can be walked."""
    for folder in ("provider", "config/mirror"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("PPS_CACHE", str(tmp_path / "cache"))
    with serving(tmp_path / "provider") as source, serving(tmp_path / "config/mirror") as mirror:
        update = server(Provider(RepositoryKind.APT, tmp_path, source), major=path is RolloutPath.MAJOR_PILOT, **patch)
        config = configuration(tmp_path / "config", mirror.url.rstrip("/"), source.url)
        store = sqlite_store(tmp_path)
        given = {
            "facts": store,
            "tracker": Tracker(update),
            "templates": templates(),
            "mailer": Postbox(),
            "service_probes": Services(),
            "information_system": Published(),
            "feedback_secret": SECRET,
            "publication_folder": PublishedFolder(UPath(config.folder / "publication_folder")),
        }
        walk = Walk(MemoryServices(config, lambda _: None, given), path, update, {})
        walk.services.given["clock"] = lambda: walk.clock
        tasks_work_with(monkeypatch, lambda: walk.services, lambda: walk.clock, "erika")
        monkeypatch.setattr(steps, "get_current_context", lambda: walk.context)
        yield walk
        store.dispose()
