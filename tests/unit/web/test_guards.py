"""The rate limit: fair, and of bounded memory."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from pps.web.guards import RateLimit, client_of


def test_tokens_come_back_with_time() -> None:
    now = [0.0]
    limit = RateLimit(burst=2, per_s=0.5, clock=lambda: now[0])
    assert [limit.seconds_to_wait("a") for _ in range(3)] == [0, 0, 2]
    assert limit.seconds_to_wait("b") == 0
    now[0] = 2.0
    assert limit.seconds_to_wait("a") == 0
    assert limit.seconds_to_wait("a") > 0


def test_memory_is_bounded_and_the_longest_unseen_is_forgotten() -> None:
    limit = RateLimit(burst=1, per_s=0.001, clients=100, clock=lambda: 0.0)
    for n in range(1000):
        limit.seconds_to_wait(str(n))
    assert len(limit) == 100
    assert limit.seconds_to_wait("999") > 0


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("64:ff9b::c000:207", "192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_an_ipv6_household_counts_as_one_and_all_of_ipv4_does_not(host: str, client: str) -> None:
    assert client_of(Request({"type": "http", "client": (host, 1), "headers": []})) == client
