"""A provider's release on the sandbox, from its first submission to its quality page.

It is submitted over REST with three faults, corrected by what was found, previewed, and tried in a deployment test,
whose failure is a trouble ticket; it is corrected once more, passes, and goes to production. What the quality page says
of it is held against what happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import requests
from upath import UPath

from pps.adapters.packages.repository_writer import publish_packages
from pps.config.release_documents import release_document
from pps.domain.base.errors import ServiceError
from pps.domain.packages.patch import Patch, PatchState, Repository, RepositoryKind
from pps.domain.packages.submission import UNNUMBERED, Release
from pps.domain.quality.scenarios import ScenarioResult, planned_scenarios, scenario_result
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.record.site_states import SiteState
from pps.domain.record.submissions import LookState
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo import bc, deployment, looks
from pps.sandbox.demo.play import Demo, DemoSummary, Table, Tell
from pps.sandbox.grid.landscape import PLATFORM
from pps.sandbox.provider.packages import ProviderPackages
from pps.sandbox.provider.scenario import demo_patch

PRODUCT, VERSION = "glite-WN", "3.1.30"
USER = "software-provider"
#: No tracker of the sandbox has it.
UNKNOWN_PATCH = 99_999
SAYS = {
    "Fail": "Jobs on our batch system end at once: the notes do not say that its prologue has to be restarted.",
    "Pass": "With the corrected notes jobs run on our batch system.",
}
CORRECTION = "\n\nAfter the update, restart the prologue of your batch system."
_API = "pps/api/v1"
_LOOK_WITHIN_S = 240.0
_ASK_EVERY_S = 1.0


class ProviderDemo(Demo):
    """Submitted with three faults, corrected, failed in a scenario, corrected, released."""

    fewest_sites = 10  # the tenth is the PPS member site
    longest_s = 600.0
    answers: ClassVar[Mapping[str, tuple[str, str]]] = bc.BcDemo.answers

    def __init__(self, installation: Installation, tell: Tell, on_fact: Callable[[Fact], None]) -> None:
        super().__init__(installation, tell, on_fact)
        self._sent: list[Mapping[str, Any]] = []
        """releases as the desk showed them when each look had ended"""
        self._document: dict[str, Any] = {}
        self._tests: list[tuple[str, str]] = []
        """deployment tests that were started: record, run"""
        self._answered_scenarios: set[tuple[str, str]] = set()
        self._ticket = ""
        self._certified = False

    # --- before ---

    def fetch(self, cache: Path, *, real: bool | None) -> ProviderPackages:
        """Samples, as it is the desk that is shown; and the base of clean roots."""
        provided = super().fetch(cache, real=False)
        deployment.prepare_clean_root(PLATFORM, self.tell)
        return provided

    def offer(self, provided: ProviderPackages) -> Patch:
        """The provider publishes its packages, submits with three faults, reads, and corrects; SA3 flags the patch."""
        name = f"apt-{PRODUCT.lower()}-{VERSION}"
        repository = Repository(
            RepositoryKind.APT, f"{self.installation.grid['services']['repository']}/{name}", "preview", ("main",)
        )
        folder = UPath(self.installation.grid["repository_folder"]) / name
        publish_packages(folder, repository, provided.files, datetime.now(UTC))
        patch = demo_patch(
            repository,
            provided.packages,
            provided.externals,
            platform=self.platform,
            number=UNNUMBERED,
            version=VERSION,
        )
        self._document = release_document(Release(patch))
        self._submit(_with_three_faults(self._document))
        found = self._submit(self._document)
        number = int(found["patch"] or 0)
        if not number:
            raise ServiceError("the provider's desk", f"did not take the release: {found['sentence']}", "See its page.")
        return self._flagged_by_sa3(number)

    def _submit(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a release over REST, wait for what is found, and read it."""
        desk = self.people.client(USER)
        sent = desk.request("POST", f"{_API}/provider/releases", json={"document": document, "submit": True})
        if not sent.ok:
            raise ServiceError("the provider's desk", f"answers HTTP {sent.status_code}: {sent.text[:300]}", "")
        self.tell(f"The provider submits {PRODUCT} {VERSION} by REST")
        until = time.monotonic() + _LOOK_WITHIN_S
        found = sent.json()
        while found["state"] in (LookState.LOOKING, LookState.ACCEPTED) and time.monotonic() < until:
            time.sleep(_ASK_EVERY_S)
            found = desk.request("GET", f"{_API}/provider/releases/{PRODUCT}/{VERSION}").json()
        self.tell(f"The desk says: {found['sentence']}")
        for finding in _faults(found):
            self.tell(f"  {finding['code']}: {finding['sentence']} {finding['remedy']}")
        self._sent.append(found)
        return dict(found)

    def _flagged_by_sa3(self, number: int) -> Patch:
        """What certification says of a patch, where it says it: in the tracker."""
        tracker: Any = self.services.tracker
        tracker.set_state(number, PatchState.IN_CERTIFICATION, "Certification begins.")
        tracker.edit(number, {"install_tested": [str(self.platform)]})
        tracker.set_flag(number, "basic_certification_passed", True, "The first round of tests was passed.")
        self.tell(f"SA3 takes patch {number} into certification; its first round of tests is passed")
        patch: Patch = tracker.patch(number)
        return patch

    # --- the run ---

    def run(self, patch: Patch) -> DemoSummary:
        """See `Demo`."""
        name = self.services.facts.next_name("bc-client", patch.number)
        run = self.people.client("release-manager").trigger(bc.DAG, {"patch": patch.number})
        self.tell(f"The Release Manager starts {bc.DAG} for patch {patch.number} by REST: run {run}")
        state = self.follow(bc.DAG, run, [name], lambda: self._play(self.record(name), patch))
        summary = self._look(self.record(name), state, patch)
        if state != "success":
            summary.problems.append(f"The run ended {state!r}: {self.failures(bc.DAG, run)}.")
        return summary

    def _play(self, record: Rollout, patch: Patch) -> None:
        for vo in self.silent_vos:
            if looks.has(record, FactKind.VO_INVITED, vo):
                self.vo_answers(vo)
        if not self._tests:
            if record.has(FactKind.GATE_PASSED):
                self._start_test(patch)
            return
        name, run = self._tests[-1]
        test, choice = self.record(name), "Fail" if len(self._tests) == 1 else "Pass"
        self.show([name])
        for scenario in deployment.of_member_sites(test):
            asked = (name, scenario.name)
            if asked in self._answered_scenarios or test.is_closed:
                continue
            if deployment.answer_scenario(self, run, scenario, choice, SAYS[choice]):
                self._answered_scenarios.add(asked)
        if test.is_closed and choice == "Fail":
            self._corrects(patch)
        elif test.is_closed and not self.silent_vos and not self._certified:
            self._certified = True
            self.tell(f"The certification ends: patch {patch.number} is Certified in the tracker")
            self.services.tracker.set_state(patch.number, PatchState.CERTIFIED, "Certification is complete.")

    def _start_test(self, patch: Patch) -> None:
        name = self.services.facts.next_name("pre-deployment", patch.number)
        run = self.people.client("pps-coordinator").trigger(deployment.DAG, {"patch": patch.number})
        self.tell(f"The PPS Coordinator starts {deployment.DAG} by REST: run {run}")
        self._tests.append((name, run))

    def _corrects(self, patch: Patch) -> None:
        """The provider finds the ticket, corrects its notes at the desk, and the test is made again."""
        tickets = self._tickets(patch, FactKind.TICKET_OPENED)
        if not tickets:
            return  # it is opened at the end of the test's run
        self._ticket = str(tickets[0].payload["page"])
        self.tell(f"The provider reads its trouble ticket: {self._ticket}")
        self._document["release_notes"] += CORRECTION
        self._submit(self._document)
        self._start_test(patch)

    def _tickets(self, patch: Patch, kind: FactKind) -> list[Fact]:
        return [f for f in self.services.facts.dossier(patch.number).facts if f.kind is kind]

    # --- afterwards ---

    def _look(self, record: Rollout, state: str, patch: Patch) -> DemoSummary:
        summary = DemoSummary(record.name, state)
        self._look_at_the_desk(summary)
        self._look_at_the_ticket(patch, summary)
        looks.in_production(self, summary, patch, tarball=True)
        self._look_at_the_quality_page(record, patch, summary)
        looks.mails(self, summary, looks.told_of_a_preview(self.services.config, patch))
        looks.places(self, summary, "production repository")
        summary.done = (
            "the release was refused with its three faults, taken when they were mended, failed at one scenario, got a "
            "ticket, was corrected and released; its quality page says exactly that."
        )
        return summary

    def _look_at_the_desk(self, summary: DemoSummary) -> None:
        first, *later = self._sent
        codes = {f["code"] for f in _faults(first)}
        summary.expect(codes == set(THREE_FAULTS), f"The first look should find {THREE_FAULTS}; it found {codes}.")
        summary.expect(
            [f["state"] for f in (first, *later)] == [LookState.REFUSED, LookState.ENTERED, LookState.ENTERED],
            f"The looks ended {[f['state'] for f in self._sent]}.",
        )
        rows = [
            {"look": str(found["look"]), "state": found["state"], "code": f["code"], "sentence": f["sentence"]}
            for found in self._sent
            for f in _faults(found) or [{"code": "-", "sentence": found["sentence"]}]
        ]
        columns = {"look": "look", "state": "ended", "code": "fault", "sentence": "in words"}
        summary.tables.append(Table("looks", "At the provider's desk", columns, rows))

    def _look_at_the_ticket(self, patch: Patch, summary: DemoSummary) -> None:
        opened = self._tickets(patch, FactKind.TICKET_OPENED)
        closed = self._tickets(patch, FactKind.TICKET_CLOSED)
        summary.expect(len(opened) == 1, f"{len(opened)} tickets were opened, not one.")
        same = {f.subject for f in opened} == {f.subject for f in closed}
        summary.expect(same, "The ticket is still open, although what failed has passed since.")
        if self._ticket:
            # its page is for whoever has signed in to the tracker; a program signs in like this
            connection = urlsplit(Path(self.installation.grid["tracker_connection_file"]).read_text().strip())
            root, _, name = self._ticket.rpartition("/")
            data = f"{root}/rest/data/ticket/{name.removeprefix('ticket')}"
            account = (unquote(connection.username or ""), unquote(connection.password or ""))
            page = requests.get(data, auth=account, timeout=10)
            there = page.ok and f"patch {patch.number}" in page.text
            summary.expect(there, f"{self._ticket} does not show the ticket (HTTP {page.status_code}).")
            strangers = requests.get(self._ticket, timeout=10).text
            summary.expect(f"patch {patch.number}" not in strangers, f"{self._ticket} shows the ticket to strangers.")
            summary.texts["Its trouble ticket"] = self._ticket

    def _look_at_the_quality_page(self, record: Rollout, patch: Patch, summary: DemoSummary) -> None:
        """Every number that this history has, counted here once more."""
        answer = self.people.client(USER).request("GET", f"{_API}/quality/{PRODUCT}/releases/{patch.number}")
        if not answer.ok:
            summary.problems.append(f"The quality page answers HTTP {answer.status_code}.")
            return
        found = answer.json()["values"]
        progress = [p for p in record.all_progress() if p.state is not SiteState.LEFT_OUT]
        reached = sum(looks.has(record, FactKind.TAG_SEEN, p.site) for p in progress)
        ended = {
            (test.name, s.name): result
            for test in (self.record(name) for name, _ in self._tests)
            for s in planned_scenarios(test)
            if (result := scenario_result(test, s.name)) in (ScenarioResult.PASS, ScenarioResult.FAIL)
        }
        invited = sum(f.kind is FactKind.VO_INVITED for f in record.facts)
        passed = sum(result is ScenarioResult.PASS for result in ended.values())
        counted: dict[str, tuple[int, int | None]] = {
            "sites-reached": (reached, len(progress)),
            "scenarios-passed": (passed, len(ended)),
            "feedback-rate": (len(self.answers), invited),
            "withdrawn-previews": (0, 1),
        }
        for key, expected in counted.items():
            said = (found[key]["part"], found[key]["whole"])
            summary.expect(said == expected, f"{key}: the quality page says {said}, it was {expected}.")
        for key in ("time-to-preview", "time-to-production"):
            summary.expect(found[key]["number"] is not None, f"{key}: the quality page has no number.")
        rows = [{"measure": key, "words": v["words"]} for key, v in found.items() if v["number"] is not None]
        summary.tables.append(Table("quality", "Its quality", {"measure": "measure", "words": "number"}, rows))


#: What the first submission gets wrong.
THREE_FAULTS = ("missing", "no-notes", "depends-on")


def _with_three_faults(document: Mapping[str, Any]) -> dict[str, Any]:
    first, *others = document["packages"]
    return {
        **document,
        "packages": [{**first, "version": f"{first['version']}.1"}, *others],
        "release_notes": "",
        "depends_on": [UNKNOWN_PATCH],
    }


def _faults(release: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [f for f in release["findings"] if f["weight"] == "fault"]
