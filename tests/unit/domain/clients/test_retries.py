"""Which sites may be tried again, and why not the others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.histories import NOON, History, a_site

from pps.domain.clients.batches import BatchLimits, reasons_to_stop
from pps.domain.clients.retries import retry_of
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import PartnerLevel

REGISTRY = {name: a_site(name) for name in ("GOOD", "AWAY", "ILL", "GONE", "OUT", "NEW")}


def history(**opened: Any) -> History:
    """GOOD is available, AWAY failed, ILL failed its probes, GONE lost it, OUT is left out."""
    made = History()
    made.facts.clear()
    made.opened(patch=4711, platforms=["debian12-amd64"], **opened)
    made.planned(canary=["GOOD"], fleet_1=["AWAY", "ILL", "GONE"])
    made.then(FactKind.SITE_LEFT_OUT, "OUT", reason="It has not opted in.")
    made.then(FactKind.TAG_SEEN, "GOOD")
    made.then(FactKind.SITE_FAILED, "AWAY", reason="AWAY: cannot be reached.", step="distribute")
    made.then(FactKind.PREVIEW_INSTALLED, "ILL").then(FactKind.PROBES_FAILED, "ILL", reason="Probe env is CRITICAL.")
    made.then(FactKind.PREVIEW_LOST, "GONE", reason="The preview is gone.")
    return made


def out(**opened: Any) -> History:
    return history(**opened).then(FactKind.FEEDBACK_DATE_AGREED, due=(NOON + timedelta(days=14)).isoformat())


def against(record: Rollout, *wanted: str) -> str:
    return " ".join(retry_of(record, REGISTRY, None, wanted).reasons_against)


@pytest.mark.sd("4.1.1", step=2)
def test_all_that_failed_is_tried_again_unless_somebody_names_sites() -> None:
    found = retry_of(out().rollout, REGISTRY, None)
    assert [(p.site, p.state) for p in found.sites] == [
        ("AWAY", SiteState.FAILED),
        ("ILL", SiteState.NOT_ANNOUNCED),
        ("GONE", SiteState.LOST),
    ]
    assert (found.left_alone, found.reasons_against) == ({}, ())
    assert [p.site for p in retry_of(out().rollout, REGISTRY, None, ["ILL", "ILL"]).sites] == ["ILL"]


def test_a_failed_site_that_may_get_no_preview_any_more_is_left_alone_with_the_reason() -> None:
    registry = REGISTRY | {"AWAY": a_site("AWAY", accepts_previews=False)}
    del registry["GONE"]
    found = retry_of(out().rollout, registry, None)
    assert [p.site for p in found.sites] == ["ILL"]
    assert found.left_alone == {
        "AWAY": ("AWAY has not opted in to previews.",),
        "GONE": ("GONE is not in the site registry.",),
    }
    assert retry_of(out().rollout, {}, None).reasons_against[0] == "None of its failed sites may be tried again."


@pytest.mark.parametrize(
    ("site", "why"),
    [
        ("NOWHERE", "NOWHERE is not in the site registry."),
        ("NEW", "NEW is not in its plan."),
        ("GOOD", "GOOD has the preview, and it is available"),
        ("OUT", "OUT is left out. It has not opted in."),
    ],
)
def test_a_site_that_is_named_and_cannot_be_tried_again_is_refused_and_nothing_is_begun(site: str, why: str) -> None:
    assert why in against(out().rollout, "AWAY", site)


def test_a_rollout_that_was_withdrawn_stopped_or_has_ended_or_is_under_way_is_refused() -> None:
    assert "was withdrawn. It corrupts files." in against(
        out().then(FactKind.WITHDRAWAL_ASKED, reason="It corrupts files.").rollout
    )
    stopped = out().then(FactKind.ROLLOUT_STOPPED, reasons=["Too many failed."])
    assert "Too many failed. Start a new rollout" in against(stopped.then(FactKind.ROLLOUT_CLOSED).rollout)
    assert "has ended (released)" in against(out().then(FactKind.ROLLOUT_CLOSED, outcome="released").rollout)
    assert "distribution is under way" in against(history().rollout)
    assert "has brought no preview" in against(out(path="minor-pilot").rollout)
    well = out().then(FactKind.TAG_SEEN, "AWAY").then(FactKind.TAG_SEEN, "ILL").then(FactKind.TAG_SEEN, "GONE").rollout
    assert against(well) == "No site of it has failed."


@pytest.mark.sd("4.1.2", step=3)
def test_a_site_whose_people_have_not_configured_the_client_is_not_tried_behind_their_back() -> None:
    registry = {name: a_site(name, partner_levels=frozenset({PartnerLevel.SILVER})) for name in REGISTRY}
    record = out(path=PREVIEWS[1].value).then(FactKind.SITE_CONFIGURED, "ILL", at=NOON).rollout
    record = Rollout(record.name, tuple(sorted(record.facts, key=lambda f: f.at)))
    found = retry_of(record, registry, PartnerLevel.SILVER)
    assert [p.site for p in found.sites] == ["ILL"]
    assert "AWAY waits for its own people" in found.left_alone["AWAY"][0]


def test_a_preview_that_lies_there_untagged_has_a_name_of_its_own_and_counts_as_a_failure() -> None:
    record = out().rollout
    assert record.progress("ILL").state == "installed, not announced"
    limits = BatchLimits(1, 1, 1, 0.0, 1)
    assert reasons_to_stop(record.all_progress(["GOOD", "AWAY", "ILL"]), limits)[0].startswith("2 of 3 sites failed")
    with_tag = out().then(FactKind.PROBES_FAILED, "ILL", "2", reason="Again.", announced=True).rollout
    assert with_tag.progress("ILL").state is SiteState.FAILED, "a tag from before may still be seen there"
