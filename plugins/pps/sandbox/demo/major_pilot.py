"""SD 4.1.3 on the sandbox: a major update in two rounds, each with another VO, as in CREAM's pilot of 2008."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import ClassVar

from pps.activities.pilots import wrap_up
from pps.activities.pilots.meetings import KICK_OFF, WRAP_UP
from pps.domain.packages.patch import Bug, Patch, Severity
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.sandbox.airflow.configuration import ROLE_CONTACTS, VOS
from pps.sandbox.demo import looks, pilot_looks
from pps.sandbox.demo import pilot_ends as ends
from pps.sandbox.demo.pilot import ACCEPT, BUG, PROVIDER, Answers, PilotDemo, agree, select
from pps.sandbox.demo.play import DemoSummary, Table
from pps.sandbox.grid.smtp import kept_mails
from pps.sandbox.provider.packages import ProviderPackages
from pps.sandbox.provider.service_packages import CONFIGURATION, FILE, PARAMETER
from pps.workflow.paths import dag_of

NUMBER, VERSION = 4752, "3.2.0"
FIRST_VO, SECOND_VO = "cms", "atlas"
SCOPE = "Analysis jobs that wait for a day and longer: are their proxies renewed in time?"
IN_JDL = "Jobs can select the site in the JDL."
WHY_AGAIN = (
    f"Five minutes are too short for long queues: {PARAMETER} becomes 1800, and ATLAS tries it with its own jobs."
)
CHANGED = f"{PARAMETER} = 1800 in {FILE}, as agreed at the wrap-up; the manager is restarted."
ENOUGH = "No proxy has run out since the change, and the committed VO is content."
GUIDELINES = f"Set {PARAMETER} to 1800 at least where jobs wait for hours."

_NOTES = """\
The manager renews the proxies of waiting jobs by itself.

- Jobs that wait for longer than their proxy lasts do not fail any more.
- Jobs that wait when the manager ends are taken up again when it starts.
"""
_MORE_BUGS = (
    Bug(30187, "Proxies of waiting jobs run out", Severity.MAJOR, "cms-data-transfers@example.org"),
    Bug(30190, "Renewal fails behind a proxy server", Severity.MAJOR, "atlas-software@example.org"),
)


class MajorPilotDemo(PilotDemo):
    """A VO asks and reports a problem; the wrap-up prolongs; another VO is content; the release."""

    dag: ClassVar[str] = dag_of(RolloutPath.MAJOR_PILOT)
    asks: ClassVar[str] = "vo-representative"
    version: ClassVar[str] = VERSION
    new_parameter: ClassVar[bool] = True
    answers: ClassVar[Mapping[str, tuple[str, str]]] = {
        FIRST_VO: ("problem", "Proxies of jobs that wait for more than a day still run out now and then."),
        SECOND_VO: ("works", "A million jobs in three days, some of them waiting for two; not one proxy has run out."),
    }
    report: ClassVar[Mapping[str, str]] = {
        "resources": "200 MB of memory more than before, CPU as before.",
        "stability": "No restart but the agreed one.",
    }

    def offer(self, provided: ProviderPackages) -> Patch:
        """Two major bugs and a new parameter: major. What exists goes on working: backward compatible."""
        return self.publish_server(
            provided,
            NUMBER,
            title=f"glite-WMS {VERSION}: proxies of waiting jobs are renewed",
            release_notes=_NOTES,
            special_configuration=CONFIGURATION,
            bugs=(BUG, *_MORE_BUGS),
            component_parameters=(f"{FILE}:{PARAMETER}",),
            programming_ph=80,
        )

    # --- the run ---

    def run(self, patch: Patch) -> DemoSummary:
        """See `Demo`."""
        test = self.services.facts.next_name("pre-deployment", patch.number)
        states: dict[str, str] = {}
        name = self.request(patch, SCOPE, vo=FIRST_VO)  # a run has the name of its round
        while name:
            self.tell(f"Round {len(states) + 1} is {name}")
            states[name] = self.follow(self.dag, name, [name, test], partial(self._play, name))
            name = self._next_round(name)
        rounds = [self.record(name) for name in states]
        summary = self._look(rounds, self.record(test), list(states.values())[-1], patch)
        for name, state in states.items():
            if state != "success":
                summary.problems.append(f"The run {name} ended {state!r}: {self.failures(self.dag, name)}.")
        return summary

    def _next_round(self, name: str) -> str:
        """The next round, which Airflow has started at the end of this one; "" if this was the last."""
        closed = self.record(name).the(FactKind.ROLLOUT_CLOSED)
        return str(closed.payload.get("next", "")) if closed else ""

    def decisions(self, record: Rollout) -> Answers:
        """See `PilotDemo`."""
        prolong = {"reason": WHY_AGAIN, "prolong_for": "1h"}
        if Pilot(record).round == 1:
            return {
                **ACCEPT,
                **select(self.site),
                **agree(vos=FIRST_VO, run_for="8s", feedback_within="2m", requirements=IN_JDL),
                "decide_at_wrap_up": (wrap_up.PROLONG_IT, prolong),
            }
        return {
            **agree(vos=SECOND_VO, feedback_within="2m", requirements=IN_JDL),
            "decide_at_wrap_up": (wrap_up.RELEASE_IT, {"guidelines": GUIDELINES}),
        }

    def _play(self, name: str) -> None:
        self.play_round(name)
        record = self.record(name)
        if not record.has(FactKind.KICK_OFF_AGREED):
            return
        if Pilot(record).round > 1 and self.once(name, "change"):
            self.log(name, CHANGED, call_expert=True)
        for vo in self.silent_vos:
            if looks.has(record, FactKind.VO_INVITED, vo):
                self.vo_answers(vo)
        content = looks.has(record, FactKind.FEEDBACK_GIVEN, SECOND_VO)
        if content and not record.has(FactKind.RUN_ENDED) and self.once(name, "success"):
            self.declare_success(name, ENOUGH)

    # --- afterwards ---

    def _look(self, rounds: list[Rollout], test: Rollout, state: str, patch: Patch) -> DemoSummary:
        summary = DemoSummary(rounds[-1].name, state)
        pilot_looks.service(self, summary)
        if len(rounds) != 2:
            summary.problems.append(f"There should have been two rounds, not {len(rounds)}.")
            return summary
        first, second = rounds
        pilot_looks.mirror(self, summary, first)
        self._look_at_rounds(first, second, summary)
        released = ends.look_at_test(self, summary, test)
        self._look_at_mails(first, second, summary)
        words = [text for _, text in self.answers.values()]
        told = (*words, WHY_AGAIN, GUIDELINES, "In round 1", f"{FILE}:{PARAMETER}", "major update, backward", test.name)
        text = pilot_looks.notes(self, summary, second, told)
        summary.expect("NO FEEDBACK" not in text, "The notes say that nobody has answered.")
        earned = {
            first.name: (pilot_looks.FIRST_ROUND, (FIRST_VO,)),
            second.name: (pilot_looks.EVERY_ROUND, (SECOND_VO,)),
        }
        pilot_looks.credits(self, summary, earned)
        ends.look_at_the_end(self, summary, second, patch, released=released)
        end = "the release is in production" if released else "the release was held back, as it must be"
        summary.done = (
            f"{FIRST_VO} reported a problem in the first round, the wrap-up prolonged the pilot with a reason, "
            f"{self.site} changed its configuration, {SECOND_VO} was content in the second round; the release notes "
            f"hold the words of both, nobody got a mail twice, everybody has their credits, and {end}."
        )
        return summary

    def _look_at_rounds(self, first: Rollout, second: Rollout, summary: DemoSummary) -> None:
        ends.outcome_is(summary, first, "prolonged")
        wanted = ((first, FIRST_VO, "expired", "prolong"), (second, SECOND_VO, "success", "release"))
        rows = []
        for record, vo, ended, decision in wanted:
            pilot = Pilot(record)
            invited = {f.subject for f in record.facts if f.kind is FactKind.VO_INVITED}
            summary.expect(invited == {vo}, f"{record.name} has invited {sorted(invited)}, not {vo}.")
            words = {f.subject: f.payload for f in record.facts if f.kind is FactKind.FEEDBACK_GIVEN}
            opinion, text = self.answers[vo]
            said = words.get(vo, {})
            so = (said.get("opinion"), said.get("text"), said.get("invited")) == (opinion, text, True)
            summary.expect(so and set(words) == {vo}, f"In {record.name} the VOs should have said {text!r}.")
            run, wrapped = record.the(FactKind.RUN_ENDED), record.the(FactKind.WRAPPED_UP)
            outcome = str(run.payload["outcome"]) if run else "none"
            summary.expect(outcome == ended, f"The run of {record.name} ended {outcome!r}, not {ended!r}.")
            decided = str(wrapped.payload["decision"]) if wrapped else "none"
            summary.expect(decided == decision, f"{record.name} was wrapped up with {decided!r}, not {decision!r}.")
            lasted = (pilot.run_ended_at - pilot.running_since) if pilot.run_ended_at and pilot.running_since else None
            rows.append(
                {
                    "round": str(pilot.round),
                    "vo": vo,
                    "ran": f"{(lasted or timedelta()).total_seconds():.0f} s, {outcome}",
                    "says": f"{opinion}: {text}",
                    "decision": f"{decided}. {wrapped.payload['reason'] if wrapped else ''}".strip(),
                }
            )
        columns = {"round": "round", "vo": "VO", "ran": "ran", "says": "says", "decision": "decision"}
        summary.tables.append(Table("rounds", "Rounds", columns, rows))
        again = [f for f in second.facts if f.kind is FactKind.QUESTION_ASKED and f.occasion == "pilot-set-up"]
        summary.expect(not again, f"{self.site} was asked to set the service up once more.")
        for record in (first, second):
            told = [e.text for e in pilot_looks.journal(self, summary, record, f"Journal of {record.name}")]
            pilot_looks.report(self, summary, record)
        summary.expect(CHANGED in told, f"The journal of {second.name} does not say {CHANGED!r}.")
        shown = self.read.get(f"{first.name}/decide_at_wrap_up", "")
        for what in ("Against a release", self.answers[FIRST_VO][1].rstrip(".")):
            summary.expect(what in shown, f"The wrap-up of {first.name} was not shown {what!r}.")

    def _look_at_mails(self, first: Rollout, second: Rollout, summary: DemoSummary) -> None:
        config = self.services.config
        contact = config.site(self.site).contact
        always = {contact, PROVIDER, ROLE_CONTACTS["PPS Coordinator"], ROLE_CONTACTS["Release Manager"]}
        for record, asks, vo in ((first, FIRST_VO, FIRST_VO), (second, FIRST_VO, SECOND_VO)):
            calendars = {KICK_OFF: always | {VOS[asks]}, WRAP_UP: always | {VOS[vo]}}
            pilot_looks.meetings(self, summary, record, calendars)
        looks.mails(self, summary, {*always, *VOS.values(), config.service.reply_to})
        pilot_looks.no_mail_twice(self, summary)
        looks.mail_to(self, summary, VOS[FIRST_VO], "Accepted: pilot")
        looks.mail_to(self, summary, PROVIDER, CHANGED[:40])
        for address in VOS.values():
            asked = [m for m in kept_mails(self.mails, to=address) if "want to take part" in m.subject]
            summary.expect(len(asked) == 1, f"{address} was asked {len(asked)} times whether it takes part.")
        for vo in (FIRST_VO, SECOND_VO):
            invited = [m for m in kept_mails(self.mails, to=VOS[vo]) if "please use it" in m.subject]
            summary.expect(len(invited) == 1, f"{vo} was invited {len(invited)} times to use the service.")
        prolonged = looks.mail_to(self, summary, VOS[FIRST_VO], f"Pilot prolonged: glite-WMS {VERSION}")
        said = " ".join(prolonged.replace("\n> ", "\n").split())
        summary.expect(WHY_AGAIN in said, f"{FIRST_VO} was not told why the pilot goes on.")
