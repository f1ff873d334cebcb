"""Holds the numbers of the product against those that are reckoned from the bare rows (`quality_by_hand`)."""

from __future__ import annotations

import math
from typing import Any

from tests.support.quality_by_hand import Number, reckoned, row

from pps.activities.ports.record import Facts
from pps.activities.quality.measures import EVER, Ledger
from pps.adapters.record.store import FactStore
from pps.domain.quality.measures import MEASURES, Value


def bare(store: FactStore) -> list[dict[str, Any]]:
    """The rows of the table, as anybody with a database client reads them."""
    columns = "rollout, kind, subject, occasion, at, payload"
    with store._transaction() as connection:
        found = connection.exec_driver_sql(f"SELECT {columns} FROM facts ORDER BY id").fetchall()
    return [row(dict(zip(columns.split(", "), values, strict=True))) for values in found]


def number_of(value: Value) -> Number:
    return value.state.value, value.number, value.part, value.whole


def assert_agreed(measured: dict[str, Value], by_hand: dict[str, Number]) -> None:
    assert list(measured) == list(MEASURES)
    for key, value in measured.items():
        state, number, part, whole_ = number_of(value)
        want = by_hand[key]
        assert (state, part, whole_) == (want[0], want[2], want[3]), (key, value, want)
        assert (number is None) == (want[1] is None), key
        assert number is None or math.isclose(number, want[1] or 0.0, abs_tol=1e-9), key
        if value.part is not None and value.counted:
            assert len(value.counted) == value.part
            assert len(value.among) == value.whole


def agrees(facts: Facts, rows: list[dict[str, Any]]) -> dict[int, dict[str, Number]]:
    """Compare everything that is on record with the second reckoning."""
    ledger, by_hand = Ledger(lambda: facts), reckoned(rows)
    for _ in range(2):  # as read, and as kept
        found = {r.patch: r for r in ledger.in_period(EVER)}
        assert found.keys() == by_hand.keys()
        for patch, measured in found.items():
            assert_agreed(dict(measured.values), by_hand[patch])
            one = ledger.whole(patch)
            assert one is not None
            assert_agreed(dict(one.values), by_hand[patch])
            for value in one.values.values():
                assert value.part in (None, len(value.counted)) and value.whole in (None, len(value.among))
    return by_hand
