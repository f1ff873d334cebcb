"""Deliveries of Zammad: only those that it signed, each once, and nothing of them is believed but where to look."""

from __future__ import annotations

import pytest

from pps.adapters.trackers.zammad_webhook import Deliveries, is_signed, ticket_of

BODY = b'{"ticket": {"id": 81, "state": "In production"}}'
#: printf '%s' BODY | openssl dgst -sha1 -hmac a-shared-secret
SIGNATURE = "sha1=94e909a7d274c7a8adc22f3e9898243b3a296c5f"


def test_a_delivery_that_zammad_signed_is_taken() -> None:
    assert is_signed(BODY, SIGNATURE, "a-shared-secret")


@pytest.mark.parametrize(
    ("body", "signature", "secret"),
    [
        (BODY + b" ", SIGNATURE, "a-shared-secret"),
        (BODY, SIGNATURE, "another"),
        (BODY, SIGNATURE[:-1], "a-shared-secret"),
        (BODY, SIGNATURE.removeprefix("sha1="), "a-shared-secret"),
        (BODY, SIGNATURE.replace("sha1", "sha256"), "a-shared-secret"),
        (BODY, "", "a-shared-secret"),
        (BODY, "sha1=", "a-shared-secret"),
        (BODY, "sha1=é\udc80", "a-shared-secret"),
        # HMAC with no key: a secret that was never set signs nothing
        (BODY, "sha1=8425ab346ef56bec8ee842db1995aeb25dfe034f", ""),
    ],
)
def test_any_other_is_not(body: bytes, signature: str, secret: str) -> None:
    assert not is_signed(body, signature, secret)


def test_a_delivery_counts_once_until_it_came_to_nothing() -> None:
    deliveries = Deliveries()
    assert deliveries.is_new("3b1f-1")
    assert not deliveries.is_new("3b1f-1")
    assert deliveries.is_new("3b1f-2")
    deliveries.forget("3b1f-1")
    assert deliveries.is_new("3b1f-1")


def test_what_is_remembered_has_an_end_and_what_is_no_id_is_not_remembered() -> None:
    deliveries = Deliveries(most=2)
    assert [deliveries.is_new(d) for d in ("1", "2", "3", "2", "1")] == [True, True, True, False, True]
    for strange in ("", "x" * 201, "a b", "a\n", "é"):
        assert deliveries.is_new(strange)
        assert deliveries.is_new(strange)
    assert not deliveries.is_new("1")


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (BODY, 81),
        (b'{"ticket": {"id": "81"}}', None),
        (b'{"ticket": {"id": true}}', None),
        (b'{"ticket": {"id": -1}}', None),
        (b'{"ticket": {"id": 1e9}}', None),
        (b'{"ticket": [81]}', None),
        (b"[]", None),
        (b"", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_a_delivery_says_at_most_where_to_look(body: bytes, number: int | None) -> None:
    assert ticket_of(body) == number
