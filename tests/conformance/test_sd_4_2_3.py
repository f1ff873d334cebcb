"""SD 4.2.3, release testing: every sentence of it that is a rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, SITES, sqlite_store
from tests.support.front import CONFIG
from tests.support.release_tests import CERTIFIED, LATE, POOLS, AReleaseTest

from pps.activities.quality import release_answers, release_testing
from pps.activities.release import decision as release_decision
from pps.config.loader import Configuration
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.working_days import due_after
from pps.domain.packages.patch import PatchState
from pps.domain.people.effort import credits_of
from pps.domain.quality.pools import Pool, contradictions
from pps.domain.quality.release_tests import ACCEPT, CANNOT, HOLD, REJECT, RELEASE, doubts, standings
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import Infrastructure

POLICY = Configuration(CONFIG).policies.release_test


@pytest.mark.sd("4.2.3")
def test_before_the_updates_are_released_to_the_public() -> None:
    """ "Before the middleware updates are released to the public, they are delivered to" the sites."""
    with pytest.raises(RefusedError, match="In production"):
        AReleaseTest(replace(CERTIFIED, state=PatchState.IN_PRODUCTION))
    test = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up()
    assert not test.record.has(FactKind.RELEASED_TO_PRODUCTION)
    with pytest.raises(NotYetAllowedError, match="nobody has decided"):
        release_decision.needed_decision(test.record)


@pytest.mark.sd("4.2.3")
def test_they_are_delivered_to_a_number_of_selected_production_sites() -> None:
    sites = SITES | {"PIC": replace(SITES["PIC"], infrastructure=Infrastructure.PPS)}
    taking_part, left_out = release_testing.division(CERTIFIED, POOLS, sites)
    assert taking_part == {"spain": ["IFIC-LCG2"], "italy": ["INFN-T1"]}
    assert left_out == {"PIC": ("PIC is not a production site (PPS).",)}


@pytest.mark.sd("4.2.3")
def test_sites_may_be_part_of_pools_at_regional_level() -> None:
    assert contradictions(POOLS, SITES) == ()
    abroad, twice = Pool("abroad", "Italy", ("LIP-Lisbon",)), Pool("twice", "SouthWest", ("PIC",))
    assert contradictions((*POOLS, abroad, twice), SITES) == (
        "LIP-Lisbon belongs to ROC SouthWest, pool abroad to Italy.",
        "PIC is in two pools, spain and twice.",
    )
    store = sqlite_store()
    name = release_testing.open_release_test(
        at_office(store, now=NOW, actor="pps"), CERTIFIED, POOLS, SITES, ["spain"], run="r/1"
    )
    assert release_testing.plan(
        at_desk(store.rollout(name), store, patch=CERTIFIED, now=NOW, actor="pps"), POOLS, SITES
    ) == (
        "PIC",
        "IFIC-LCG2",
    )


@pytest.mark.sd("4.2.3")
def test_the_sites_apply_the_update_to_one_or_more_of_their_grid_services() -> None:
    test = AReleaseTest().asked()
    with pytest.raises(RefusedError, match="to which services"):
        test.answers("PIC", ACCEPT, {"services": "", "report": "It works."})
    test.answers("PIC", ACCEPT, {"services": "CREAM-CE, DPM", "report": ""})
    assert standings(test.record)[0].word == "accept"


@pytest.mark.sd("4.2.3")
def test_and_provide_feedback_to_the_release_managers() -> None:
    test = AReleaseTest().asked()
    with pytest.raises(RefusedError, match="does not say why"):
        test.answers("PIC", REJECT, {"services": "CREAM-CE", "report": ""})
    test.answers("PIC", REJECT, {"services": "CREAM-CE", "report": "Jobs are lost."}).time_is_up()
    view = release_decision.decision_view(test.record, CERTIFIED, LATE)
    assert [(s.site, s.word) for s in view["standings"]] == [
        ("PIC", "reject"),
        ("IFIC-LCG2", "silent"),
        ("INFN-T1", "silent"),
    ]
    assert view["standings"][0].answer.form["report"] == "Jobs are lost."


@pytest.mark.sd("4.2.3")
def test_the_answer_is_due_within_one_working_day_of_the_site() -> None:
    friday = datetime(2026, 3, 6, 12, tzinfo=UTC)
    for zone in ("Europe/Rome", "Asia/Taipei", "America/New_York"):  # New York changes its clocks on that Sunday
        due = due_after(friday, POLICY.answer_working_days, zone, POLICY.working_weekdays).astimezone(ZoneInfo(zone))
        asked = friday.astimezone(ZoneInfo(zone))
        assert (due.strftime("%a"), due.time()) == ("Mon", asked.time())


@pytest.mark.sd("4.2.3")
def test_late_answers_are_kept_and_do_not_count() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up().late("INFN-T1", REJECT)
    assert [len(s.others) for s in standings(test.record)] == [0, 0, 1]
    assert doubts(test.record) == ()


@pytest.mark.sd("4.2.3")
def test_the_release_manager_decides_whatever_the_sites_say() -> None:
    rejected = AReleaseTest().asked().answers("PIC", REJECT).time_is_up()
    assert release_decision.needed_decision(rejected.decided(RELEASE, "It is their disk.").record).choice == RELEASE
    accepted = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up()
    assert release_decision.needed_decision(accepted.decided(HOLD, "A fix is coming.").record).choice == HOLD


@pytest.mark.sd("4.2.3")
@pytest.mark.parametrize(("choice", "credit"), [(ACCEPT, 1), (REJECT, 1), (CANNOT, 0)])
def test_a_production_site_has_one_credit_for_applying_an_update(choice: str, credit: int) -> None:
    """Table "Tasks and Effort": Production Site, apply a middleware update, 0.125 PD, 1 credit."""
    activity = Configuration(CONFIG).activity(release_answers.ACTIVITY)
    assert (activity.who, activity.effort_ph, activity.credits) == (("Production Site",), 1, 1)
    test = AReleaseTest().asked().answers("PIC", choice).time_is_up()
    assert sum(c.credits for c in credits_of(test.record.facts)) == credit
