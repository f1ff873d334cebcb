"""The two tables: of paths, the only place that knows DAGs by name, and of waits, whose names databases hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pps
from pps.domain.record.rollouts import RolloutPath
from pps.workflow.paths import STARTS, dag_of
from pps.workflow.waits import WAITS

PRODUCT = Path(pps.__file__).parent


def test_no_other_place_of_the_product_knows_a_dag_by_name() -> None:
    found = set()
    for path in PRODUCT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in STARTS:
                found.add((str(path.relative_to(PRODUCT)), node.value))
    elsewhere = {(where, dag) for where, dag in found if where != "workflow/paths.py"}
    assert not elsewhere


def test_each_path_that_a_rollout_takes_has_one_dag() -> None:
    walked = [start.path for start in STARTS.values() if start.path]
    assert len(set(walked)) == len(walked)
    without_run = {
        RolloutPath.DOSSIER,
        RolloutPath.SAM,
        RolloutPath.FOLLOWING,
        RolloutPath.SITES,
        RolloutPath.RELEASES,
        RolloutPath.ADOPTERS,
        RolloutPath.QUALITY,
        RolloutPath.STATEMENTS,
    }
    assert set(RolloutPath) - set(walked) == without_run, "records without a run"
    assert all(dag_of(start.path) == dag for dag, start in STARTS.items() if start.path)


def test_the_names_of_waits_are_those_that_databases_hold() -> None:
    """A trigger that was parked by an earlier version is asked for by its name: never rename, only add."""
    assert set(WAITS) == {
        "feedback_is_over",
        "certification_is_over",
        "may_go_on",
        "preview_is_offered",
        "tags_are_seen",
        "tags_are_gone",
        "retired_tags_are_gone",
        "deployment_test_is_over",
        "deployment_test_is_renewed",
        "pilot_is_set_up",
        "pilot_run_is_over",
        "pilot_is_rolled_back",
        "vos_may_begin",
        "vos_are_heard",
        "pilot_ends_at_site",
    }
