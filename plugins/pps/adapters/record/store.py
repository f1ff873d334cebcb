"""Facts, the register of rollouts and the outbox in one database (port `Facts`).

PostgreSQL everywhere, SQLite in unit tests. The tables are made by the migrations beside this
module (see schema.py). Whatever a method does happens in one transaction.

Facts of one rollout are recorded one after the other, each with the hash of the one before (domain/record/chain.py): a
transaction that records facts first locks the rows of their rollouts in the register, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pps.activities.ports.people import Mail
from pps.activities.ports.record import OpenRollout
from pps.adapters.record import tables
from pps.adapters.record.database import parsed
from pps.adapters.record.last_seen_table import LastSeenTable
from pps.adapters.record.node_table import Nodes
from pps.adapters.record.outbox_table import Outbox, queue
from pps.adapters.record.tables import insert_once, storable
from pps.domain.base.errors import AlreadyOpenError, NotYetAllowedError
from pps.domain.people.feedback import Limit
from pps.domain.record import chain
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import NO_ROLLOUTS, Rollout, RolloutPath, dossier_name, line_of, rollout_id
from pps.domain.record.site_states import OVERTAKEN_KINDS, STATE_KINDS

#: How many facts are read at a time where all are read.
_FACTS_AT_ONCE = 1000


def _marks() -> sa.Select[Any]:
    """Made once: it is asked with each page that anybody reads."""
    row, fact = tables.rollouts.c, tables.facts.c

    def newest(of: sa.ColumnElement[str]) -> sa.ScalarSelect[int]:
        return sa.select(sa.func.max(fact.id)).where(fact.rollout == of).scalar_subquery()

    dossier = sa.literal(f"{RolloutPath.DOSSIER}-") + sa.cast(row.patch, sa.Text())
    ended = row.closed_at
    return (
        sa.select(tables.rollouts, newest(row.name).label("own"), newest(dossier).label("of_patch"))
        .where(row.path.in_(sa.bindparam("paths", expanding=True)))
        .where(ended.is_(None) | (ended > sa.bindparam("closed_after", type_=tables.Utc())))
        .order_by(row.id.desc())
    )


_MARKS = _marks()


def upgrade(url: str, application: str = "") -> None:
    """Bring the database to the newest schema; `pps db upgrade`. Doing it twice, or two at once, changes nothing more.

    Args:
        url: of the role that owns the tables.
        application: URL of the application's own role, which gets the rights that it needs and no others.
    """
    store = FactStore(url)
    try:
        store.upgrade(parsed(application).username or "" if application else "")
    finally:
        store.dispose()


class FactStore(Outbox, Nodes, LastSeenTable):
    """The port `Facts` on SQLAlchemy."""

    # --- the register of rollouts

    def open(self, path: str, patch: int, opening: Fact, run: str) -> bool:
        """Register a rollout and record its opening fact; see the port."""
        with self._transaction() as connection:
            row = {
                "name": opening.rollout,
                "path": path,
                "line": line_of(path),
                "patch": patch,
                "run": run,
                "opened_at": opening.at,
            }
            # No conflict target: whichever of name, (patch, run) and "one open per line and patch" says no.
            if insert_once(connection, tables.rollouts, row):
                self._insert_facts(connection, (opening,))
                return True
            mine = sa.select(tables.rollouts.c.name).where(
                tables.rollouts.c.patch == patch, tables.rollouts.c.run == run
            )
            if connection.execute(mine).first() is not None:
                return False
            running = sa.select(tables.rollouts.c.name).where(
                tables.rollouts.c.patch == patch,
                tables.rollouts.c.line == line_of(path),
                tables.rollouts.c.closed_at.is_(None),
            )
            name = connection.execute(running).scalar()
        if name is None:  # it was closed between the caller's next_name and now
            raise AlreadyOpenError(f"patch {patch}", f"{opening.rollout} has just ended.", "Start it again.")
        raise AlreadyOpenError(
            f"patch {patch}",
            f"is being rolled out already, by {name}.",
            f"Wait for its end, or look at: pps rollout show {name}.",
        )

    def close(self, closing: Fact) -> None:
        """Record the closing fact and free the patch."""
        with self._transaction() as connection:
            self._insert_facts(connection, (closing,))
            still_open = sa.and_(tables.rollouts.c.name == closing.rollout, tables.rollouts.c.closed_at.is_(None))
            connection.execute(sa.update(tables.rollouts).where(still_open).values(closed_at=closing.at))

    def next_name(self, path: str, patch: int, run: str = "") -> str:
        """Name of the rollout that `run` opened, else of the one that is open in this line, else of the next one."""
        query = sa.select(tables.rollouts).where(
            tables.rollouts.c.patch == patch, tables.rollouts.c.line == line_of(path)
        )
        with self._transaction() as connection:
            rows = connection.execute(query.order_by(tables.rollouts.c.id)).all()
        own = [row.name for row in rows if run and row.run == run]
        still_open = [row.name for row in rows if row.closed_at is None]
        same_path = sum(row.path == path for row in rows)
        return str((own or still_open or [rollout_id(path, patch, same_path + 1)])[0])

    def rollouts(
        self,
        *,
        open_only: bool = False,
        paths: Collection[str] = (),
        patch: int | None = None,
        not_cleared: bool = False,
        closed_after: datetime | None = None,
        as_of: datetime | None = None,
    ) -> tuple[OpenRollout, ...]:
        """The register, newest first; see the port."""
        query = sa.select(tables.rollouts).order_by(tables.rollouts.c.id.desc())
        if as_of is not None:
            query = query.where(tables.rollouts.c.opened_at <= as_of)
        if paths:
            query = query.where(tables.rollouts.c.path.in_(list(paths)))
        else:
            query = query.where(tables.rollouts.c.path.not_in(NO_ROLLOUTS))
        if patch is not None:
            query = query.where(tables.rollouts.c.patch == patch)
        if open_only:
            query = query.where(tables.rollouts.c.closed_at.is_(None))
        if not_cleared:
            query = query.where(tables.rollouts.c.cleared.is_(sa.false()))
        if closed_after is not None:
            ended = tables.rollouts.c.closed_at
            query = query.where(ended.is_(None) | (ended > closed_after))
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return tuple(OpenRollout(r.name, r.path, r.patch, r.opened_at, _if_by(r.closed_at, as_of)) for r in rows)

    def mark_cleared(self, record: Rollout) -> bool:
        """Put in the register that no site holds anything of it, unless more is on record than what was read."""
        mine = tables.rollouts.c.name == record.name
        with self._transaction() as connection:
            self._lock(connection, [record.name])
            count = sa.select(sa.func.count()).where(tables.facts.c.rollout == record.name)
            if connection.execute(count).scalar() != len(record.facts):
                return False
            connection.execute(sa.update(tables.rollouts).where(mine).values(cleared=True))
            return True

    def count_turned_away(self, rollout: str, limit: Limit, now: datetime) -> None:
        """One number for each limit of a rollout, so a flood adds no rows here; see the port."""
        table = tables.turned_away
        row = {"rollout": rollout, "limit": limit.value, "number": 1, "last_at": now}
        with self._transaction() as connection:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            again = {"number": table.c.number + 1, "last_at": now}
            added = insert(table).values(row).on_conflict_do_update(index_elements=["rollout", "limit"], set_=again)
            connection.execute(added)

    def turned_away(self, rollout: str) -> Mapping[Limit, int]:
        """How many answers each limit has turned away."""
        table = tables.turned_away
        query = sa.select(table.c.limit, table.c.number).where(table.c.rollout == rollout)
        with self._reading() as connection:
            return {Limit(limit): number for limit, number in connection.execute(query)}

    # --- facts

    def rollout(self, name: str) -> Rollout:
        """All facts of a rollout, in the order of recording."""
        facts = self._facts(tables.facts.c.rollout == name)
        if not facts:
            next_step = "Names are listed by: pps rollout list."
            raise NotYetAllowedError(f"rollout {name[:80]!r}", "is not on record.", next_step)
        return Rollout(name, facts)

    def newest(self, names: Collection[str]) -> Mapping[str, int]:
        """The number of each record's newest fact. That of all facts would not do as a mark of what is new: numbers are
        given before transactions end, so a lower one may appear after a higher; within a record they come in order."""
        register = tables.rollouts.c
        number = sa.select(sa.func.max(tables.facts.c.id)).where(tables.facts.c.rollout == register.name)
        query = sa.select(register.name, number.scalar_subquery()).where(register.name.in_(list(names)))
        with self._reading() as connection:
            return {name: fact for name, fact in connection.execute(query) if fact is not None}

    def marks(self, paths: Collection[str], closed_after: datetime) -> Sequence[tuple[OpenRollout, int, int]]:
        """Rows of the register, and what their newest facts are, in one look; see the port."""
        with self._reading() as connection:
            found = connection.execute(_MARKS, {"paths": list(paths), "closed_after": closed_after}).all()
        return [
            (OpenRollout(r.name, r.path, r.patch, r.opened_at, r.closed_at), r.own or 0, r.of_patch or 0) for r in found
        ]

    def standing(self, names: Collection[str], as_of: datetime | None = None) -> Mapping[str, Rollout]:
        """Rollouts and dossiers as they stand; see the port."""
        fact = tables.facts.c
        then = () if as_of is None else (fact.at <= as_of,)
        these, kind = sa.and_(fact.rollout.in_(sorted(names)), *then), fact.kind
        of_sites = sa.and_(these, kind.in_([k.value for k in STATE_KINDS]))
        newest_of_site = sa.select(sa.func.max(fact.id)).where(of_sites).group_by(fact.rollout, fact.subject)
        newest_of_actor = sa.select(sa.func.max(fact.id)).where(these).group_by(fact.rollout, fact.actor)
        last_change = sa.select(fact.rollout, sa.func.max(fact.at)).where(these).group_by(fact.rollout)
        latest = sa.select(sa.func.max(fact.id)).where(these, sa.tuple_(fact.rollout, fact.at).in_(last_change))
        overtaken = sa.and_(
            kind.in_([k.value for k in OVERTAKEN_KINDS]),
            fact.id.not_in(newest_of_site),
            fact.id.not_in(newest_of_actor),
            fact.id.not_in(latest.group_by(fact.rollout)),
        )
        found: dict[str, list[Fact]] = {name: [] for name in names}
        for one in self._facts(sa.and_(these, sa.not_(overtaken))):
            found[one.rollout].append(one)
        return {name: Rollout(name, tuple(facts)) for name, facts in found.items()}

    def about(self, names: Collection[str], subject: str) -> Mapping[str, Rollout]:
        """What these records say of the whole and of one subject; see the port."""
        fact = tables.facts.c
        found: dict[str, list[Fact]] = {name: [] for name in names}
        for one in self._facts(sa.and_(fact.rollout.in_(sorted(names)), fact.subject.in_(["", subject]))):
            found[one.rollout].append(one)
        return {name: Rollout(name, tuple(facts)) for name, facts in found.items()}

    def has(self, rollout: str, kind: FactKind) -> bool:
        """Tell whether a fact of this kind is on record."""
        return bool(self._facts(sa.and_(tables.facts.c.rollout == rollout, tables.facts.c.kind == kind.value)))

    def dossier(self, patch: int) -> Rollout:
        """The patch's dossier; see the port."""
        return Rollout(name := dossier_name(patch), self._facts(tables.facts.c.rollout == name))

    def facts_of_kind(
        self, kinds: Collection[FactKind], since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Fact, ...]:
        """Facts of all rollouts and dossiers; see the port."""
        wanted: list[sa.ColumnElement[bool]] = [tables.facts.c.kind.in_([kind.value for kind in kinds])]
        wanted += [tables.facts.c.at >= since] if since is not None else []
        wanted += [tables.facts.c.at < until] if until is not None else []
        return self._facts(sa.and_(*wanted))

    def with_payload(self, kind: FactKind, key: str, values: Collection[str]) -> tuple[Fact, ...]:
        """Facts of this kind whose payload has one of these texts under `key`; see the port."""
        found = tables.facts.c.payload[key].as_string().in_(list(values))
        return self._facts(sa.and_(tables.facts.c.kind == kind.value, found))

    def subjects(self, rollout: str, kind: FactKind) -> tuple[str, ...]:
        """The next one after each, by the index of what makes a fact unique; see the port."""
        mine = sa.and_(tables.facts.c.rollout == rollout, tables.facts.c.kind == kind.value)
        least = sa.func.min(tables.facts.c.subject)
        found = sa.select(least.label("subject")).where(mine).cte("found", recursive=True)
        after = sa.select(least).where(mine, tables.facts.c.subject > found.c.subject).scalar_subquery()
        found = found.union_all(sa.select(after).where(found.c.subject.is_not(None)))
        query = sa.select(found.c.subject).where(found.c.subject.is_not(None))
        with self._reading() as connection:
            return tuple(connection.execute(query).scalars())

    def chains(self, rollout: str = "") -> Iterator[tuple[str, Iterator[chain.Link]]]:
        """Every record of the register (or one), oldest first, with its facts as they are stored."""
        query = sa.select(tables.rollouts.c.name).order_by(tables.rollouts.c.id)
        if rollout:
            query = query.where(tables.rollouts.c.name == rollout)
        with self._transaction() as connection:
            names = connection.execute(query).scalars().all()
        for name in names:
            yield name, self.links(name)

    def heads(self) -> dict[str, str]:
        """The hash of the newest fact of every record of the register, oldest record first; "" where there is none."""
        newest = (
            sa.select(tables.facts.c.digest)
            .where(tables.facts.c.rollout == tables.rollouts.c.name)
            .order_by(tables.facts.c.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        query = sa.select(tables.rollouts.c.name, newest).order_by(tables.rollouts.c.id)
        with self._reading() as connection:
            return {name: digest or "" for name, digest in connection.execute(query)}

    def links(self, name: str) -> Iterator[chain.Link]:
        """The facts of one record as they are stored, in the order of recording."""
        columns = [tables.facts.c[field] for field in chain.Link.__slots__]
        last = None
        while True:
            query = sa.select(tables.facts.c.id, *columns).where(tables.facts.c.rollout == name)
            if last is not None:
                query = query.where(tables.facts.c.id > last)
            with self._transaction() as connection:
                rows = connection.execute(query.order_by(tables.facts.c.id).limit(_FACTS_AT_ONCE)).all()
            if not rows:
                return
            yield from (chain.Link(*row[1:]) for row in rows)
            last = rows[-1].id

    def _facts(self, wanted: sa.ColumnElement[bool]) -> tuple[Fact, ...]:
        with self._reading() as connection:
            rows = connection.execute(sa.select(tables.facts).where(wanted).order_by(tables.facts.c.id)).all()
        return tuple(_fact(row) for row in rows)

    def record_in_dossier(self, patch: int, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        """Record facts in the patch's dossier, opening it first; see the port."""
        if not facts:
            return ()
        name = dossier_name(patch)
        payload = {"path": RolloutPath.DOSSIER.value, "patch": patch}
        opening = Fact(name, FactKind.ROLLOUT_OPENED, "", "", facts[0].at, facts[0].actor, payload)
        self.open(RolloutPath.DOSSIER, patch, opening, name)
        return self.record(*facts, mails=mails)

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        """Record facts, and queue mails, in one transaction; return the facts that were new."""
        if not facts and not mails:
            return ()
        with self._transaction() as connection:
            new = self._insert_facts(connection, facts)
            queue(connection, mails)
            return new

    def _insert_facts(self, connection: sa.Connection, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        heads = self._lock(connection, {fact.rollout for fact in facts})
        new = []
        for fact in facts:
            row = {
                "rollout": fact.rollout,
                "kind": fact.kind.value,
                "subject": storable(fact.subject),
                "occasion": storable(fact.occasion),
                "at": fact.at,
                "actor": storable(fact.actor),
                "payload": storable(dict(fact.payload)),
            }
            previous = heads.get(fact.rollout, "")
            digest = chain.digest_of(previous, **row)
            row |= {"previous": previous, "digest": digest}
            if insert_once(connection, tables.facts, row, ("rollout", "kind", "subject", "occasion")):
                heads[fact.rollout] = digest
                new.append(fact)
        return tuple(new)

    def _lock(self, connection: sa.Connection, names: Collection[str]) -> dict[str, str]:
        """Let nobody else record facts of these rollouts until this transaction ends; return the heads of their chains.

        In two statements: in one, PostgreSQL would give the heads as they were before the wait for the rows.
        """
        register, facts = tables.rollouts.c, tables.facts.c
        # NO KEY UPDATE: the foreign keys of others' facts do not have to wait
        lock = sa.select(register.name, register.cleared).where(register.name.in_(sorted(names)))
        rows = connection.execute(lock.order_by(register.name).with_for_update(key_share=True)).all()
        if cleared := [row.name for row in rows if row.cleared]:
            again = sa.update(tables.rollouts).where(register.name.in_(cleared)).values(cleared=False)
            connection.execute(again)
        heads = {}
        for row in rows:
            newest = sa.select(facts.digest).where(facts.rollout == row.name).order_by(facts.id.desc()).limit(1)
            heads[row.name] = connection.execute(newest).scalar() or ""
        return heads


def _if_by(moment: datetime | None, as_of: datetime | None) -> datetime | None:
    """A moment, if it had come by then."""
    return None if moment and as_of and moment > as_of else moment


def _fact(row: Any) -> Fact:
    return Fact(row.rollout, FactKind(row.kind), row.subject, row.occasion, row.at, row.actor, row.payload)
