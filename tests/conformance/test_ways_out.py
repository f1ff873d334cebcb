"""Ways out of a rollout: what SD leaves open, and docs/adr decides. Each sentence that is a rule.

Withdrawal (docs/adr/0011): at any time; tags first, then the files; with a reason; production untouched.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.desks import at_desk
from tests.support.examples import NOW, PATCH, SITES, asked, opened, previewed, sqlite_store, templates
from tests.support.histories import NOON, History, a_patch

from pps.activities.clients import gates
from pps.activities.clients.bulletin import stage
from pps.activities.clients.certification import certification_is_over, certification_outcome
from pps.activities.clients.withdrawal import (
    ask_for_withdrawal,
    close_withdrawn,
    retired_previews,
    sites_to_clear,
    sites_with_preview,
    tags_are_gone,
)
from pps.activities.people.notification import people_to_tell_of_withdrawal, tell_of_withdrawal
from pps.activities.release import release
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import reasons_against_reason
from pps.domain.people import questions
from pps.domain.people.feedback import feedback_is_over
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.record.site_states import SiteState

REASON = "It corrupts files larger than 2 GB."
MONTH = timedelta(days=30)


@pytest.fixture
def store() -> FactStore:
    return sqlite_store()


def withdrawn(history: History) -> Rollout:
    return history.then(FactKind.WITHDRAWAL_ASKED, reason=REASON).rollout


def tried() -> History:
    """Two sites offer the preview."""
    history = History().planned(canary=["A"], fleet_1=["B"])
    for site in "AB":
        for kind in (FactKind.PREVIEW_INSTALLED, FactKind.PROBES_PASSED, FactKind.TAG_ADDED, FactKind.TAG_SEEN):
            history.then(kind, site)
    return history.then(FactKind.FEEDBACK_DATE_AGREED, due=(NOON + timedelta(days=14)).isoformat())


def test_from_the_request_on_nothing_is_distributed_tagged_or_kept_by_a_night_and_the_reason_is_said() -> None:
    assert tried().rollout.is_open_preview
    record = withdrawn(tried())
    for forbidden in (lambda: record.may_tag("A"), lambda: gates.must_go_on(record), record.must_not_be_withdrawn):
        with pytest.raises(NotYetAllowedError, match="larger than 2 GB"):
            forbidden()
    assert not record.is_open_preview
    assert stage(record) == "withdrawn"


def test_a_withdrawn_preview_waits_for_nobody_and_asks_nobody() -> None:
    record = withdrawn(tried())
    assert feedback_is_over(record, NOON)
    assert certification_is_over(at_desk(record, None, now=NOON, actor="t"), None, wait_at_most=MONTH)  # type: ignore[arg-type]
    with pytest.raises(NotYetAllowedError, match="larger than 2 GB"):
        certification_outcome(record)
    asked_of_a_site = questions.Question("configure", "A", NOON, NOON + MONTH, "", "", ())
    assert questions.is_open(tried().rollout, asked_of_a_site)
    assert not questions.is_open(record, asked_of_a_site)


def test_a_withdrawn_preview_does_not_go_to_production() -> None:
    record = withdrawn(tried().then(FactKind.RELEASE_NOTES_WRITTEN))
    with pytest.raises(NotYetAllowedError, match="larger than 2 GB"):
        release.decide_on_release(at_desk(record, None, patch=a_patch(), now=NOON, actor="t"))  # type: ignore[arg-type]
    with pytest.raises(NotYetAllowedError, match="larger than 2 GB"):
        release.release_to_production(at_desk(record, now=NOON), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["", " ", "x", "...", "see mail", "123 456 789", "a b c", "x" * 1001, "\u202e\n\n"])
def test_a_reason_that_tells_nobody_anything_is_none(store: FactStore, reason: str) -> None:
    record = previewed(store)
    assert reasons_against_reason(reason)
    with pytest.raises(RefusedError, match=r"(?i)reason"):
        ask_for_withdrawal(at_desk(record, store, now=NOW, actor="t"), reason)
    assert not store.rollout(record.name).is_withdrawn


def test_the_first_request_stays_whoever_asks_again(store: FactStore) -> None:
    record = previewed(store)
    first = ask_for_withdrawal(
        at_desk(record, store, now=NOW, actor="coordinator"), " It corrupts\n files larger than 2 GB "
    )
    again = ask_for_withdrawal(at_desk(record, store, now=NOW + MONTH, actor="somebody"), "Something else is wrong.")
    assert first == again
    assert (first.actor, first.payload["reason"]) == ("coordinator", REASON)


@pytest.mark.parametrize("end", [FactKind.RELEASED_TO_PRODUCTION, FactKind.RELEASE_REFUSED, FactKind.ROLLOUT_STOPPED])
def test_what_has_ended_can_be_withdrawn_as_long_as_a_site_holds_it(store: FactStore, end: FactKind) -> None:
    record = previewed(store)
    store.record(Fact(record.name, end, "", "", NOW, "t", {"reasons": ["r"]}))
    store.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", NOW, "t", {"outcome": "ended"}))
    assert (
        ask_for_withdrawal(at_desk(store.rollout(record.name), store, now=NOW, actor="t"), REASON).payload["reason"]
        == REASON
    )
    assert stage(store.rollout(record.name)) == "withdrawn"


def test_what_no_site_holds_any_more_cannot_be_withdrawn_again(store: FactStore) -> None:
    record = opened(store)
    store.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", NOW, "t", {"outcome": "stopped"}))
    with pytest.raises(RefusedError, match="no site holds its preview"):
        ask_for_withdrawal(at_desk(store.rollout(record.name), store, now=NOW, actor="t"), REASON)


@pytest.mark.parametrize(
    "path", [p for p in RolloutPath if p not in (RolloutPath.BC_CLIENT, RolloutPath.NON_BC_CLIENT)]
)
def test_only_previews_are_withdrawn(store: FactStore, path: RolloutPath) -> None:
    other = Rollout("other", (Fact("other", FactKind.ROLLOUT_OPENED, "", "", NOW, "t", {"path": path.value}),))
    with pytest.raises(RefusedError, match="no preview"):
        ask_for_withdrawal(at_desk(other, store, now=NOW, actor="t"), REASON)


def test_nobody_is_told_and_nothing_closed_before_the_tags_are_gone(store: FactStore) -> None:
    record = previewed(store)
    ask_for_withdrawal(at_desk(record, store, now=NOW, actor="t"), REASON)
    record = store.rollout(record.name)
    with pytest.raises(NotYetAllowedError, match="tags-gone"):
        tell_of_withdrawal(
            at_desk(record, store, templates=templates(), now=NOW, actor="t"),
            SITES,
            "pps@example.org",
            "https://x.example.org",
        )
    with pytest.raises(NotYetAllowedError, match="tags-gone"):
        close_withdrawn(at_desk(record, store, now=NOW, actor="t"))
    with pytest.raises(NotYetAllowedError, match="nobody has asked"):
        tags_are_gone(at_desk(previewed_again(store), store, now=NOW, actor="t"), None, [], gone_within=MONTH)  # type: ignore[arg-type]


def previewed_again(store: FactStore) -> Rollout:
    return previewed(store, a_patch(number=4712), run="bc_client_update/second")


def test_who_is_told_is_who_was_told_of_the_preview_once_each(store: FactStore) -> None:
    record = asked(store, previewed(store))
    store.record(
        Fact(record.name, FactKind.VO_INVITED, "cms", "", NOW, "t", {"to": "cms@example.org"}),
        Fact(record.name, FactKind.BROADCAST_QUEUED, "Italy", "roc", NOW, "t", {"to": "roc-italy@example.org"}),
        Fact(record.name, FactKind.ORIGINATOR_INVITED, "cms@example.org", "", NOW, "t"),
        Fact(record.name, FactKind.ORIGINATOR_INVITED, PATCH.bugs[0].originator, "", NOW, "t"),
    )
    told = dict(people_to_tell_of_withdrawal(store.rollout(record.name), SITES, "CMS@example.org"))
    assert set(told) == {
        *("CMS@example.org", "roc-italy@example.org", PATCH.bugs[0].originator),
        *("grid-pic@example.org", "grid-infn-t1@example.org", "grid-ific-lcg2@example.org"),
        "grid-lip-lisbon@example.org",  # its probes failed, but the preview is there
    }


def test_a_preview_is_retired_some_time_after_the_end_of_its_rollout_if_a_site_still_holds_it(store: FactStore) -> None:
    held, gone = previewed(store), opened(store, a_patch(number=4712), run="second")
    for record in (held, gone):
        store.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", NOW, "t", {"outcome": "released"}))
    still_open = opened(store, a_patch(number=4713), run="third")
    assert retired_previews(store, NOW + MONTH, MONTH) == ()
    late = NOW + MONTH + timedelta(seconds=1)
    assert [r.name for r in retired_previews(store, late, MONTH)] == [held.name]
    # a withdrawn one is taken up every night until it is finished
    ask_for_withdrawal(at_desk(store.rollout(still_open.name), store, now=NOW, actor="t"), REASON)
    assert {r.name for r in retired_previews(store, late + MONTH, MONTH)} == {held.name, still_open.name}


def test_a_site_is_cleared_as_long_as_it_may_have_the_preview() -> None:
    history = tried().then(FactKind.SITE_LEFT_OUT, "C", reason="not a production site")
    history.then(FactKind.NIGHT_PLANNED, "", "night-1", sites=["D"])
    assert history.rollout.reached_sites == ("A", "B", "D")
    assert sites_with_preview(history.rollout) == ("A", "B")
    record = withdrawn(history)
    # just after the request also where a push may be on its way that left no fact yet
    assert sites_to_clear(record, NOON + MONTH, MONTH) == ("A", "B", "D")
    assert sites_to_clear(record, NOON + 2 * MONTH, MONTH) == ("A", "B")
    history.then(FactKind.TAG_REMOVED, "A").then(FactKind.PREVIEW_REMOVED, "A").then(FactKind.TAG_REMOVED, "B")
    assert sites_with_preview(history.rollout) == ("B",)
    assert history.rollout.progress("A").state is SiteState.WITHDRAWN
    assert not history.rollout.announces("B") and history.rollout.holds_preview("B")
