"""SD 4.2.3 on the sandbox: sites of regional pools try a certified update before it goes public."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from pps.activities.people.effort import credits_on_record
from pps.activities.quality.release_answers import results
from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.people import questions
from pps.domain.people.effort import Grouping, selected, totals
from pps.domain.quality.release_tests import ACCEPT, MANAGER, REJECT, RELEASE, STEP
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.sandbox.airflow.configuration import ROLE_CONTACTS, administrator_of
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo import looks
from pps.sandbox.demo.play import Demo, DemoSummary, Table, Tell
from pps.sandbox.provider.packages import ProviderPackages
from pps.workflow.paths import dag_of

DAG = dag_of(RolloutPath.RELEASE_TEST)
NUMBER, VERSION = 4741, "3.2.2"
APPLIED = "two worker nodes and a user interface"
REPORT = "Proxies of one VO are not renewed: its VOMS server still speaks the old protocol only."
LATE = "Applied to one worker node after our maintenance; no trouble since."
REASON = "That VOMS server is out of support, and its operators replace it this week; everybody else needs the fixes."

#: Where the question to a site says that the packages are.
_SOURCE = re.compile(r"deb \[signed-by=\S+\] (file://\S+) \S+ \S+")


@dataclass(frozen=True)
class ReleaseTestCast:
    """Who plays which part, by site."""

    accepts: str
    rejects: str
    is_late: str
    stays_silent: str


class ReleaseTestingDemo(Demo):
    """Four sites: one accepts, one rejects, one is late, one is silent; the Release Manager decides with a reason."""

    policies: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "release_test": {"answer_working_days": 0.0004},  # 35 s
    }

    def __init__(self, installation: Installation, tell: Tell, on_fact: Callable[[Fact], None]) -> None:
        super().__init__(installation, tell, on_fact)
        self._has_acted: set[str] = set()
        self._refusals: list[Mapping[str, str]] = []
        self._too_early: list[str] = []
        """what was in production before anybody had decided"""
        self._found = 0
        """packages at the address that a site was given"""
        self._read: str = ""
        """what the Release Manager read before the decision that counts"""

    @cached_property
    def pools(self) -> dict[str, tuple[str, ...]]:
        """Pools with four sites of the patch's platform, and one whose site runs another: it is left out."""
        sites, found, fitting = self.services.config.sites, {}, 0
        for pool in self.services.config.pools:
            fit = [name for name in pool.sites if sites[name].platform == self.platform]
            if (fit and fitting < len(ReleaseTestCast.__annotations__)) or not fit:
                found[pool.name] = pool.sites
                fitting += len(fit)
        return found

    @cached_property
    def cast(self) -> ReleaseTestCast:
        """The first sites of the pools that can take part; the silent one last."""
        sites = self.services.config.sites
        able = [name for names in self.pools.values() for name in names if sites[name].platform == self.platform]
        return ReleaseTestCast(*able[:4])

    def offer(self, provided: ProviderPackages) -> Patch:
        """A client update that has passed its certification."""
        patch = self.publish(provided, number=NUMBER, version=VERSION, title=f"glite-WN {VERSION}: proxy renewal fixes")
        self.services.tracker.set_state(patch.number, PatchState.CERTIFIED, "Certification is complete.")
        return self.services.tracker.patch(patch.number)

    # --- the run ---

    def run(self, patch: Patch) -> DemoSummary:
        """See `Demo`."""
        name = self.services.facts.next_name("release-test", patch.number)
        conf = {"patch": patch.number, "pools": list(self.pools)}
        run = self.people.client("release-manager").trigger(DAG, conf)
        self.tell(f"The Release Manager starts {DAG} for the pools {', '.join(self.pools)} by REST: run {run}")
        self.tell(f"At {self.cast.stays_silent} nobody is going to answer, at {self.cast.is_late} too late")
        state = self.follow(DAG, run, [name], lambda: self._play(run, self.record(name), patch))
        summary = self._look(self.record(name), state, patch)
        if state != "success":
            summary.problems.append(f"The run ended {state!r}: {self.failures(DAG, run)}.")
        return summary

    def _play(self, run: str, record: Rollout, patch: Patch) -> None:
        for site, act in ((self.cast.accepts, self._accepts), (self.cast.rejects, self._rejects)):
            if site not in self._has_acted and (question := self.people.question(DAG, run, site)) is not None:
                self._has_acted.add(site)
                act(question)
        late = self.cast.is_late
        if late not in self._has_acted and questions.has_expired(record, STEP, late):
            self._has_acted.add(late)
            self._comes_late(record)
        if (question := self.people.question(DAG, run, MANAGER)) is not None and late in self._has_acted:
            self._decides(question, patch)

    def _accepts(self, question: AirflowQuestion) -> None:
        """Others try to answer for the site and may not; its own people look where the question says."""
        site, form = self.cast.accepts, {"services": APPLIED, "report": None}
        self._refused("release-manager", question, ACCEPT, form, f"answer for {site}")
        self._refused(administrator_of(self.cast.rejects), question, ACCEPT, form, f"answer for {site}")
        told = _SOURCE.search(question.body)
        folder = Path(unquote(urlsplit(told[1]).path)) if told else Path("/nowhere")
        self._found = len({file.name for file in folder.rglob("*.deb")})
        self.tell(f"{site} finds {self._found} packages at the address in its question")
        self.people.answer(administrator_of(site), question, ACCEPT, form)
        self.tell(f"{site} answers: {ACCEPT}, applied to {APPLIED}")

    def _rejects(self, question: AirflowQuestion) -> None:
        site = self.cast.rejects
        self.people.answer(administrator_of(site), question, REJECT, {"services": "one CE", "report": REPORT})
        self.tell(f"{site} answers: {REJECT}. {REPORT}")

    def _comes_late(self, record: Rollout) -> None:
        """The door for late answers, since Airflow's form is closed; for its own site only."""
        site, place = self.cast.is_late, f"pps/api/v1/rollouts/{record.name}/answers"
        form = {"services": "one worker node", "report": LATE}
        body: dict[str, Any] = {"step": STEP, "subject": site, "choice": ACCEPT, "form": form}
        stranger = administrator_of(self.cast.accepts)
        refused = self.people.client(stranger).request("POST", place, json=body)
        self._note(stranger, f"answer late for {site}", "" if refused.ok else str(refused.json()["detail"]))
        said = self.people.client(administrator_of(site)).request("POST", place, json=body)
        counts = said.json().get("counts") if said.ok else "?"
        self.tell(
            f"{site} answers late, by the door for late answers: {ACCEPT}; HTTP {said.status_code}, counts: {counts}"
        )

    def _decides(self, question: AirflowQuestion, patch: Patch) -> None:
        """The Release Manager alone decides, and not against a rejection without a reason."""
        if "decision" not in self._has_acted:
            self._has_acted.add("decision")
            self._too_early = sorted(map(str, looks.fetched(self, patch, DemoSummary("", ""))))
            self._refused("pps-coordinator", question, RELEASE, {"reason": REASON}, "decide")
            self._refused("release-manager", question, RELEASE, {"reason": None}, "release it without a reason")
        elif not self._read:
            self._read = question.body
            self.people.answer("release-manager", question, RELEASE, {"reason": REASON})
            self.tell(f"The Release Manager reads all answers, the late one too, and decides: {RELEASE}. {REASON}")

    def _refused(
        self, user: str, question: AirflowQuestion, choice: str, form: Mapping[str, object], what: str
    ) -> None:
        self._note(user, what, self.people.refusal(user, question, choice, form))

    def _note(self, user: str, what: str, why: str) -> None:
        self._refusals.append({"who": user, "what": what, "why": why})
        self.tell(f"{user} tries to {what}: {f'refused. {why}' if why else 'NOT REFUSED'}")

    # --- afterwards ---

    def _look(self, record: Rollout, state: str, patch: Patch) -> DemoSummary:
        summary = DemoSummary(record.name, state)
        self._look_at_answers(record, summary)
        summary.expect(all(r["why"] for r in self._refusals), "Somebody could answer what they were not asked.")
        columns = {"who": "who", "what": "tries to", "why": "is told"}
        summary.tables.append(Table("refusals", "Refused", columns, self._refusals))
        delivered = self.production / "release-test" / record.name
        wanted = len({*patch.packages, *patch.externals})
        summary.expect(self._found == wanted, f"The sites found {self._found} of {wanted} packages at their address.")
        summary.expect(not self._too_early, f"In production before the decision: {', '.join(self._too_early)}.")
        for what in (REPORT, LATE, self.cast.stays_silent):
            summary.expect(what in self._read, f"The Release Manager could not read {what!r} before the decision.")
        self._look_at_the_decision(record, summary)
        self._look_at_credits(record, summary)
        config = self.services.config
        asked = {config.site(site).contact for site in astuple(self.cast)}
        told = {vo.contact for vo in config.people.vos} | {roc.contact for roc in config.people.rocs}
        looks.mails(self, summary, asked | told | {ROLE_CONTACTS[MANAGER]})
        looks.in_production(self, summary, patch, tarball=False)
        summary.places["for the pools' sites"] = delivered
        looks.places(self, summary, "production repository")
        summary.done = (
            f"{self.cast.accepts} accepted, {self.cast.rejects} rejected, {self.cast.is_late} was late, "
            f"{self.cast.stays_silent} silent; the Release Manager saw all of it and released the update with a "
            "reason, and it was public only then."
        )
        return summary

    def _look_at_answers(self, record: Rollout, summary: DemoSummary) -> None:
        found = results(record)
        wanted = {
            self.cast.accepts: (ACCEPT, ()),
            self.cast.rejects: (REJECT, ()),
            self.cast.is_late: (None, (ACCEPT,)),
            self.cast.stays_silent: (None, ()),
        }
        rows = []
        for said in found["sites"]:
            answer, others = said["answer"], said["without_effect"]
            is_so = (answer["choice"] if answer else None, tuple(o["choice"] for o in others))
            expected = wanted.get(said["site"])
            summary.expect(is_so == expected, f"{said['site']} should have said {expected}, and said {is_so}.")
            shown = answer or (others[0] if others else {})
            rows.append(
                {
                    "site": said["site"],
                    "pool": said["pool"],
                    "answer": shown.get("choice", "silent"),
                    "counts": "yes" if answer else "no: late" if others else "",
                    "says": shown.get("report") or shown.get("services") or "",
                }
            )
        for site, why in found["left_out"].items():
            rows.append({"site": site, "pool": "", "answer": "left out", "counts": "", "says": why})
        columns = {"site": "site", "pool": "pool", "answer": "answer", "counts": "counts", "says": "says"}
        summary.tables.append(Table("sites", "Sites of the pools", columns, rows))

    def _look_at_the_decision(self, record: Rollout, summary: DemoSummary) -> None:
        decided = results(record)["decision"]
        is_so = decided is not None and (decided.choice, decided.reason, decided.user) == (
            RELEASE,
            REASON,
            "release-manager",
        )
        summary.expect(is_so, f"The decision on record is {decided}.")
        closed = record.the(FactKind.ROLLOUT_CLOSED)
        outcome = closed.payload["outcome"] if closed else "none"
        summary.expect(outcome == "released", f"The outcome is {outcome!r}.")
        if decided is not None:
            row = {"who": decided.user, "what": decided.choice, "why": decided.reason}
            columns = {"who": "who", "what": "decision", "why": "reason"}
            summary.tables.append(Table("decision", "Decision", columns, [row]))

    def _look_at_credits(self, record: Rollout, summary: DemoSummary) -> None:
        """As `pps credits --by site` adds them up: whoever has applied the update, late or not, and nobody else."""
        earned = selected(credits_on_record(self.services.facts), activity="release-test")
        found = {total.key: total.credits for total in totals(earned, Grouping.SITE)}
        wanted = dict.fromkeys((self.cast.accepts, self.cast.rejects, self.cast.is_late), 1)
        summary.expect(found == wanted, f"The credits are {found}, not {wanted}.")
        rows = [{"site": site, "credits": str(number)} for site, number in found.items()]
        summary.tables.append(
            Table("credits", "Credits (pps credits --by site)", {"site": "site", "credits": "credits"}, rows)
        )
