"""The forms with which runs are started (`workflow.start_forms`), as Airflow wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from pps.workflow.paths import STARTS


def as_params(schema: Mapping[str, Mapping[str, Any]]) -> dict[str, Param]:
    """Airflow's Params of JSON schemas that may hold a `default`."""

    def param(spec: Mapping[str, Any]) -> Param:
        rest = {key: value for key, value in spec.items() if key != "default"}
        return Param(spec["default"], **rest) if "default" in spec else Param(**rest)

    return {name: param(spec) for name, spec in schema.items()}


def of(dag: str) -> dict[str, Param]:
    """Params of a DAG of ours: the form of its start, as the table of paths has it."""
    return as_params(STARTS[dag].schema)
