"""Where tests run one after another, the small Airflow comes first, then the whole grid: one runs at a time."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: item.get_closest_marker("e2e") is not None and "grid" in getattr(item, "fixturenames", ())
    )
