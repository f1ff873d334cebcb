"""A pilot in legal and illegal orders of its facts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.support.histories import NOON, History
from tests.support.thoroughness import examples

from pps.domain.base.errors import NotYetAllowedError
from pps.domain.pilots import rules as pilot_rules
from pps.domain.pilots.credits import credits_due
from pps.domain.pilots.pilot import (
    ACCEPTANCE,
    ACCEPTED,
    REPORT,
    SELECTION,
    Pilot,
    RunOutcome,
    Stage,
)
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout

WEEK = timedelta(weeks=1)
SITES = ("PIC", "CNAF")
HOURS = st.integers(0, 200)


class Orders(RuleBasedStateMachine):
    """Whatever is tried in whatever order, the rules let only legal histories arise."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History("major-pilot-4711-1")
        self.history.facts.clear()
        self.now = NOON
        self.then(
            FactKind.ROLLOUT_OPENED,
            path="major-pilot",
            patch=4711,
            compatibility="bc",
            certified=True,
            justification="",
        )
        self.stages = [self.pilot.stage]

    @property
    def pilot(self) -> Pilot:
        return Pilot(self.history.rollout)

    def then(self, kind: FactKind, subject: str = "", occasion: str = "", **payload: object) -> None:
        self.history.then(kind, subject, occasion, self.now, **payload)

    def allowed(self, ask: object, *arguments: object) -> bool:
        try:
            ask(*arguments)  # type: ignore[operator]
        except NotYetAllowedError as error:
            assert error.why
            assert error.next_step
            return False
        return True

    @rule(hours=HOURS)
    def time_goes_by(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @precondition(lambda self: self.pilot.acceptance is None)
    @rule()
    def accept(self) -> None:
        self.then(FactKind.DECIDED, "", ACCEPTANCE, decision=ACCEPTED, reason="", user="carla")

    @rule(sites=st.lists(st.sampled_from(SITES), unique=True))
    def rank(self, sites: list[str]) -> None:
        if self.allowed(pilot_rules.must_be_accepted, self.pilot) and self.pilot.agreement is None:
            self.then(FactKind.CANDIDATES_RANKED, candidates=[{"site": s} for s in sites], excluded={})

    @rule(missing=st.sampled_from([[], ["installation"]]))
    def check_documentation(self, missing: list[str]) -> None:
        self.then(FactKind.DOCUMENTATION_CHECKED, missing=missing)

    @rule(sites=st.lists(st.sampled_from(SITES), unique=True))
    def select(self, sites: list[str]) -> None:
        if self.allowed(pilot_rules.may_select, self.pilot, sites):
            self.then(FactKind.SITES_SELECTED, sites=sites)

    @rule(vos=st.lists(st.sampled_from(["atlas", "cms"]), unique=True))
    def kick_off(self, vos: list[str]) -> None:
        if self.allowed(pilot_rules.may_kick_off, self.pilot):
            until = (self.now + WEEK).isoformat()
            run_for = (2 * WEEK).total_seconds()
            self.then(FactKind.KICK_OFF_AGREED, set_up_until=until, run_for_s=run_for, feedback_until=until, vos=vos)

    @rule(site=st.sampled_from(SITES))
    def set_up(self, site: str) -> None:
        if self.allowed(pilot_rules.may_set_up, self.pilot, site):
            assert self.pilot.agreement
            self.then(FactKind.SERVICE_SET_UP, site, str(len(self.history.facts)))

    @rule(site=st.sampled_from(SITES))
    def leave_out(self, site: str) -> None:
        if site in self.pilot.awaited and self.pilot.agreement:
            self.then(FactKind.SITE_LEFT_OUT, site, reason="Late.")

    @rule(site=st.sampled_from(SITES))
    def roll_back(self, site: str) -> None:
        if site in self.pilot.serving:
            self.then(FactKind.SERVICE_ROLLED_BACK, site, str(len(self.history.facts)), reason="Jobs are lost.")

    @rule(outcome=st.sampled_from(RunOutcome))
    def end_run(self, outcome: RunOutcome) -> None:
        before = self.pilot
        if before.run_ended_at is None and self.allowed(pilot_rules.may_end_run, before, outcome, self.now):
            if outcome is RunOutcome.EXPIRED:
                assert self.now >= before.runs_until
            if outcome in (RunOutcome.ROLLED_BACK, RunOutcome.NOT_SET_UP):
                assert not before.serving
            if outcome is RunOutcome.SUCCESS:
                assert before.serving
            self.then(FactKind.RUN_ENDED, outcome=outcome)

    @rule(site=st.sampled_from(SITES))
    def report(self, site: str) -> None:
        if self.allowed(pilot_rules.may_report, self.pilot, site):
            self.then(FactKind.REPORT_WRITTEN, site)

    @rule()
    def wrap_up(self) -> None:
        if self.allowed(pilot_rules.may_wrap_up, self.pilot):
            assert not self.pilot.missing_reports
            self.then(FactKind.WRAPPED_UP, decision="release")
            self.then(FactKind.ROLLOUT_CLOSED, outcome="release")

    @invariant()
    def a_run_has_all_that_comes_before_it(self) -> None:
        pilot = self.pilot
        if pilot.running_since is not None:
            assert pilot.is_accepted
            assert pilot.agreement
            assert not pilot.awaited
            assert set(pilot.serving) <= set(pilot.selected)
            assert pilot.runs_until == pilot.running_since + 2 * WEEK

    @invariant()
    def an_end_stays_an_end(self) -> None:
        pilot = self.pilot
        if pilot.record.is_closed:
            assert pilot.stage is Stage.CLOSED
            assert not self.allowed(pilot_rules.must_be_accepted, pilot)
            assert not any(self.allowed(pilot_rules.may_set_up, pilot, site) for site in SITES)
        elif pilot.run_ended_at is not None:
            assert pilot.stage is Stage.WRAP_UP
            assert not any(self.allowed(pilot_rules.may_set_up, pilot, site) for site in SITES)

    @invariant()
    def each_credit_is_earned_once_and_none_is_lost_again(self) -> None:
        now = {(d.activity, d.who, d.occasion) for d in credits_due(self.pilot, self.now)}
        assert len(now) == len(credits_due(self.pilot, self.now))
        setups = {f.subject for f in self.history.facts if f.kind is FactKind.SERVICE_SET_UP}
        assert {who for activity, who, _ in now if activity == "pilot-setup"} == setups


Orders.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40)
TestOrders = Orders.TestCase


def test_another_record_is_no_pilot() -> None:
    with pytest.raises(NotYetAllowedError, match="no pilot"):
        Pilot(History().rollout)


def opened(certified: bool = True, justification: str = "") -> History:
    history = History("minor-pilot-4711-1")
    history.facts.clear()
    opening = {"path": "minor-pilot", "patch": 4711, "compatibility": "non-bc"}
    history.then(FactKind.ROLLOUT_OPENED, certified=certified, justification=justification, **opening)
    return history


def agreed(history: History) -> History:
    until = (NOON + WEEK).isoformat()
    history.then(FactKind.DECIDED, "", ACCEPTANCE, decision=ACCEPTED)
    history.then(FactKind.SITES_SELECTED, sites=list(SITES))
    return history.then(FactKind.KICK_OFF_AGREED, set_up_until=until, run_for_s=60, feedback_until=until, vos=[])


def test_software_that_is_not_certified_is_used_when_those_concerned_have_said_why() -> None:
    history = agreed(opened(certified=False, justification="The VO needs it."))
    pilot_rules.may_use(Pilot(history.rollout), certified=True)
    with pytest.raises(NotYetAllowedError, match="not certified"):  # who asks for it does not decide on it
        pilot_rules.may_use(Pilot(history.rollout), certified=False)
    history.then(FactKind.DECIDED, "", "non-certified-software", decision="allowed", reason="The VO needs it.")
    pilot_rules.may_use(Pilot(history.rollout), certified=False)


def test_a_site_that_sets_it_up_again_moves_no_date() -> None:
    history = agreed(opened()).then(FactKind.SERVICE_SET_UP, "PIC").then(FactKind.SERVICE_SET_UP, "CNAF")
    before = Pilot(history.rollout).runs_until
    history.then(FactKind.SERVICE_ROLLED_BACK, "CNAF", reason="x").then(FactKind.SERVICE_SET_UP, "CNAF", "again")
    assert Pilot(history.rollout).runs_until == before
    assert Pilot(history.rollout).serving == SITES


def test_a_roll_back_ends_the_service_and_the_site_s_part_in_the_round() -> None:
    history = agreed(opened()).then(FactKind.SERVICE_SET_UP, "PIC").then(FactKind.SERVICE_SET_UP, "CNAF")
    pilot_rules.may_set_up(Pilot(history.rollout), "CNAF")
    history.then(FactKind.SERVICE_ROLLED_BACK, "CNAF", reason="x")
    pilot = Pilot(history.rollout)
    assert pilot.first_set_up("CNAF") is not None
    assert pilot.service_at("CNAF") is None
    assert (pilot.serving, pilot.served) == (("PIC",), ("PIC", "CNAF"))
    with pytest.raises(NotYetAllowedError, match="its part in this round has ended"):
        pilot_rules.may_set_up(pilot, "CNAF")


def test_a_site_that_is_left_out_is_not_waited_for_and_may_come_late() -> None:
    history = agreed(opened()).then(FactKind.SERVICE_SET_UP, "PIC").then(FactKind.SITE_LEFT_OUT, "CNAF", reason="x")
    assert Pilot(history.rollout).stage is Stage.RUNNING
    history.then(FactKind.SERVICE_SET_UP, "CNAF")
    assert Pilot(history.rollout).sites == SITES


def test_the_run_is_over_at_the_very_instant_that_was_agreed_or_when_no_site_runs_it() -> None:
    history = agreed(opened())
    for site in SITES:
        history.then(FactKind.SERVICE_SET_UP, site)
    pilot = Pilot(history.rollout)
    assert not pilot.run_is_over(pilot.runs_until - timedelta(microseconds=1))
    assert pilot.run_is_over(pilot.runs_until)
    for site in SITES:
        history.then(FactKind.SERVICE_ROLLED_BACK, site, reason="x")
    assert Pilot(history.rollout).run_is_over(NOON)


def test_a_site_whose_time_for_its_report_is_up_is_not_waited_for() -> None:
    history = agreed(opened())
    for site in SITES:
        history.then(FactKind.SERVICE_SET_UP, site)
    history.then(FactKind.RUN_ENDED, outcome=RunOutcome.SUCCESS).then(FactKind.REPORT_WRITTEN, "PIC")
    history.then(FactKind.QUESTION_EXPIRED, "CNAF", REPORT)
    pilot_rules.may_wrap_up(Pilot(history.rollout))
    assert Pilot(history.rollout).missing_reports == ("CNAF",)


def test_before_anything_is_agreed_there_are_no_dates() -> None:
    pilot = Pilot(Rollout("minor-pilot-4711-1", tuple(opened().facts)))
    assert (pilot.agreement, pilot.running_since, pilot.runs_until, pilot.run_ended_at) == (None, None, None, None)
    assert pilot.level == "Platinum"


def test_the_names_of_steps_are_those_that_facts_and_waiting_tasks_hold() -> None:
    assert (ACCEPTANCE, SELECTION, REPORT) == ("pilot-acceptance", "pilot-selection", "post-mortem")
    assert [outcome.value for outcome in RunOutcome] == ["expired", "success", "rolled back", "not set up"]
