"""Nodes enter themselves, and nothing is written while nothing has changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from tests.support.examples import NOW
from tests.support.postgres import StoreUrls

from pps.adapters.record.store import FactStore
from pps.domain.record.nodes import Node

pytestmark = pytest.mark.needs("postgres")
NODE = Node("worker-1", "0.9.0", {"sites.yaml": "0" * 64}, NOW)


def test_each_node_has_one_row_which_changes_with_its_configuration_and_by_the_minute(
    fact_store: FactStore, store_urls: StoreUrls
) -> None:
    def writes() -> int:
        url = store_urls.superuser.replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT xmin::text::bigint FROM nodes WHERE name = 'worker-1'").fetchone()
        assert row is not None
        return int(row[0])

    fact_store.keep_node(NODE)
    first = writes()
    fact_store.keep_node(replace(NODE, seen_at=NOW + timedelta(seconds=30)))
    assert writes() == first
    # doctor's own word counts from now on
    asked = replace(NODE, seen_at=NOW + timedelta(seconds=30))
    fact_store.keep_node(asked, at_once=True)
    assert fact_store.nodes(NOW) == (asked,)
    first = writes()
    changed = replace(NODE, files={"sites.yaml": "1" * 64}, seen_at=NOW + timedelta(seconds=31))
    fact_store.keep_node(changed)
    assert (writes() != first, fact_store.nodes(NOW)) == (True, (changed,))
    later = replace(changed, seen_at=NOW + timedelta(minutes=2))
    fact_store.keep_node(later)
    fact_store.keep_node(replace(NODE, name="worker-2"))
    assert fact_store.nodes(NOW - timedelta(days=1)) == (later, replace(NODE, name="worker-2"))
    assert fact_store.nodes(NOW) == (later,)
