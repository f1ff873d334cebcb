"""SD 4.2.2 on the sandbox: an update whose release notes fail when somebody follows them, and pass when corrected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pps.activities.quality.deployment_tests import log_name, newest_deployment_verdict
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.quality.scenarios import (
    DeploymentOutcome,
    Scenario,
    ScenarioResult,
    deployment_verdict,
    planned_scenarios,
    reasons_against_platforms,
    scenario_result,
)
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Platform
from pps.sandbox.airflow.configuration import administrator_of
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo import deployment, looks
from pps.sandbox.demo.play import Demo, DemoSummary, Table, Tell
from pps.sandbox.grid.landscape import PLATFORM
from pps.sandbox.provider.packages import ProviderPackages
from pps.sandbox.provider.yaim_packages import (
    CONFIGURATION,
    INCOMPLETE_CONFIGURATION,
    NEW_VARIABLE,
    UPDATE,
    write_yaim_package,
)

DAG = deployment.DAG
NUMBER, VERSION = 4731, "3.2.1"
PROVIDER = "grid-clients@example.org"
#: What the people of the member site say, before and after the correction.
SAYS = {
    "Fail": f"We followed the notes to the letter: YAIM ends, since they do not set {NEW_VARIABLE}.",
    "Pass": "With the corrected notes it configures; jobs on our batch system run.",
}
_SAW = f"INFO: Executing function: config_sd_client_check\nERROR: {NEW_VARIABLE} is not set in site-info.def.\n"


def other_architecture(platform: Platform) -> Platform:
    """A platform of the patch that this machine is not."""
    return replace(platform, arch="amd64" if platform.arch == "arm64" else "arm64")


class PreDeploymentDemo(Demo):
    """A test that fails and goes back to the provider, then one of the corrected notes that passes."""

    fewest_sites = 10  # the tenth is the PPS member site

    def __init__(self, installation: Installation, tell: Tell, on_fact: Callable[[Fact], None]) -> None:
        super().__init__(installation, tell, on_fact)
        self._has_acted: set[tuple[str, str]] = set()
        """test and scenario"""
        self._refusals: list[Mapping[str, str]] = []

    # --- before ---

    def fetch(self, cache: Path, *, real: bool | None) -> ProviderPackages:
        """Clients, and a sample of YAIM with a new variable."""
        provided = super().fetch(cache, real=real)
        deployment.prepare_clean_root(PLATFORM, self.tell)
        ref, file = write_yaim_package(cache / "yaim", UPDATE)
        return replace(provided, packages=(*provided.packages, ref), files=(*provided.files, file))

    def offer(self, provided: ProviderPackages) -> Patch:
        """A patch for two architectures, with notes that nobody has followed yet."""
        return self.publish(
            provided,
            number=NUMBER,
            version=VERSION,
            title=f"glite-WN {VERSION}: clients ask a service discovery",
            platforms=(self.platform, other_architecture(self.platform)),
            new_variables=(NEW_VARIABLE,),
            special_configuration=INCOMPLETE_CONFIGURATION,
            provider=PROVIDER,
        )

    # --- the run ---

    def run(self, patch: Patch) -> DemoSummary:
        """See `Demo`."""
        first, first_state = self._test(patch, "Fail")
        sent = self._comes_back(patch)
        second, state = self._test(patch, "Pass")
        summary = DemoSummary(second.name, state)
        for record, ended in ((first, first_state), (second, state)):
            run = str(record.opened["run"]).partition("/")[2]
            summary.expect(ended == "success", f"The run {run} ended {ended!r}: {self.failures(DAG, run)}.")
        self._look(first, second, patch, sent, summary)
        return summary

    def _test(self, patch: Patch, choice: str) -> tuple[Rollout, str]:
        """One whole deployment test; its record, and how the run ended."""
        name = self.services.facts.next_name("pre-deployment", patch.number)
        run = self.people.client("pps-coordinator").trigger(DAG, {"patch": patch.number})
        self.tell(f"The PPS Coordinator starts {DAG} by REST: run {run}")
        state = self.follow(DAG, run, [name], lambda: self._member_sites(run, name, choice))
        return self.record(name), state

    def _member_sites(self, run: str, name: str, choice: str) -> None:
        for scenario in deployment.of_member_sites(self.record(name)):
            if (name, scenario.name) in self._has_acted:
                continue
            if not self._refusals:
                self._others_try(run, scenario)
            log = _SAW if choice == "Fail" else ""
            if deployment.answer_scenario(self, run, scenario, choice, SAYS[choice], log):
                self._has_acted.add((name, scenario.name))

    def _others_try(self, run: str, scenario: Scenario) -> None:
        question = self.people.question(DAG, run, scenario.name)
        if question is None:
            return
        others = (s for s in self.services.config.sites if s != scenario.runner)
        for user in ("release-manager", administrator_of(next(others))):
            why = self.people.refusal(user, question, "Pass", {"report": "", "log": ""})
            self._refusals.append({"who": user, "what": f"answer for {scenario.runner}", "why": why})
            self.tell(f"{user} tries to answer for {scenario.runner}: {f'refused. {why}' if why else 'NOT REFUSED'}")

    def _comes_back(self, patch: Patch) -> str:
        """The provider reads its mail and corrects the notes; the text of the mail, with the log."""
        sent = DemoSummary("", "")
        mail = looks.mail_to(self, sent, PROVIDER, "Failed")
        if NEW_VARIABLE in mail:
            self.tell(f"The provider reads in its mail that {NEW_VARIABLE} is not set")
        tracker = self.services.tracker
        tracker.edit(patch.number, {"special_configuration": CONFIGURATION})
        self.tell(f"The provider corrects the release notes of patch {patch.number} in the tracker")
        verdict = newest_deployment_verdict(self.services.facts, patch.number, tracker.patch(patch.number))
        self.tell(f"The old results do not count for the new notes: {' '.join(verdict.reasons) if verdict else '?'}")
        return mail

    # --- afterwards ---

    def _look(self, first: Rollout, second: Rollout, patch: Patch, mail: str, summary: DemoSummary) -> None:
        before = deployment.look(self, summary, first, f"First test: {first.name}")
        after = deployment.look(self, summary, second, f"After the correction: {second.name}")
        elsewhere = other_architecture(self.platform)
        tried = True
        for record, found, expected in ((first, before, ScenarioResult.FAIL), (second, after, ScenarioResult.PASS)):
            for scenario in planned_scenarios(record):
                result = found.get(scenario.name)
                if scenario.platform == elsewhere:
                    # nobody here has such a machine: that is said, and never taken for a pass
                    so = result is ScenarioResult.INCONCLUSIVE
                    summary.expect(so, f"{scenario.name} cannot be run here, but it is {result}.")
                elif scenario.is_automatic and result is ScenarioResult.INCONCLUSIVE:
                    tried = False
                else:
                    why = f"{scenario.name} of {record.name} should be {expected}, and is {result}."
                    summary.expect(result is expected, why)
        self._look_at_the_provider(first, patch, mail, summary)
        self._look_at_platforms(second, summary, tried)
        summary.expect(all(r["why"] for r in self._refusals), "Somebody could answer for a site that is not theirs.")
        columns = {"who": "who", "what": "tries to", "why": "is told"}
        summary.tables.append(Table("refusals", "Refused", columns, self._refusals))
        sites = self.services.config.sites
        asked = {sites[s.runner].contact for s in deployment.of_member_sites(second)}
        looks.mails(self, summary, {PROVIDER} | asked)
        looks.not_in_production(self, summary, patch, PatchState.IN_CERTIFICATION)
        summary.places["mails"] = self.mails
        summary.places["Airflow's logs"] = self.installation.folder / "airflow" / "logs"
        end = f"after its correction the update may go out for {self.platform}" if tried else "nothing may go out"
        summary.done = (
            f"what failed went back to the provider with its log; {end}, and not for {elsewhere}, "
            "which nobody could try. Nothing was released by that."
        )

    def _look_at_the_provider(self, first: Rollout, patch: Patch, mail: str, summary: DemoSummary) -> None:
        failed = [s for s in planned_scenarios(first) if scenario_result(first, s.name) is ScenarioResult.FAIL]
        summary.expect(NEW_VARIABLE in mail, f"The provider's mail does not say what is wrong with {NEW_VARIABLE}.")
        comments = " ".join(c.text for c in self.services.tracker.comments(patch.number))
        for scenario in failed:
            told = looks.has(first, FactKind.PROVIDER_TOLD, scenario.name)
            summary.expect(told, f"The provider was not told of {scenario.name}.")
            summary.expect(scenario.name in comments, f"The tracker's history does not name {scenario.name}.")
            log = (self.www / log_name(first.name, scenario.name)).read_text(encoding="utf-8")
            summary.expect(NEW_VARIABLE in log, f"The log of {scenario.name} does not show what failed.")
            sent = looks.mail_to(self, summary, PROVIDER, scenario.name)
            summary.expect(log.strip() in sent, f"The provider did not get the log of {scenario.name}.")
            if scenario.is_automatic:
                summary.texts[f"How the log of {scenario.name} ends"] = "\n".join(log.strip().splitlines()[-16:])

    def _look_at_platforms(self, second: Rollout, summary: DemoSummary, tried: bool) -> None:
        verdict = deployment_verdict(second)
        platforms = (self.platform,) if tried else ()
        outcome = DeploymentOutcome.PASSED if tried else DeploymentOutcome.INCONCLUSIVE
        may = ", ".join(map(str, verdict.platforms)) or "none"
        summary.expect(verdict.platforms == platforms, f"The platforms that may go out are {may}.")
        summary.expect(verdict.outcome is outcome, f"The outcome is {verdict.outcome}.")
        rows = [
            {"platform": str(platform), "may": "no" if why else "yes", "why": " ".join(why)}
            for platform, why in reasons_against_platforms(second).items()
        ]
        columns = {"platform": "platform", "may": "may go out", "why": "why not"}
        summary.tables.append(Table("platforms", "Platforms", columns, rows))
        if not tried:
            for scenario in planned_scenarios(second):
                if scenario.is_automatic and scenario.platform == self.platform:
                    deployment.note_inconclusive(summary, second, scenario)
