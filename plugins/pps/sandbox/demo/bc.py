"""The main job on the sandbox: one real client patch through SD 4.1.1, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pps.domain.packages.patch import Patch, PatchState
from pps.domain.packages.tags import jdl_requirement
from pps.domain.people.feedback import Outcome, outcome
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.record.site_states import FAILURES, SiteState
from pps.sandbox.demo import looks
from pps.sandbox.demo.play import Demo, DemoSummary, Table
from pps.sandbox.provider.packages import ProviderPackages
from pps.workflow.paths import dag_of

DAG = dag_of(RolloutPath.BC_CLIENT)


class BcDemo(Demo):
    """Canaries, fleet, feedback of two VOs, release to production; three sites fail on purpose."""

    answers: ClassVar[Mapping[str, tuple[str, str]]] = {
        "atlas": ("works", "Ran our pilot jobs with the preview at three sites: proxies are renewed in time."),
        "cms": ("comment", "Copies are fine. Please mention the new fallback in the manual page."),
    }

    _certified = False

    def offer(self, provided: ProviderPackages) -> Patch:
        """See `Demo`."""
        return self.publish(provided)

    def run(self, patch: Patch) -> DemoSummary:
        """See `Demo`."""
        name = self.services.facts.next_name("bc-client", patch.number)
        run = self.people.client("release-manager").trigger(DAG, {"patch": patch.number})
        self.tell(f"The Release Manager starts {DAG} for patch {patch.number} by REST: run {run}")
        state = self.follow(DAG, run, [name], lambda: self._play(self.record(name), patch))
        summary = self._look(self.record(name), state, patch)
        if state != "success":
            summary.problems.append(f"The run ended {state!r}: {self.failures(DAG, run)}.")
        return summary

    def _play(self, record: Rollout, patch: Patch) -> None:
        for vo in self.silent_vos:
            if looks.has(record, FactKind.VO_INVITED, vo):
                self.vo_answers(vo)
        if not self.silent_vos and not self._certified:
            self._certified = True
            self.tell(f"The certification ends: patch {patch.number} is Certified in the tracker")
            self.services.tracker.set_state(patch.number, PatchState.CERTIFIED, "Certification is complete.")

    def _look(self, record: Rollout, state: str, patch: Patch) -> DemoSummary:
        """Compare what the facts say with the world, and with what should have happened."""
        summary = DemoSummary(record.name, state, jdl=jdl_requirement(record.tag))
        rows = self._look_at_sites(record, summary)
        told = looks.told_of_a_preview(self.services.config, patch)
        failed = {self.services.config.site(r["site"]).contact for r in rows if r["state"] in FAILURES}
        looks.mails(self, summary, told | failed)
        summary.expect(
            outcome(record) is Outcome.SOME,
            f"Two of the VOs have answered, but the outcome is {outcome(record).value!r}.",
        )
        notes = looks.release_notes(self, summary, record.name)
        for vo, (_, text) in self.answers.items():
            summary.expect(text in notes, f"The release notes do not hold what {vo} said.")
        looks.in_production(self, summary, patch, tarball=True)
        looks.places(self, summary, "production repository", "sites")
        count = sum(r["state"] == SiteState.AVAILABLE for r in rows)
        summary.done = (
            f"{count} sites announce the preview, every site that should have failed is shown with its reason, "
            "everybody was told, and the release is in production."
        )
        return summary

    def _is_well(self, site: str, state: SiteState) -> bool:
        return state in (SiteState.AVAILABLE, SiteState.LEFT_OUT)

    def _look_at_sites(self, record: Rollout, summary: DemoSummary) -> list[dict[str, str]]:
        should_fail = {name: site["faults"][0] for name, site in self.sites_there().items() if site["faults"]}
        rows = looks.sites(self, record, summary)
        for row in rows:
            site, state = row["site"], row["state"]
            if site in should_fail:
                fails = state in (*FAILURES, SiteState.LEFT_OUT)
                summary.expect(fails, f"{site} ({should_fail[site]}) should have failed; it is {state}.")
            else:
                well = self._is_well(site, SiteState(state))
                summary.expect(well, f"{site} should have the preview; it is {state}: {row['reason']}")
        summary.expect(any(r["state"] == SiteState.AVAILABLE for r in rows), "No site has the preview.")
        columns = {"site": "site", "state": "state", "probes": "probes", "seen": "tag seen"}
        summary.tables.append(Table("sites", "Sites", {**columns, "so": "preview there, or why not"}, rows))
        return rows
