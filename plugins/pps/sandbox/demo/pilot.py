"""What the demos of server pilots (SD 4.1.3) share: a service at a Gold site, its people, and the Coordinator.

The service is real: an HTTP server at the site that says its version, published in the information system. Its
people upgrade it when they are asked, as the facts and the questions say; nothing here writes a fact.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pps.activities.pilots import kick_off, screening, set_up
from pps.activities.pilots import report as pilot_report
from pps.activities.pilots import request as pilot_request
from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.domain.base.errors import RefusedError, ServiceError
from pps.domain.packages.patch import Bug, Patch, PatchKind, PatchState, Severity
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import PartnerLevel
from pps.sandbox.airflow.configuration import administrator_of
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo import deployment, looks
from pps.sandbox.demo.play import Demo, Tell
from pps.sandbox.grid.control import GridControl
from pps.sandbox.grid.landscape import PLATFORM
from pps.sandbox.grid.pilot_service import TYPE, ServiceAction
from pps.sandbox.provider.packages import ProviderPackages
from pps.sandbox.provider.service_packages import METAPACKAGE, make_service_packages

COORDINATOR, STRANGER = "pps-coordinator", "viewer"
PROVIDER = "glite-wms-developers@example.org"
GUIDES = "https://docs.example.org/glite-wms"
BUG = Bug(30112, "Jobs stay in state Waiting after a restart", Severity.NORMAL, "cms-data-transfers@example.org")

#: What the Coordinator answers, by task: choice, and what is entered in the form.
Answers = Mapping[str, tuple[str, Mapping[str, Any]]]


class PilotDemo(Demo):
    """One pilot at one Gold site, round by round."""

    dag: ClassVar[str]
    asks: ClassVar[str]
    """user who asks for the pilot"""
    version: ClassVar[str]
    new_parameter: ClassVar[bool] = False
    longest_s: ClassVar[float] = 400.0  # of one round

    def __init__(self, installation: Installation, tell: Tell, on_fact: Callable[[Fact], None]) -> None:
        super().__init__(installation, tell, on_fact)
        self.refusals: list[Mapping[str, str]] = []
        self.read: dict[str, str] = {}
        """`rollout/task` -> the question as it was put"""
        self._has_acted: set[str] = set()

    @cached_property
    def site(self) -> str:
        """The first Gold partner."""
        sites = self.services.config.sites.values()
        return next(s.name for s in sites if PartnerLevel.GOLD in s.partner_levels)

    @cached_property
    def control(self) -> GridControl:
        """The site's own machines."""
        return GridControl(self.installation.grid_folder)

    # --- before ---

    def fetch(self, cache: Path, *, real: bool | None) -> ProviderPackages:
        """Packages of a service; they are samples in any case, since the sandbox plays the service itself."""
        provided = make_service_packages(cache / "service", self.version, new_parameter=self.new_parameter)
        self.tell(f"the developers have {len(provided.files)} packages of {METAPACKAGE} {self.version} (samples)")
        deployment.prepare_clean_root(PLATFORM, self.tell)
        return provided

    def publish_server(self, provided: ProviderPackages, number: int, **different: Any) -> Patch:
        """A certified update of the service that the site runs in production now."""
        before = self.control.act_on_service(self.site, ServiceAction.START)["service"]
        self.tell(f"{self.site} runs {TYPE} {before['version']} in production, at {before['endpoint']}")
        values: dict[str, Any] = {
            "number": number,
            "version": self.version,
            "metapackage": METAPACKAGE,
            "kind": PatchKind.SERVER,
            "service_type": TYPE,
            "bugs": (BUG,),
            "programming_ph": 8,
            "provider": PROVIDER,
            "installation_guide": f"{GUIDES}/install",
            "configuration_guide": f"{GUIDES}/configure",
        }
        patch = self.publish(provided, **values | different)
        self.services.tracker.set_state(patch.number, PatchState.CERTIFIED, "Certification is complete.")
        return replace(patch, state=PatchState.CERTIFIED)

    # --- asking ---

    def request(self, patch: Patch, scope: str, **more: Any) -> str:
        """Ask for the pilot by REST, after a stranger who may not. Returns the run: it has the name of the pilot."""
        conf = {"patch": patch.number, "scope": scope, **more}
        try:
            self.people.client(STRANGER).trigger(self.dag, conf)
            self._note(STRANGER, "ask for a pilot", "")
        except RefusedError as error:
            self._note(STRANGER, "ask for a pilot", " ".join(error.reasons))
        run = self.people.client(self.asks).trigger(self.dag, conf)
        self.tell(f"{self.asks} asks for a pilot of patch {patch.number} by REST: run {run}")
        return run

    def _note(self, user: str, what: str, why: str) -> None:
        self.refusals.append({"who": user, "what": what, "why": why})
        self.tell(f"{user} tries to {what}: {f'refused. {why}' if why else 'NOT REFUSED'}")

    # --- people ---

    @abstractmethod
    def decisions(self, record: Rollout) -> Answers:
        """What the Coordinator answers in this round."""

    def play_round(self, name: str) -> None:
        """Whoever has an open question answers it."""
        for question in self.people.questions(self.dag, name):
            if f"{name}/{question.task}" in self._has_acted:
                continue  # it comes back only if the answer was not taken: the demo then ends with what is open
            self._has_acted.add(f"{name}/{question.task}")
            self.read[f"{name}/{question.task}"] = question.body
            self._answer(question, name)

    def _answer(self, question: AirflowQuestion, name: str) -> None:
        match question.task:
            case "site.set_up":
                self._sets_up(question)
            case "site.report":
                self._reports(question)
            case task:
                choice, entered = self.decisions(self.record(name))[task]
                if task == "accept_request":
                    self._may_not(self.asks, question, choice, "accept a request of their own")
                self.people.answer(COORDINATOR, question, choice, filled(question, **entered))
                said = "; ".join(f"{key}: {value}" for key, value in entered.items())
                self.tell(f"The PPS Coordinator answers {task}: {choice}{f' ({said})' if said else ''}")

    def _may_not(self, user: str, question: AirflowQuestion, choice: str, what: str) -> None:
        self._note(user, what, self.people.refusal(user, question, choice, filled(question)))

    def _sets_up(self, question: AirflowQuestion) -> None:
        """The site's people upgrade their service, then say so; those of another site may not."""
        other = next(s for s in self.services.config.sites if s != self.site)
        self._may_not(administrator_of(other), question, set_up.CANNOT, f"answer for {self.site}")
        service = self.control.act_on_service(self.site, ServiceAction.UPGRADE, self.version)["service"]
        self.tell(f"{self.site} upgrades its service from {service['previous']} to {service['version']}")
        form = filled(question, endpoint=service["endpoint"], version=service["version"], previous=service["previous"])
        self.people.answer(administrator_of(self.site), question, set_up.SET_UP, form)
        self.tell(f"{self.site} answers: {set_up.SET_UP}, at {service['endpoint']}")

    def _reports(self, question: AirflowQuestion) -> None:
        self.people.answer(administrator_of(self.site), question, pilot_report.REPORT, filled(question, **self.report))
        self.tell(f"{self.site} writes its post-mortem report")

    report: ClassVar[Mapping[str, str]]
    """the site's post-mortem report"""

    # --- doors beside the questions ---

    def once(self, name: str, what: str) -> bool:
        """True the first time that something is to be done in a round."""
        key = f"{name}/{what}"
        is_new = key not in self._has_acted
        self._has_acted.add(key)
        return is_new

    def log(self, name: str, text: str, *, call_expert: bool = False) -> None:
        """An entry in the journal by the site's people; a stranger tries first, and may not."""
        body = {"site": self.site, "text": text, "call_expert": call_expert}
        path = f"pps/api/v1/rollouts/{name}/journal"
        refused = self.people.client(STRANGER).request("POST", path, json=body)
        self._note(STRANGER, f"write the journal of {self.site}", _why(refused) if refused.status_code >= 400 else "")
        self._post(administrator_of(self.site), path, body)
        self.tell(f"{self.site} writes in the journal: {text}")

    def declare_success(self, name: str, reason: str) -> None:
        """The Coordinator ends the run before its time; the site itself tries first, and may not."""
        path, body = f"pps/api/v1/rollouts/{name}/success", {"reason": reason}
        refused = self.people.client(administrator_of(self.site)).request("POST", path, json=body)
        who, why = administrator_of(self.site), _why(refused) if refused.status_code >= 400 else ""
        self._note(who, "declare the pilot a success", why)
        self._post(COORDINATOR, path, body)
        self.tell(f"The PPS Coordinator ends the run, upon success: {reason}")

    def _post(self, user: str, path: str, body: Mapping[str, Any]) -> None:
        answer = self.people.client(user).request("POST", path, json=body)
        if answer.status_code != 201:
            raise ServiceError(
                "demo", f"{path} answers {answer.status_code}: {_why(answer)}", "Look at Airflow's logs."
            )

    def is_set_up(self, record: Rollout) -> bool:
        """Tell whether the site's service was verified."""
        return looks.has(record, FactKind.SERVICE_SET_UP, self.site)


def filled(question: AirflowQuestion, **entered: Any) -> dict[str, Any]:
    """The whole form, as a browser sends it."""
    return {name: spec.get("value") for name, spec in question.params.items()} | entered


def _why(answer: Any) -> str:
    try:
        return str(answer.json().get("detail", answer.text))
    except ValueError:
        return str(answer.text)


ACCEPT: Answers = {"accept_request": (pilot_request.ACCEPT, {})}


def select(site: str) -> Answers:
    """The site is selected."""
    reason = "It knows the service, and its people have promised a week of care."
    return {"select_sites": (screening.SELECT, {"sites": site, "reason": reason})}


def agree(**agreed: Any) -> Answers:
    """What the kick-off meeting agrees on."""
    return {"agree_at_kick_off": (kick_off.AGREED, agreed)}
