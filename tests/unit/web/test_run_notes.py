"""The door through which workers have the note of a run written: theirs alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient
from tests.support.front import (  # noqa: F401
    ROLLOUT,
    SECRET,
    MemoryServices,
    a_preview_that_is_out,
    services,
)

from pps.activities.clients.run_note import DOOR, NoteAsked
from pps.web.app import create_app

ASKED = NoteAsked("bc_client_update", ROLLOUT, ROLLOUT)


def nobody() -> Any:
    raise HTTPException(401, "Not authenticated")


class Notes:
    """Airflow's notes, in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str | None] = {("bc_client_update", ROLLOUT): "Theirs."}

    def __call__(self, dag: str, run: str, changed: Callable[[str | None], str]) -> bool:
        if (dag, run) not in self.kept:
            return False
        self.kept[dag, run] = changed(self.kept[dag, run])
        return True


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def door(services: MemoryServices, notes: Notes) -> TestClient:
    a_preview_that_is_out(services.facts)
    return TestClient(create_app(lambda: services, nobody, keep_note=notes))


def test_a_worker_has_the_line_of_its_rollout_written_below_what_is_there(door: TestClient, notes: Notes) -> None:
    assert door.post(DOOR, content=ASKED.signed(SECRET)).status_code == 204
    assert notes.kept["bc_client_update", ROLLOUT] == (
        f"Theirs.\n\n▸ {ROLLOUT} (preview): 2 of 3 sites reached; 1 failed: SARA (The disk quota is used up)"
    )


@pytest.mark.parametrize(
    "said", [b"", b"{}", b"\xff", ASKED.signed(b"some other secret of 32 bytes....").encode(), b"x" * 10_000]
)
def test_nobody_else_does(door: TestClient, notes: Notes, said: bytes) -> None:
    assert door.post(DOOR, content=said).status_code in (401, 422)
    assert notes.kept["bc_client_update", ROLLOUT] == "Theirs."


def test_a_run_that_airflow_does_not_have_is_no_mistake_of_the_server(door: TestClient) -> None:
    unknown = NoteAsked("bc_client_update", "gone", ROLLOUT)
    assert door.post(DOOR, content=unknown.signed(SECRET)).status_code == 404
