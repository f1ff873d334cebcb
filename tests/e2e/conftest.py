"""Where tests run one after another, the small Airflow comes first, then the whole grid: one runs at a time.

Where they run side by side, an Airflow ends with the tests that asked it: idle, it costs a tenth of a core.
"""

from __future__ import annotations

import pytest
from tests.support.airflow import end_airflow
from tests.support.side_by_side import unit_of
from tests.support.whole import end_grid


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: item.get_closest_marker("e2e") is not None and "grid" in getattr(item, "fixturenames", ())
    )


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    next_unit = unit_of(nextitem.nodeid) if nextitem is not None else ""
    if hasattr(item.config, "workerinput") and next_unit != unit_of(item.nodeid):
        end_airflow(item.config)
        end_grid(item.config)
