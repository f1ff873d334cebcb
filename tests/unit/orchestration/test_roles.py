"""Who may start what: some roles start some DAGs only."""

from __future__ import annotations

import pytest

from pps.orchestration.roles import ROLES, STARTS_ONLY, may_start


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
