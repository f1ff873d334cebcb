"""Who may start what: some roles start some DAGs only."""

from __future__ import annotations

import pytest

from pps.orchestration.roles import ROLES, STARTS_ONLY, may_start, reasons_against_start


@pytest.mark.parametrize(
    ("roles", "dag", "may"),
    [
        (["Release Manager"], "bc_client_update", True),
        (["Release Manager"], None, True),
        (["EMT"], "overrule_policies", True),
        (["EMT"], "bc_client_update", False),
        (["EMT"], "withdraw_rollout", False),
        (["EMT"], "minor_server_pilot", True),
        (["VO Representative"], "major_server_pilot", True),
        (["VO Representative"], "overrule_policies", False),
        (["VO Representative"], None, False),
        (["EMT"], None, False),
        (["EMT", "PPS Coordinator"], "bc_client_update", True),
        (["Admin"], "bc_client_update", True),
        ([], "overrule_policies", False),
    ],
)
def test_a_role_starts_what_is_its_own(roles: list[str], dag: str | None, may: bool) -> None:
    assert may_start(roles, dag) is may


def test_who_starts_some_dags_only_has_the_right_that_fab_asks_for() -> None:
    for role in STARTS_ONLY:
        assert ("can_create", "DAG Runs") in ROLES[role]


VOS = {"atlas": ("ada",), "biomed": ("bea",), "cms": ()}
BEA, EMT, CARLA, CLARA = (
    {"user:bea", "role:VO Representative"},
    {"user:erika", "role:EMT"},
    {"user:carla", "role:PPS Coordinator"},
    {"user:clara", "role:VO Representative"},
)


@pytest.mark.parametrize(
    ("conf", "mine", "why"),
    [
        ({"vo": "biomed"}, BEA, ""),
        ({"vo": "atlas"}, BEA, "may speak for atlas"),
        ({"vo": "atlas"}, EMT, "may speak for atlas"),
        ({"vo": "atlas"}, CARLA, ""),
        ({"vo": "cms"}, CLARA, "to the representatives of cms"),
        ({"vo": "cms"}, CARLA, ""),
        ({"vo": "nobody"}, CARLA, "not in people.yaml"),
        ({}, EMT, ""),
        ({"vo": None}, BEA, "Only the EMT asks for a pilot without a VO"),
        ({"vo": ""}, CARLA, "Only the EMT asks"),
        ({"continues": "major-pilot-1-1"}, EMT, "Another round"),
        ({"continues": "major-pilot-1-1", "vo": "biomed"}, BEA, "Another round"),
        ({"continues": "major-pilot-1-1"}, CARLA, ""),
    ],
)
@pytest.mark.parametrize("dag", ["minor_server_pilot", "major_server_pilot"])
def test_nobody_asks_for_a_pilot_in_a_name_that_is_not_theirs(
    dag: str, conf: dict[str, object], mine: set[str], why: str
) -> None:
    reasons = reasons_against_start(dag, conf, VOS, mine)
    assert (not reasons) if not why else why in " ".join(reasons)
    assert reasons_against_start("bc_client_update", conf, VOS, mine) == ()
