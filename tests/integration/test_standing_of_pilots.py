"""Whole pilots, walked by their forms and steps, as their page shows them on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.pilot_walks import COORDINATOR, DAY, WEEK, Walk, endpoint_of, walking

from pps.activities.pilots.standing import Addresses, view
from pps.domain.record.rollouts import RolloutPath
from pps.domain.sites.probes import ProbeState


@pytest.fixture
def major(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    with walking(tmp_path, monkeypatch, RolloutPath.MAJOR_PILOT) as walk:
        yield walk


def seen(walk: Walk) -> Mapping[str, Any]:
    services = walk.services
    addresses = Addresses(services.config.service.public_url, services.mirror_url)
    return view(walk.store, walk.record, services.config.policies.pilots.criteria, addresses, walk.clock)


def states(walk: Walk) -> str:
    """`d`one, `n`ow, `l`ater, `s`kipped, in their order."""
    return "".join(step["state"][0] for step in seen(walk)["steps"])


@pytest.mark.sd("4.1.3")
def test_two_rounds_of_a_major_pilot_are_shown_step_by_step(major: Walk) -> None:
    major.opens(vo="cms")
    first = major.name
    assert states(major) == "nlllllllll"
    major.selected("PIC", "INFN-T1")
    assert states(major) == "dddnllllll"
    major.kicked_off(vos="cms", itr="ivan").deployment_tested()
    assert states(major) == "dddddnllll"
    major.set_up("PIC")
    assert states(major) == "ddddddnlll"
    major.set_up("INFN-T1").step("invite_vos")
    assert states(major) == "dddddddnll"

    broken = endpoint_of("PIC")
    major.services.service_probes.state[broken] = (ProbeState.CRITICAL, "")  # type: ignore[attr-defined]
    for _ in range(2):
        major.wait(DAY).holds("pilot_run_is_over")
    major.services.service_probes.state[broken] = (ProbeState.OK, "3.1.23")  # type: ignore[attr-defined]
    major.runs(2 * WEEK)
    about = seen(major)
    lanes = {lane["site"]: lane for lane in about["graph"]["lanes"]}
    # whoever looks once a day has not looked on the last one
    assert [part["state"] for part in lanes["PIC"]["intervals"]] == ["ok", "critical", "ok", "unknown"]
    assert len(lanes["PIC"]["incidents"]) == 1 and not lanes["INFN-T1"]["incidents"]
    (incident,) = (entry for entry in about["journal"] if entry["text"].startswith("Incident:"))
    assert (incident["who"], incident["user"]) == ("PIC", "")

    major.said("cms", "problem", "Proxies are not renewed.")
    major.reported()
    assert states(major) == "dddddddddn"
    major.step("invite_to_wrap_up")
    body = major.body("pilot-wrap-up")
    assert major.asks("pilot-wrap-up", COORDINATOR)
    (asked,) = seen(major)["questions"]
    against = [said.removeprefix("Against a release: ") for said in asked["evidence"] if "Against" in said]
    assert against == ["cms reports a problem: Proxies are not renewed."]
    assert all(reason in body for reason in against), "the form itself says the same"
    assert seen(major)["reports"].keys() == {"PIC", "INFN-T1"}
    second = major.wrapped_up("Prolong", reason="ATLAS wants to try the fix.", prolong_for="1w", guidelines="")
    about = seen(major)
    assert (states(major), about["outcome"], about["next_round"]) == ("d" * 10, "prolonged", second)

    major.opens(continues=first)
    assert major.name == second
    assert states(major) == "sss" + "n" + "l" + "ss" + "lll"
    assert {s["told"] for s in seen(major)["steps"] if s["state"] == "skipped"} == {f"Taken over from {first}."}
    major.kicked_off(vos="atlas").step("mirror_repository")
    about = seen(major)
    assert states(major) == "sssddssnll"
    assert [part["state"] for part in about["graph"]["lanes"][0]["intervals"]][-1] == "to come"
    assert about["mirror"]["packages"]
    assert {row["who"] for row in about["credits"]} >= {"carla"}


@pytest.mark.sd("4.1.3", step=1)
def test_what_nobody_has_accepted_ends_before_all_other_steps(major: Walk) -> None:
    major.opens(vo="cms").is_silent("pilot-acceptance")
    major.step("request_is_accepted")
    assert states(major) == "d" + "s" * 9
    assert "did not answer" in seen(major)["steps"][0]["told"]
