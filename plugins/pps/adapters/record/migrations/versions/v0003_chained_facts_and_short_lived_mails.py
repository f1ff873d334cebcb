"""Facts are chained by their hashes, the old ones too; mails that have left lose their text (docs/adr/0025)."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

from pps.adapters.record import tables
from pps.domain.base.errors import ConfigurationError
from pps.domain.record.chain import digest_of

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_AT_ONCE = 500
# as they are now, not as a later version may have them
_ROLLOUTS = sa.table("rollouts", sa.column("id"), sa.column("name"))
_FACTS = sa.table(
    "facts",
    sa.column("id"),
    *(sa.column(name, sa.Text()) for name in ("rollout", "kind", "subject", "occasion", "actor", "previous", "digest")),
    sa.column("at", tables.Utc()),
    sa.column("payload", tables.JSON),
)
_OUTBOX = sa.table(
    "outbox",
    sa.column("id"),
    *(sa.column(name, sa.Text()) for name in ("text", "html", "text_sha256")),
    sa.column("attachments", tables.JSON),
    sa.column("sent_at"),
    sa.column("given_up_at"),
)


def upgrade() -> None:
    """Add the hashes, the digests of mails, and what keeps a night's look at history short."""
    postgres = op.get_bind().dialect.name == "postgresql"
    for column in ("previous", "digest"):
        op.add_column("facts", sa.Column(column, sa.Text(), nullable=False, server_default=""))
    op.add_column("outbox", sa.Column("text_sha256", sa.Text(), nullable=False, server_default=""))
    op.add_column("rollouts", sa.Column("cleared", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("facts_in_order", "facts", ["rollout", "id"])
    if postgres:
        op.execute("ALTER TABLE facts DISABLE TRIGGER facts_append_only")
    else:
        op.execute("DROP TRIGGER facts_no_update")
    _chain_facts()
    if postgres:
        op.execute("ALTER TABLE facts ENABLE TRIGGER facts_append_only")
    else:
        op.execute(
            "CREATE TRIGGER facts_no_update BEFORE UPDATE ON facts "
            "BEGIN SELECT RAISE(ABORT, 'facts are append-only: UPDATE is refused'); END"
        )
    _forget_texts()
    if postgres:  # a fact or a mail must have these
        for table, column in (("facts", "previous"), ("facts", "digest"), ("outbox", "text_sha256")):
            op.alter_column(table, column, server_default=None)
    # of two that would follow the same fact, one is wrong: no chain forks, whatever a program does
    op.create_index("facts_follow_one", "facts", ["rollout", "previous"], unique=True)
    op.create_index(
        "rollouts_not_cleared",
        "rollouts",
        ["id"],
        postgresql_where=sa.text("NOT cleared"),
        sqlite_where=sa.text("NOT cleared"),
    )
    op.create_index("facts_kind", "facts", ["kind", "id"])
    for index, key, kind in (("facts_tarball", "name", "tarball-built"), ("facts_tag", "tag", "rollout-opened")):
        within: sa.ColumnClause[str] = sa.literal_column(
            f"(payload ->> '{key}')" if postgres else f"json_extract(payload, '$.{key}')"
        )
        where = sa.text(f"kind = '{kind}'")
        op.create_index(index, "facts", [within], postgresql_where=where, sqlite_where=where)


def _chain_facts() -> None:
    bind, facts = op.get_bind(), _FACTS
    names = bind.execute(sa.select(_ROLLOUTS.c.name).order_by(_ROLLOUTS.c.id)).scalars().all()
    update = (
        sa.update(facts)
        .where(facts.c.id == sa.bindparam("row"))
        .values(previous=sa.bindparam("before"), digest=sa.bindparam("own"))
    )
    for name in names:
        before, rows = "", []
        for row in bind.execute(sa.select(facts).where(facts.c.rollout == name).order_by(facts.c.id)):
            own = digest_of(
                before,
                rollout=name,
                kind=row.kind,
                subject=row.subject,
                occasion=row.occasion,
                at=row.at,
                actor=row.actor,
                payload=row.payload,
            )
            rows.append({"row": row.id, "before": before, "own": own})
            before = own
        for start in range(0, len(rows), _AT_ONCE):
            bind.execute(update, rows[start : start + _AT_ONCE])


def _forget_texts() -> None:
    """The digest of every mail's text; the text itself only of those that still have to go out."""
    bind, outbox = op.get_bind(), _OUTBOX
    update = sa.update(outbox).where(outbox.c.id == sa.bindparam("row")).values(text_sha256=sa.bindparam("own"))
    last = 0
    while rows := bind.execute(
        sa.select(outbox.c.id, outbox.c.text).where(outbox.c.id > last).order_by(outbox.c.id).limit(_AT_ONCE)
    ).all():
        bind.execute(update, [{"row": r.id, "own": hashlib.sha256(r.text.encode()).hexdigest()} for r in rows])
        last = rows[-1].id
    left = sa.or_(outbox.c.sent_at.is_not(None), outbox.c.given_up_at.is_not(None))
    bind.execute(sa.update(outbox).where(left).values(text="", html="", attachments=[]))


def downgrade() -> None:
    """There is no way back: the texts are gone."""
    raise ConfigurationError("database of facts", "its third migration is not undone.", "Restore a backup instead.")
