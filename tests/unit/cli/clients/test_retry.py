"""`pps rollout retry`: shown before it is begun, refused with reasons, and its result is what the facts say."""

from __future__ import annotations

import json

import pytest
from tests.support.front import (  # noqa: F401
    ROLLOUT,
    a_preview_that_is_out,
    front,
    happened,
    services,
    site,
    write_config,
)
from tests.unit.cli.test_commands import as_json, one_line, pps

from pps.cli.front import Front
from pps.domain.record.facts import Fact, FactKind

RETRY = ("rollout", "retry", ROLLOUT)


@pytest.fixture
def out(front: Front) -> Front:
    """SARA failed; it takes previews."""
    write_config(front.services.config.folder, [site("PIC"), site("CNAF"), site("SARA")])
    front.services.config.__dict__.pop("sites", None)
    a_preview_that_is_out(front.services.facts)
    opened = front.services.facts.facts[0]
    opened.payload["platforms"] = ["debian12-amd64"]  # type: ignore[index]
    return front


def as_airflow_goes_on(front: Front, *moments: Fact | str) -> None:
    """What happens while the command waits: facts, and then the end of the run."""
    left = list(moments)

    def pause(seconds: float) -> None:
        moment = left.pop(0)
        if isinstance(moment, str):
            front.airflow.state = moment
        else:
            front.services.facts.record(moment)

    front.pause = pause


def test_a_dry_run_shows_the_sites_and_why_they_failed_and_starts_nothing(out: Front) -> None:
    code, said, _ = pps(out, *RETRY, "--dry-run")
    assert code == 0
    for part in ("verdict admitted", "SARA failed", "The disk quota is used up.", "nothing was started"):
        assert part in one_line(said)
    assert as_json(out, *RETRY, "--dry-run")["sites"] == [
        {"site": "SARA", "state": "failed", "reason": "The disk quota is used up."}
    ]
    assert out.airflow.started == []


@pytest.mark.parametrize(
    ("sites", "why"),
    [(["PIC"], "PIC has the preview, and it is available"), (["SARA", "DESY"], "DESY is not in the site registry.")],
)
def test_what_the_rules_refuse_is_not_started(out: Front, sites: list[str], why: str) -> None:
    words = [word for name in sites for word in ("--site", name)]
    code, _, err = pps(out, *RETRY, *words)
    assert (code, why in one_line(err)) == (1, True)
    code, said, _ = pps(out, *RETRY, *words, "--dry-run")
    assert (code, f"- {why}" in one_line(said)) == (1, True)
    assert out.airflow.started == []


def test_it_is_watched_to_its_end_and_says_per_site_what_became_of_it(out: Front) -> None:
    again = happened(FactKind.SITE_FAILED, "SARA", "retry-1/distribute", after=9, reason="SARA: the disk is full.")
    as_airflow_goes_on(out, again, "success")
    code, said, _ = pps(out, *RETRY)
    text = one_line(said)
    assert code == 1, "it has failed again"
    assert out.airflow.started == [("retry_sites", {"rollout": ROLLOUT})]
    assert "site-failed SARA SARA: the disk is full." in text
    assert "SARA failed failed SARA: the disk is full." in text


def test_a_site_that_is_well_now_ends_it_with_0_and_json_says_the_same(out: Front) -> None:
    as_airflow_goes_on(out, happened(FactKind.TAG_SEEN, "SARA", "retry-1", after=9), "success")
    code, said, err = pps(out, *RETRY, "--site", "SARA", "--json")
    assert (code, err) == (0, "")
    found = json.loads(said)
    assert out.airflow.started == [("retry_sites", {"rollout": ROLLOUT, "sites": ["SARA"]})]
    assert found["run_state"] == "success"
    assert found["sites"] == [{"site": "SARA", "before": "failed", "state": "available", "reason": ""}]


def test_a_run_that_fails_leaves_the_site_as_it_was_and_that_is_said(out: Front) -> None:
    as_airflow_goes_on(out, "failed")
    code, said, err = pps(out, *RETRY)
    assert code == 1
    assert "Nothing new is on record. The disk quota is used up." in one_line(said)
    assert "has failed. Look at its tasks in Airflow" in one_line(err)


def test_without_waiting_it_is_started_and_left_alone(out: Front) -> None:
    started = as_json(out, *RETRY, "--no-wait")
    assert (started["dag_id"], started["asked"], started["left_alone"]) == ("retry_sites", ["SARA"], {})
    assert "pps rollout show" in pps(out, *RETRY, "--no-wait")[1]
