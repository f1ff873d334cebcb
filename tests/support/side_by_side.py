"""How tests run side by side: which of them stay together, one after another, and which begin.

A file is a unit: its tests share what they have started. All that asks one Airflow is a unit as well, as two workers
would start two of it; of the whole grid there are two, so that the pilots do not wait for the other paths. Everything
else has folders, ports, databases and accounts of its own.
"""

from __future__ import annotations

import re

from xdist.scheduler import LoadFileScheduling

#: End-to-end test files -> the Airflow that they ask; all others ask the one with the whole grid.
UNITS = {
    "test_airflow_runtime.py": "small Airflow",
    "test_checks_behind_airflow.py": "small Airflow",
    "test_resume_race.py": "small Airflow",
    "test_starting_a_rollout.py": "small Airflow",
    "test_server_pilots.py": "pilots",
    "test_the_database_of_before.py": "pilots of before",
}
#: The longest units first, so that the last ones are short. Two Airflows are enough for two cores: what comes third has
#: none, and the small ones come when the long ones have ended.
_ORDER = (
    "pilots",
    "whole grid",
    "tests/integration/(sandbox/|test_[a-p]).*",
    "pilots of before",
    "small Airflow",
    "tests/integration/.*",
    "tests/conformance/.*",
    "tests/unit/.*",
)


def unit_of(node: str) -> str:
    """The unit of a test (`tests/unit/test_house.py::test_x`): its file, or the Airflow that it asks."""
    file = node.partition("::")[0]
    in_e2e = file.removeprefix("tests/e2e/")
    return file if in_e2e == file else UNITS.get(in_e2e, "whole grid")


def place_of(node: str) -> int:
    """Its place in the order of beginning."""
    unit = unit_of(node)
    return next((n for n, pattern in enumerate(_ORDER) if re.fullmatch(pattern, unit)), len(_ORDER))


class SideBySide(LoadFileScheduling):
    """Gives each worker one unit after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
