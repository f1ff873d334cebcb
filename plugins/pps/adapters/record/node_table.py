"""Which nodes have been at work, and with which configuration: one row each, the newest look."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pps.adapters.record import tables
from pps.adapters.record.database import Database
from pps.domain.record.nodes import Node

#: Tasks come by the second, and nobody needs to know it better than to the minute.
_NEWS_AFTER = timedelta(minutes=1)


class Nodes(Database):
    """Nodes say how they are; `pps doctor` compares."""

    def keep_node(self, node: Node, *, at_once: bool = False) -> None:
        """Enter a node; nothing is written while it is what it was a moment ago, unless somebody asks now."""
        columns = tables.nodes.c
        row = {"name": node.name, "version": node.version, "files": dict(node.files), "seen_at": node.seen_at}
        with self._transaction() as connection:
            same = [columns.name == node.name, columns.version == node.version, columns.files == dict(node.files)]
            fresh = sa.select(sa.true()).where(*same, columns.seen_at > node.seen_at - _NEWS_AFTER)
            if not at_once and connection.execute(fresh).first() is not None:
                return
            insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(tables.nodes)
            news = {name: insert.excluded[name] for name in ("version", "files", "seen_at")}
            connection.execute(insert.values(row).on_conflict_do_update(index_elements=["name"], set_=news))

    def nodes(self, since: datetime) -> tuple[Node, ...]:
        """Those that have been at work since then."""
        query = sa.select(tables.nodes).where(tables.nodes.c.seen_at > since).order_by(tables.nodes.c.name)
        with self._reading() as connection:
            return tuple(Node(r.name, r.version, r.files, r.seen_at) for r in connection.execute(query))
