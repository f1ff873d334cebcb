"""One after another (`make test T=tests/e2e`): the small Airflow first, then the whole grid, so that only one runs at a time."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: item.get_closest_marker("e2e") is not None and "grid" in getattr(item, "fixturenames", ())
    )
