"""Steps without Airflow around them: services, time and actor are given in the one place that asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from pps.orchestration import runtime


def tasks_work_with(
    monkeypatch: pytest.MonkeyPatch, services: Callable[[], Any], clock: Callable[[], datetime], actor: str = "test"
) -> None:
    """From here on, desks and offices of tasks have these services, and this clock."""

    @contextmanager
    def given() -> Iterator[Any]:
        yield services()

    monkeypatch.setattr(runtime, "services", given)
    monkeypatch.setattr(runtime, "now", clock)
    monkeypatch.setattr(runtime, "actor", lambda: actor)
