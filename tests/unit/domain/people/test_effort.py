"""Efforts are whole person hours, and every completed activity counts once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.histories import NOON, History
from tests.support.pilot_effort import pilot_effort

from pps.domain.base.errors import ConfigurationError, RefusedError
from pps.domain.people.effort import (
    Activity,
    Credit,
    Doer,
    EffortUnit,
    Grouping,
    credit_fact,
    credits_of,
    from_ph,
    iso_week_of,
    month_of,
    selected,
    to_ph,
    totals,
)
from pps.domain.record.facts import Fact, FactKind

SETUP = Activity("pilot-setup", "Set-up the pilot service", ("Gold Site",), 12, 12)
EXPERT = Activity("pilot-service-expert", "Support", ("Gold Site", "ITR", "Developers"), 16, 16, "week", "", "4.1.3")
RECORD = History().rollout


def credited(who: str = "PIC", occasion: str = "", activity: Activity = SETUP, **more) -> Fact:
    now, times = more.pop("now", NOON), more.pop("times", 1)
    return credit_fact(RECORD, activity, Doer(who, **more), occasion, now, "test", times=times)


@given(st.integers(0, 10**6), st.sampled_from(list(EffortUnit)))
def test_hours_shown_in_any_unit_are_the_same_hours(hours: int, unit: EffortUnit) -> None:
    assert to_ph(from_ph(hours, unit), unit) == hours


@pytest.mark.parametrize("amount", ["0.1", "0.0001", "-1", "NaN", "Infinity"])
def test_an_effort_that_is_no_whole_number_of_hours_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        to_ph(Decimal(amount), EffortUnit.PD)


def test_an_activity_whose_credits_are_not_its_hours_is_refused() -> None:
    with pytest.raises(ValueError, match="a credit is a person hour"):
        Activity("x", "x", ("ITR",), 8, 7)


def test_the_fact_names_who_what_where_and_how_much() -> None:
    fact = credited(site="PIC", roc="SWE", person="ada")
    assert (fact.kind, fact.subject, fact.occasion) == (FactKind.CREDITED, "PIC", "pilot-setup")
    assert fact.payload == {
        "activity": "pilot-setup",
        "credits": 12,
        "effort_ph": 12,
        "role": "Gold Site",
        "site": "PIC",
        "roc": "SWE",
        "person": "ada",
    }


def test_the_same_activity_credited_again_counts_once_whoever_repeats_it() -> None:
    first, again = credited(site="PIC", person="ada"), credited(site="PIC", person="bob", now=NOON + timedelta(days=1))
    assert (first.rollout, first.kind, first.subject, first.occasion) == (
        again.rollout,
        again.kind,
        again.subject,
        again.occasion,
    )
    (credit,) = credits_of([first, again])
    assert (credit.person, credit.credits) == ("ada", 12)


def test_another_occasion_another_site_and_another_record_count_again() -> None:
    other = credit_fact(History("bc-client-1-1").rollout, SETUP, Doer("PIC"), "", NOON, "test")
    assert len(credits_of([credited(), credited(occasion="2"), credited("CNAF"), other])) == 4


def test_weeks_credited_together_are_worth_their_sum() -> None:
    (credit,) = credits_of([credited("ada", "weeks-1-3", EXPERT, role="ITR", times=3)])
    assert (credit.credits, credit.effort_ph, credit.role) == (48, 48, "ITR")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"who": ""}, "Nobody is named"),
        ({"activity": EXPERT, "role": "VO"}, "VO has no part in it; it is done by Gold Site, ITR, Developers"),
        ({"times": 0}, "done 0 times"),
        ({"times": -3}, "done -3 times"),
    ],
)
def test_credits_for_nobody_or_nothing_are_refused(wrong: dict, says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        credited(**wrong)


def test_other_facts_earn_no_credits() -> None:
    history = History().planned(canary=["PIC"]).then(FactKind.PREVIEW_INSTALLED, "PIC")
    assert credits_of(history.facts) == ()


def test_a_sites_work_without_a_named_user_belongs_to_no_person() -> None:
    by_site, by_user = credits_of([credited(site="PIC"), credited("ada", "2")])
    assert (by_site.person, by_site.site) == ("", "PIC")
    assert (by_user.person, by_user.site) == ("ada", "")


def test_months_and_weeks_change_at_midnight_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert month_of(datetime(2026, 4, 1, 8, tzinfo=tokyo)) == "2026-03"
    assert iso_week_of(datetime(2027, 1, 1, tzinfo=UTC)) == "2026-W53"
    assert iso_week_of(datetime(2024, 12, 30, tzinfo=UTC)) == "2025-W01"


def test_a_period_holds_its_beginning_and_not_its_end() -> None:
    days = [credits_of([credited(now=NOON + timedelta(days=n), occasion=str(n))])[0] for n in range(3)]
    assert selected(days, since=NOON, until=NOON + timedelta(days=2)) == tuple(days[:2])
    assert selected(days, since=NOON + timedelta(days=1)) == tuple(days[1:])


_credits = st.builds(
    Credit,
    rollout=st.just("r"),
    activity=st.sampled_from(["a", "b"]),
    who=st.just("w"),
    person=st.sampled_from(["", "ada", "bob"]),
    site=st.sampled_from(["", "PIC", "CNAF"]),
    roc=st.sampled_from(["", "Italy", "SWE"]),
    role=st.just(""),
    credits=st.integers(0, 100),
    effort_ph=st.integers(0, 100),
    at=st.datetimes(timezones=st.just(UTC)),
)


@given(st.lists(_credits), st.sampled_from(list(Grouping)))
def test_adding_up_loses_no_credit_and_invents_none(credits: list[Credit], by: Grouping) -> None:
    sums = totals(credits, by)
    assert sum(t.credits for t in sums) == sum(c.credits for c in credits)
    assert sum(t.effort_ph for t in sums) == sum(c.effort_ph for c in credits)
    assert sum(t.times for t in sums) == len(credits)
    assert len({t.key for t in sums}) == len(sums)


@given(st.lists(_credits), st.sampled_from(list(Grouping)), st.randoms())
def test_totals_do_not_depend_on_the_order(credits: list[Credit], by: Grouping, dice) -> None:
    shuffled = list(credits)
    dice.shuffle(shuffled)
    assert totals(credits, by) == totals(shuffled, by)


@given(st.lists(_credits), st.datetimes(timezones=st.just(UTC)))
def test_two_periods_that_meet_share_the_credits_out(credits: list[Credit], middle: datetime) -> None:
    before, after = selected(credits, until=middle), selected(credits, since=middle)
    assert sorted(map(repr, before + after)) == sorted(map(repr, credits))


@given(st.integers(0, 500))
def test_a_longer_pilot_costs_only_more_support(weeks: int) -> None:
    activities = {a.key: a for a in (EXPERT, Activity("pilot-setup", "x", ("Gold Site",), 12, 12, "", "", "4.1.3"))}
    effort = pilot_effort(activities, weeks)
    assert (effort.gold_site_ph, effort.service_expert_ph, effort.coordination_ph) == (12, 16 * weeks, 0)


def test_a_pilot_without_an_expert_in_the_table_says_what_to_put_back() -> None:
    with pytest.raises(ConfigurationError, match="pilot-service-expert"):
        pilot_effort({}, 3)
    with pytest.raises(ValueError, match="-1 weeks"):
        pilot_effort({EXPERT.key: EXPERT}, -1)
