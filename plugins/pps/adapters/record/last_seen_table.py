"""When services were last seen, and what sites have reported last: one row for each, which is written over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pps.activities.ports.record import LastReport, LastSeen
from pps.adapters.record import tables
from pps.adapters.record.database import Database


class LastSeenTable(Database):
    """Its part of the port `Facts`."""

    def saw(self, what: str, now: datetime) -> None:
        """It has answered, or was done."""
        self._note({"what": what, "seen_at": now, "missed_since": None}, {"seen_at": now, "missed_since": None})

    def missed(self, what: str, now: datetime) -> None:
        """It has not answered; the first time since it was seen counts."""
        first = sa.func.coalesce(tables.last_seen.c.missed_since, now)
        self._note({"what": what, "missed_since": now}, {"missed_since": first})

    def last_seen(self) -> Mapping[str, LastSeen]:
        """All that was ever asked."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(tables.last_seen)).all()
        return {row.what: LastSeen(row.seen_at, row.missed_since) for row in rows}

    def keep_report(self, site: str, text: str, now: datetime) -> None:
        """What the site has just reported."""
        said = {"at": now, "text": text}
        self._write(tables.site_reports, "site", {"site": site, **said}, said)

    def reports(self) -> Mapping[str, LastReport]:
        """What each site has reported last."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(tables.site_reports)).all()
        return {row.site: LastReport(row.at, row.text) for row in rows}

    def _note(self, row: Mapping[str, Any], again: Mapping[str, Any]) -> None:
        self._write(tables.last_seen, "what", row, again)

    def _write(self, table: sa.Table, key: str, row: Mapping[str, Any], again: Mapping[str, Any]) -> None:
        with self._transaction() as connection:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            written = insert(table).values(dict(row))
            connection.execute(written.on_conflict_do_update(index_elements=[key], set_=dict(again)))
