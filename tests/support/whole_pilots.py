"""Server pilots on the whole grid: what people and sites do in them, by REST and at the site's own service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.support.airflow_waits import why_failed
from tests.support.whole import Grid

from pps.domain.packages.patch import Patch, PatchKind
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import PartnerLevel
from pps.sandbox.airflow.configuration import administrator_of
from pps.sandbox.grid.pilot_service import TYPE, ServiceAction

MINOR, MAJOR = "minor_server_pilot", "major_server_pilot"


def server(grid: Grid, number: int, version: str, **different: Any) -> Patch:
    """A certified update of the sandbox's service: a minor one, unless it is different."""
    values: dict[str, Any] = {
        "kind": PatchKind.SERVER,
        "service_type": TYPE,
        "bugs": (),
        "programming_ph": 8,
        "installation_guide": "https://docs.example.org/install",
        "configuration_guide": "https://docs.example.org/configure",
        "special_configuration": "",
    }
    patch = grid.offers(number, version, **values | different)
    grid.certify(patch.number)
    return patch


def partner(grid: Grid, level: PartnerLevel) -> str:
    """A site that runs pilots at this level."""
    return next(s.name for s in grid.services.config.sites.values() if level in s.partner_levels)


def form(question: Any, **given: Any) -> dict[str, Any]:
    """The whole form, as a browser sends it."""
    return {name: spec.get("value") for name, spec in question.params.items()} | given


class PilotRun:
    """One run of a pilot's DAG: one round, one record."""

    def __init__(self, grid: Grid, dag: str, run: str, name: str = "") -> None:
        self.grid, self.dag, self.run, self.name = grid, dag, run, name or run

    @classmethod
    def asked_for(cls, grid: Grid, dag: str, user: str, patch: Patch, **conf: Any) -> PilotRun:
        """Asked for by this user."""
        scope = "Run the service as production does, and watch its memory."
        return cls(grid, dag, grid.as_user(user).trigger(dag, {"patch": patch.number, "scope": scope, **conf}))

    def _asked(self, what: str, look: Callable[[], Any], within_s: float = 240) -> Any:
        """Wait for it; a failure tells how the tasks stand."""
        try:
            return self.grid.waits_for(what, look, within_s)
        except AssertionError as error:
            states = {t.task: t.state for t in self.grid.client.tasks(self.dag, self.run) if t.state != "success"}
            why = why_failed(self.grid.client, self.dag, self.run)
            raise AssertionError(f"{error}; {states}\n{why}") from None

    def question(self, site: str) -> Any:
        """The question to this site's people."""

        def look() -> Any:
            return next(
                (q for q in self.grid.client.questions(self.dag, self.run) if q.subject.startswith(f"{site}:")), None
            )

        return self._asked(f"question to {site}", look)

    def coordinate(self, choice: str, task: str, **given: Any) -> None:
        """The Coordinator answers the question of this task."""

        def look() -> Any:
            return next((q for q in self.grid.client.questions(self.dag, self.run) if q.task == task), None)

        question = self._asked(task, look)
        self.grid.as_user("pps-coordinator").answer(question, [choice], form(question, **given))

    def kicked_off(self, *sites: str, **agreed: Any) -> PilotRun:
        """Accepted, sites selected, dates agreed."""
        self.coordinate("Accept", "accept_request")
        self.coordinate("Select", "select_sites", sites="\n".join(sites))
        self.coordinate("Agreed", "agree_at_kick_off", **agreed)
        return self

    def set_up(self, site: str, version: str) -> Mapping[str, Any]:
        """The site's people install the pilot, say so, and it is verified."""
        service = self.say_set_up(site, version)
        self.waits_for(FactKind.SERVICE_SET_UP)
        return service

    def say_set_up(self, site: str, version: str) -> Mapping[str, Any]:
        """The site's people install the pilot, and say so."""
        asked = self.question(site)
        service: Mapping[str, Any] = self.grid.control.act_on_service(site, ServiceAction.UPGRADE, version)["service"]
        answer = form(asked, endpoint=service["endpoint"], version=version, previous=service["previous"])
        self.grid.as_user(administrator_of(site)).answer(asked, ["Set up"], answer)
        return service

    def member_site_passes(self) -> None:
        """The PPS member site's people try their scenario of the deployment test, so that nobody waits for them."""
        run = f"{self.run}.deployment"
        (question,) = self._asked(
            "question to the member site", lambda: self.grid.client.questions("pre_deployment_test", run)
        )
        admin = self.grid.as_user(administrator_of(self.grid.member_site()))
        admin.answer(question, ["Pass"], form(question, report="It installs."))

    def report(self, site: str) -> None:
        """The site's people write their post-mortem report."""
        asked = self.question(site)
        filled = form(asked, resources="As before.", stability="No restart.")
        self.grid.as_user(administrator_of(site)).answer(asked, list(asked.options[:1]), filled)

    def decide(self, choice: str, **given: Any) -> None:
        """The wrap-up meeting's decision."""
        self.coordinate(choice, "decide_at_wrap_up", **given)

    def waits_for(self, kind: FactKind, within_s: float = 300) -> None:
        """Wait until such a fact is on record."""
        self._asked(f"fact {kind}", lambda: self.grid.rollout(self.name).has(kind), within_s)

    def outcome(self, within_s: float = 400) -> str:
        """How it ended; waits for the run."""
        end = self.grid.ends(self.run, dag=self.dag, within_s=within_s)
        assert end == "success", why_failed(self.grid.client, self.dag, self.run)
        return str(self.grid.rollout(self.name).need(FactKind.ROLLOUT_CLOSED, "").payload["outcome"])
