"""SD 4.1.3 on the sandbox: a minor update of a service, run in production at a Gold site, with no VO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pps.activities.pilots import wrap_up
from pps.activities.pilots.meetings import KICK_OFF, WRAP_UP
from pps.domain.packages.patch import Patch
from pps.domain.pilots.looks import outages, samples
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.sandbox.airflow.configuration import ROLE_CONTACTS
from pps.sandbox.demo import looks, pilot_looks
from pps.sandbox.demo import pilot_ends as ends
from pps.sandbox.demo.pilot import ACCEPT, PROVIDER, Answers, PilotDemo, agree, select
from pps.sandbox.demo.play import DemoSummary
from pps.sandbox.grid.pilot_service import ServiceAction
from pps.sandbox.grid.smtp import kept_mails
from pps.sandbox.provider.packages import ProviderPackages
from pps.workflow.paths import dag_of

NUMBER, VERSION = 4751, "3.1.24"
RUNS_FOR = "35s"  # so that an outage is noticed, becomes an incident and passes on a busy machine as well
SCOPE = "Run it as production does, and see that no job stays in state Waiting after a restart."
CHANGED = "Purging runs every six hours now, not once a day: the disk was filling up."
REASON = "The outage was a power cut in the machine room of the site; the update had no part in it."
GUIDELINES = "Stop the manager before the upgrade: it writes its queue when it ends."


class MinorPilotDemo(PilotDemo):
    """Request of the EMT, one Gold site, an outage that passes, the decision, the release."""

    dag: ClassVar[str] = dag_of(RolloutPath.MINOR_PILOT)
    asks: ClassVar[str] = "emt"
    version: ClassVar[str] = VERSION
    report: ClassVar[Mapping[str, str]] = {
        "resources": "Memory as before; the disk stays below 60 %.",
        "stability": "It came back by itself after the power cut, with all its jobs.",
    }

    def offer(self, provided: ProviderPackages) -> Patch:
        """One normal bug, eight hours of programming, no new parameter: minor."""
        return self.publish_server(
            provided,
            NUMBER,
            title=f"glite-WMS {VERSION}: jobs survive a restart",
            release_notes="Jobs that wait when the manager ends are taken up again when it starts.\n",
        )

    # --- the run ---

    def run(self, patch: Patch) -> DemoSummary:
        """See `Demo`."""
        test = self.services.facts.next_name("pre-deployment", patch.number)
        name = self.request(patch, SCOPE)  # the run has the pilot's name

        def play() -> None:
            self.play_round(name)
            self._at_the_site(self.record(name))

        state = self.follow(self.dag, name, [name, test], play)
        summary = self._look(self.record(name), self.record(test), state, patch)
        if state != "success":
            summary.problems.append(f"The run ended {state!r}: {self.failures(self.dag, name)}.")
        return summary

    def decisions(self, record: Rollout) -> Answers:
        """See `PilotDemo`. It was down for a while, so the Coordinator has to say why it is released all the same."""
        decided = {"reason": REASON, "guidelines": GUIDELINES}
        return {
            **ACCEPT,
            **select(self.site),
            **agree(run_for=RUNS_FOR, requirements="Tell the coordination of every change."),
            "decide_at_wrap_up": (wrap_up.RELEASE_IT, decided),
        }

    def _at_the_site(self, record: Rollout) -> None:
        """A change, then a power cut: it lasts until it is an incident, then the service is back."""
        if not self.is_set_up(record):
            return
        if self.once(record.name, "outage"):
            self.log(record.name, CHANGED, call_expert=True)
            self.control.act_on_service(self.site, ServiceAction.STOP)
            self.tell(f"A power cut at {self.site}: its service no longer answers")
        if incidents(record) and self.once(record.name, "back"):
            self.control.act_on_service(self.site, ServiceAction.START)
            self.tell(f"{self.site} has power again, and starts its service")

    # --- afterwards ---

    def _look(self, record: Rollout, test: Rollout, state: str, patch: Patch) -> DemoSummary:
        summary = DemoSummary(record.name, state)
        pilot_looks.service(self, summary)
        pilot_looks.mirror(self, summary, record)
        self._look_at_the_incident(record, summary)
        released = ends.look_at_test(self, summary, test)
        self._look_at_mails(record, summary)
        told = ("kept internal to the service infrastructure", "minor update, backward compatible", REASON, GUIDELINES)
        text = pilot_looks.notes(self, summary, record, (*told, "Known problems", test.name))
        summary.expect("NO FEEDBACK" not in text, "The notes of a minor pilot speak of missing feedback.")
        pilot_looks.credits(self, summary, {record.name: (pilot_looks.FIRST_ROUND, ())})
        ends.look_at_the_end(self, summary, record, patch, released=released)
        end = "the release is in production" if released else "the release was held back, as it must be"
        summary.done = (
            f"{self.site} has run {patch.metapackage} {VERSION} in production; a power cut became an incident, passed, "
            f"and is in journal, report and release notes; no VO was asked, everybody has their credits, and {end}."
        )
        return summary

    def _look_at_the_incident(self, record: Rollout, summary: DemoSummary) -> None:
        entries = pilot_looks.journal(self, summary, record, f"Journal of {record.name}")
        told = [e.text for e in entries]
        summary.expect(CHANGED in told, f"The journal does not say {CHANGED!r}.")
        for what, found in (("begun", incidents(record)), ("ended", incidents(record, over=True))):
            summary.expect(len(found) == 1, f"{len(found)} incidents have {what} in the journal.")
        seen = outages(samples(record, self.site))
        passed = len(seen) == 1 and seen[0].ended is not None
        summary.expect(passed, f"The probes saw {len(seen)} outages, the last one without an end or none at all.")
        report = pilot_looks.report(self, summary, record)
        for what in ("(incident)", CHANGED):
            summary.expect(what in report, f"The report of {self.site} does not hold {what!r}.")
        contact = self.services.config.site(self.site).contact
        for address in (self.services.config.service.reply_to, contact):
            for about in ("Incident", "The incident of"):
                looks.mail_to(self, summary, address, f"{self.site}: {about}")
        looks.mail_to(self, summary, PROVIDER, CHANGED[:40])

    def _look_at_mails(self, record: Rollout, summary: DemoSummary) -> None:
        config = self.services.config
        contact = config.site(self.site).contact
        sites = {contact, PROVIDER, ROLE_CONTACTS["PPS Coordinator"], ROLE_CONTACTS["Release Manager"]}
        emt = ROLE_CONTACTS["EMT"]
        pilot_looks.meetings(self, summary, record, {KICK_OFF: sites, WRAP_UP: sites | {emt}})
        looks.mails(self, summary, sites | {emt, config.service.reply_to})
        pilot_looks.no_mail_twice(self, summary)
        looks.mail_to(self, summary, contact, "you run the pilot")
        looks.mail_to(self, summary, emt, "Accepted: pilot")
        looks.mail_to(self, summary, emt, "Pilot ")
        for vo in config.people.vos:
            others = [m.subject for m in kept_mails(self.mails, to=vo.contact) if not m.subject.startswith("In prod")]
            summary.expect(not others, f"{vo.name} was told of a minor pilot: {'; '.join(others)}.")


def incidents(record: Rollout, *, over: bool = False) -> list[str]:
    """What the journal says of incidents that have begun, or have ended."""
    begins = "The incident of" if over else "Incident:"
    entries = (str(f.payload["text"]) for f in record.facts if f.kind is FactKind.JOURNAL_ENTRY)
    return [text for text in entries if text.startswith(begins)]
