"""The public channel on a real PostgreSQL: one record, whoever clicks how often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from tests.support.front import ROLLOUT, MemoryServices, services  # noqa: F401
from tests.unit.web.test_api import FEEDBACK, GOOD, airflow_user

from pps.adapters.record.store import FactStore
from pps.domain.people.feedback import answers
from pps.domain.record.facts import Fact, FactKind
from pps.web.app import create_app


@pytest.mark.needs("postgres")
def test_thirty_posts_at_once_are_one_record(
    fact_store: FactStore, services: MemoryServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pps.web.feedback.ANSWERS_AT_ONCE", 1000)
    fact_store.open(
        "bc-client", 4711, Fact(ROLLOUT, FactKind.ROLLOUT_OPENED, "", "", datetime.now(UTC), "me", {}), "run"
    )
    services.__dict__["facts"] = fact_store
    client = TestClient(create_app(lambda: services, airflow_user))
    with ThreadPoolExecutor(10) as threads:
        posts = [threads.submit(client.post, FEEDBACK, json=GOOD, headers={"Idempotency-Key": "k"}) for _ in range(30)]
        got = [post.result() for post in posts]
    assert sorted(answer.status_code for answer in got) == [200] * 29 + [201]
    assert len(answers(fact_store.rollout(ROLLOUT))) == 1
    nasty = client.post(FEEDBACK, json={**GOOD, "text": "\u202e\x07é\u0301 😀\x1b[31m", "author": "x"})
    assert nasty.status_code == 201
