"""SD 4.1.2 on the sandbox: a client that its sites have to configure, with the deployment test beside it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from upath import UPath

from pps.activities.clients.local_configuration import CANNOT, CONFIGURED
from pps.activities.packages import classification
from pps.activities.packages.classification import Classification
from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.domain.base.errors import ServiceError
from pps.domain.clients.updates import ClientVerdict
from pps.domain.packages.patch import Patch, PatchState, Repository, RepositoryKind
from pps.domain.packages.tags import jdl_requirement
from pps.domain.quality.scenarios import ScenarioResult, planned_scenarios
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import PartnerLevel
from pps.sandbox.airflow.configuration import administrator_of
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo import deployment, looks
from pps.sandbox.demo.play import Demo, DemoSummary, Table, Tell
from pps.sandbox.grid.landscape import PLATFORM
from pps.sandbox.provider.packages import ProviderPackages
from pps.sandbox.provider.yaim_packages import (
    CONFIGURATION,
    IN_PRODUCTION,
    NEW_OPTIONAL,
    NEW_VARIABLE,
    UPDATE,
    write_yaim_package,
)
from pps.workflow.desk import FrontOffice
from pps.workflow.paths import dag_of

DAG = dag_of(RolloutPath.NON_BC_CLIENT)
NUMBER, VERSION = 4721, "3.2.0"
SETTING = f"{NEW_VARIABLE}=bdii,file"
DECLINES = "Our firewall lets worker nodes ask no service discovery before the next downtime."
PASSED = "Installed on our test farm; batch jobs find their services by the new discovery."

_NOTES = """\
Worker node clients that find their services through a service discovery.

- Storage elements and brokers need not be listed in each job any more.
- Proxy renewal no longer fails when the proxy has less than ten minutes left.

Sites must say which discovery the clients ask: see the configuration section.
"""
#: Where the question to a site says that settings go.
_FOLDER = re.compile(r"Create the folder `(/[^`\n]+)`")


@dataclass(frozen=True)
class NonBcCast:
    """Who plays which part, by site."""

    configures: str
    declines: str
    stays_silent: str


class NonBcDemo(Demo):
    """Classification, three Silver partners at their own pace, deployment test, feedback, release."""

    fewest_sites = 10  # the tenth is the PPS member site
    policies: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "local_configuration": {"answer_within": "40s"},
        "feedback": {"open_for": "60s"},
        "deployment_test": {"answer_within": "60s"},
    }
    answers: ClassVar[Mapping[str, tuple[str, str]]] = {
        "atlas": ("works", "Our jobs find the brokers by themselves now."),
        "cms": ("works", "Copies to three storage elements, found by the discovery."),
        "lhcb": ("comment", "Fine. Please say in the manual page what happens when the discovery is down."),
        "biomed": ("works", "Nothing had to be changed in our jobs."),
    }

    def __init__(self, installation: Installation, tell: Tell, on_fact: Callable[[Fact], None]) -> None:
        super().__init__(installation, tell, on_fact)
        self._has_acted: set[str] = set()
        """sites and scenarios"""
        self._refusals: list[Mapping[str, str]] = []
        self._tarball = ""
        self._certified = False

    @cached_property
    def cast(self) -> NonBcCast:
        """The first Silver partners."""
        sites = [s.name for s in self.services.config.sites.values() if PartnerLevel.SILVER in s.partner_levels]
        return NonBcCast(*sites[:3])

    # --- before ---

    def fetch(self, cache: Path, *, real: bool | None) -> ProviderPackages:
        """Clients, and a sample of YAIM with a new variable."""
        provided = super().fetch(cache, real=real)
        deployment.prepare_clean_root(PLATFORM, self.tell)
        ref, file = write_yaim_package(cache / "yaim", UPDATE)
        return replace(provided, packages=(*provided.packages, ref), files=(*provided.files, file))

    def offer(self, provided: ProviderPackages) -> Patch:
        """Production has YAIM's version before; the tracker knows of one new variable, the packages of two."""
        with tempfile.TemporaryDirectory(prefix="pps-demo-") as folder:
            ref, file = write_yaim_package(Path(folder), IN_PRODUCTION)
            ours = Repository(RepositoryKind.APT, "", "production", ("main",))
            production = UPath(self.production / RepositoryKind.APT.value)
            self.services.publish_packages(production, ours, [file], datetime.now(UTC))
        self.tell(f"production has {ref}")
        return self.publish(
            provided,
            number=NUMBER,
            version=VERSION,
            title=f"glite-WN {VERSION}: clients ask a service discovery",
            release_notes=_NOTES,
            new_variables=(NEW_VARIABLE,),
            special_configuration=CONFIGURATION,
            provider="grid-clients@example.org",
        )

    # --- the run ---

    def run(self, patch: Patch) -> DemoSummary:
        """See `Demo`."""
        found = self._classify(patch)
        facts = self.services.facts
        name, test = (facts.next_name(path, patch.number) for path in ("non-bc-client", "pre-deployment"))
        run = self.people.client("release-manager").trigger(DAG, {"patch": patch.number})
        self.tell(f"The Release Manager starts {DAG} by REST: run {run}")
        self.tell(f"At {self.cast.stays_silent} nobody is going to answer")

        def play() -> None:
            self._sites(run, name)
            self._member_sites(f"{run}.deployment", test)
            self._vos_and_certification(self.record(name), patch)

        state = self.follow(DAG, run, [name, test], play)
        summary = self._look(self.record(name), self.record(test), state, patch, found)
        if state != "success":
            summary.problems.append(f"The run ended {state!r}: {self.failures(DAG, run)}.")
        return summary

    def _classify(self, patch: Patch) -> Classification:
        """What `pps classify` does."""
        services = self.services
        with tempfile.TemporaryDirectory(prefix="pps-demo-") as folder:
            found = classification.classify(
                FrontOffice.of(services, lambda: datetime.now(UTC), "release-manager"),
                patch,
                repositories=services.repositories,
                production=services.production_packages,
                reader=services.package_reader,
                limits=services.config.policies.tarball.to_port(),
                workdir=Path(folder),
            )
        self.tell(f"The Release Manager classifies patch {patch.number} by its packages: {found.verdict}")
        for change in found.changes:
            self.tell(f"  {change.sentence}")
        return found

    def _sites(self, run: str, name: str) -> None:
        for site, act in ((self.cast.configures, self._configures), (self.cast.declines, self._declines)):
            if site in self._has_acted or (question := self.people.question(DAG, run, site)) is None:
                continue
            self._tarball = str(self.record(name).need(FactKind.TARBALL_BUILT, "").payload["name"])
            self._has_acted.add(site)
            act(question)

    def _configures(self, question: AirflowQuestion) -> None:
        """Others try to answer for the site and may not; then its own people do what the question says."""
        site = self.cast.configures
        form = {"settings": SETTING, "remarks": None}
        for user in ("release-manager", administrator_of(self.cast.declines)):
            why = self.people.refusal(user, question, CONFIGURED, form)
            self._refusals.append({"who": user, "what": f"answer for {site}", "why": why})
            self.tell(f"{user} tries to answer for {site}: {f'refused. {why}' if why else 'NOT REFUSED'}")
        told = _FOLDER.search(question.body)
        if told is None or NEW_VARIABLE not in question.body:
            raise ServiceError("demo", f"the question to {site} does not say what to set, and where.", question.body)
        folder = Path(told[1])
        folder.mkdir(exist_ok=True)
        name, _, value = SETTING.partition("=")
        (folder / "discovery.sh").write_text(f"export {name}={value}\n", encoding="utf-8")
        (folder / "discovery.csh").write_text(f"setenv {name} {value}\n", encoding="utf-8")
        self.people.answer(administrator_of(site), question, CONFIGURED, form)
        self.tell(f"{site} writes {folder.name}/discovery.sh and answers: {CONFIGURED}, {SETTING}")

    def _declines(self, question: AirflowQuestion) -> None:
        site = self.cast.declines
        self.people.answer(administrator_of(site), question, CANNOT, {"settings": None, "remarks": DECLINES})
        self.tell(f"{site} answers: {CANNOT}. {DECLINES}")

    def _member_sites(self, run: str, test: str) -> None:
        for scenario in deployment.of_member_sites(self.record(test)):
            known = scenario.name in self._has_acted
            if not known and deployment.answer_scenario(self, run, scenario, "Pass", PASSED):
                self._has_acted.add(scenario.name)

    def _vos_and_certification(self, record: Rollout, patch: Patch) -> None:
        for vo in self.silent_vos:
            if looks.has(record, FactKind.VO_INVITED, vo):
                self.vo_answers(vo)
        silence = looks.has(record, FactKind.SITE_LEFT_OUT, self.cast.stays_silent)
        if silence and not self.silent_vos and not self._certified:
            self._certified = True
            self.tell(f"The certification ends: patch {patch.number} is Certified in the tracker")
            self.services.tracker.set_state(patch.number, PatchState.CERTIFIED, "Certification is complete.")

    # --- afterwards ---

    def _look(self, record: Rollout, test: Rollout, state: str, patch: Patch, found: Classification) -> DemoSummary:
        summary = DemoSummary(record.name, state, jdl=jdl_requirement(record.tag))
        self._look_at_classification(found, summary)
        self._look_at_sites(record, summary)
        summary.expect(all(r["why"] for r in self._refusals), "Somebody could answer for a site that is not theirs.")
        columns = {"who": "who", "what": "tries to", "why": "is told"}
        summary.tables.append(Table("refusals", "Refused", columns, self._refusals))
        results = deployment.look(self, summary, test, f"Deployment test {test.name}")
        released = self._look_at_results(test, results, summary)
        config = self.services.config
        silver = {config.site(site).contact for site in astuple(self.cast)}
        looks.mails(self, summary, looks.told_of_a_preview(config, patch) | silver)
        contact = config.site(self.cast.stays_silent).contact
        looks.mail_to(self, summary, contact, "left out")
        notes = looks.release_notes(self, summary, record.name)
        told = [NEW_VARIABLE, "Classification", "NOT backward compatible", "Deployment test", *results]
        for what in (*told, *(text for _, text in self.answers.values())):
            summary.expect(what in notes, f"The release notes do not hold {what!r}.")
        if released:
            looks.in_production(self, summary, patch, tarball=True)
        else:
            looks.not_in_production(self, summary, patch, PatchState.CERTIFIED)
        looks.places(self, summary, "production repository", "sites")
        end = "the release is in production" if released else "the release was held back, as it must be"
        summary.done = (
            f"{self.cast.configures} has configured the preview and announces it, {self.cast.declines} declined, "
            f"{self.cast.stays_silent} was silent and was left out; the VOs have answered, and {end}."
        )
        return summary

    def _look_at_classification(self, found: Classification, summary: DemoSummary) -> None:
        names = {change.name for change in found.changes}
        summary.expect(found.verdict is ClientVerdict.NON_BC, f"The patch is classified as {found.verdict}.")
        told = {f["name"] for f in found.findings if f["file"] == classification.TRACKER}
        summary.expect(told == {NEW_VARIABLE}, f"The tracker names {sorted(map(str, told))}.")
        summary.expect(names == {NEW_VARIABLE, NEW_OPTIONAL}, f"The classification found {sorted(names)}.")
        compared = any("compared with" in text and IN_PRODUCTION in text for text in found.compared_with)
        summary.expect(compared, "The classification was compared with nothing in production.")
        rows = [{"name": c.name, "kind": c.kind.value, "file": c.file} for c in found.changes]
        title = f"Classification: {found.verdict}"
        columns = {"name": "variable", "kind": "change", "file": "file"}
        summary.tables.append(Table("classification", title, columns, rows))

    def _look_at_sites(self, record: Rollout, summary: DemoSummary) -> None:
        rows = {row["site"]: row for row in looks.sites(self, record, summary)}
        asked = {
            self.cast.configures: ("configures", SiteState.AVAILABLE),
            self.cast.declines: ("declines", SiteState.LEFT_OUT),
            self.cast.stays_silent: ("is silent", SiteState.LEFT_OUT),
        }
        for site, (part, state) in asked.items():
            row = rows[site]
            row["part"] = part
            summary.expect(row["state"] == state, f"{site} {part}; it should be {state}, and is {row['state']}.")
        why = rows[self.cast.declines]["reason"]
        summary.expect(DECLINES in why, f"{self.cast.declines} is left out with another reason than its own: {why}")
        prefix = f"{self.services.config.site(self.cast.configures).preview_root}/{self._tarball}"
        there = Path(f"{prefix}.local/discovery.sh")
        summary.expect(there.exists(), f"The settings of {self.cast.configures} are gone from {there}.")
        others = [
            name for name, site in self.sites_there().items() if name not in asked and self._tarball in site["previews"]
        ]
        summary.expect(not others, f"Not Silver partners, but they hold the preview: {', '.join(others)}.")
        columns = {"site": "site", "part": "part", "state": "state", "probes": "probes", "seen": "tag seen"}
        table = Table(
            "sites", "Silver partners", {**columns, "so": "preview there, or why not"}, [rows[s] for s in asked]
        )
        summary.tables.append(table)

    def _look_at_results(
        self, test: Rollout, results: Mapping[str, ScenarioResult | None], summary: DemoSummary
    ) -> bool:
        """Whether the release may go out, by what the scenarios really ended with."""
        may = True
        for scenario in planned_scenarios(test):
            result = results.get(scenario.name)
            if scenario.is_automatic and result is ScenarioResult.INCONCLUSIVE:
                deployment.note_inconclusive(summary, test, scenario)
                may = False
                continue
            summary.expect(
                result is ScenarioResult.PASS, f"Scenario {scenario.name} should have passed; it is {result}."
            )
        return may
