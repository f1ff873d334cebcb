"""`pps rollout watch` and `pause`, `resume`, `stop`: a rollout in place, and held back from a terminal."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rich.console import Console
from tests.support.front import (  # noqa: F401
    NOW,
    ROLLOUT,
    a_preview_that_is_out,
    front,
    happened,
    services,
)
from tests.unit.cli.test_commands import as_json, pps

from pps.activities.clients.overview import overview
from pps.cli.clients.watching import picture
from pps.cli.front import Front
from pps.domain.clients.batches import BatchLimits
from pps.domain.record.facts import FactKind

LIMITS = BatchLimits(2, 20, 1.0, 0.3, 3)
WHY = "Jobs are lost at PIC, as two VOs say."


@pytest.fixture
def preview(front: Front) -> Front:
    a_preview_that_is_out(front.services.facts)
    return front


def drawn(front: Front, height: int | None, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    record = front.services.facts.rollout(ROLLOUT)
    console.print(picture(overview(record, NOW + timedelta(minutes=6), LIMITS), NOW, height))
    return console.export_text()


def test_a_rollout_is_seen_in_place_with_what_it_waits_for_and_each_site_on_a_line(preview: Front) -> None:
    preview.services.facts.record(
        happened(
            FactKind.QUESTION_ASKED,
            "SARA",
            "local-configuration",
            due=(NOW + timedelta(days=2)).isoformat(),
            title="Configure it at SARA",
            assigned_to=["user:sara"],
        ),
        happened(FactKind.TARBALL_BUILT),
        happened(FactKind.ROLLOUT_PAUSED, reason=WHY),
    )
    lines = drawn(preview, 40).splitlines()
    assert lines[0].startswith("glite-WN 3.1.23  bc-client-4711-1  preview")
    assert "▶ VOs asked" in lines[1]
    assert any("⏸ Paused since" in line and WHY in line for line in lines)
    assert any("0 of 2 VOs have answered; it waits for atlas, cms until 2026-03-15" in line for line in lines)
    assert any("Configure it at SARA (user:sara) by 2026-03-03" in line for line in lines)
    assert "2 available, 1 failed; 1 of 3 failed, 3 may" in lines
    (sara,) = [line for line in lines if line.startswith("✖  SARA")]
    assert "failed" in sara and "The disk quota is used up." in sara
    assert all(len(line) <= 100 for line in lines)


def test_what_is_well_is_left_out_where_the_screen_is_too_low_and_what_is_ill_never(preview: Front) -> None:
    many = [f"SITE-{number:03}" for number in range(300)]
    plan = happened(FactKind.PLAN_AGREED, "", "again", batches={"canary": ["PIC"], "fleet-1": [*many, "SARA"]})
    preview.services.facts.record(plan, *(happened(FactKind.TAG_SEEN, name) for name in many))
    low = drawn(preview, 24)
    assert len(low.splitlines()) <= 24 + 1
    assert "✖  SARA" in low
    assert "more" in low
    assert "SITE-299" in drawn(preview, None)


def test_without_a_terminal_it_is_shown_once_and_programs_get_the_same_as_json(preview: Front) -> None:
    code, out, err = pps(preview, "rollout", "watch", ROLLOUT)
    assert (code, err) == (0, "")
    assert "✖  SARA" in out
    data = as_json(preview, "rollout", "watch", ROLLOUT)
    assert data["budget"] == {"planned": 3, "failed": 1, "not_yet": 0, "allowed": 3}
    assert [b["batch"] for b in data["batches"]] == ["canary", "fleet-1"]


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07", "a\nb", "\u202egnp.exe"])
def test_words_of_others_do_nothing_to_the_terminal(preview: Front, text: str) -> None:
    preview.services.facts.record(happened(FactKind.SITE_FAILED, "CNAF", "x", after=9, reason=text))
    assert text not in drawn(preview, None)


def test_a_rollout_is_held_back_through_airflow_which_knows_who_asks(preview: Front) -> None:
    code, out, err = pps(preview, "rollout", "pause", ROLLOUT, "--reason", WHY)
    assert (code, err) == (0, "")
    assert "is paused: no further batch begins" in " ".join(out.split())
    assert preview.airflow.posted == [(f"pps/api/v1/rollouts/{ROLLOUT}/control", {"what": "pause", "reason": WHY})]


def test_what_the_rules_refuse_does_not_reach_airflow(preview: Front) -> None:
    for words, why in (
        (("resume", ROLLOUT, "--reason", WHY), "It is not paused."),
        (("pause", ROLLOUT, "--reason", "x"), "three words at least"),
    ):
        code, _, err = pps(preview, "rollout", *words)
        assert (code, why in " ".join(err.split())) == (1, True)
        assert pps(preview, "rollout", *words, "--dry-run")[0] == 1
    assert pps(preview, "rollout", "stop", ROLLOUT, "--reason", WHY, "--dry-run")[0] == 0
