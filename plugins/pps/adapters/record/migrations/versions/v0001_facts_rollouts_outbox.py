"""Facts, register of rollouts, outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from pps.domain.base.errors import ConfigurationError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)

_REFUSE_IN_POSTGRESQL = """
CREATE FUNCTION pps_facts_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'facts are append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER facts_append_only BEFORE UPDATE OR DELETE ON facts
    FOR EACH ROW EXECUTE FUNCTION pps_facts_are_append_only();
CREATE TRIGGER facts_not_emptied BEFORE TRUNCATE ON facts
    FOR EACH STATEMENT EXECUTE FUNCTION pps_facts_are_append_only();
"""


def upgrade() -> None:
    """Create the three tables; a trigger keeps facts as they were recorded."""
    op.create_table(
        "rollouts",
        sa.Column("id", _SERIAL, sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("patch", sa.Integer(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("closed_at", _TIME),
        sa.UniqueConstraint("name", name="rollouts_name"),
        sa.UniqueConstraint("patch", "run", name="rollouts_patch_run"),
    )
    still_open = sa.text("closed_at IS NULL")
    op.create_index(
        "rollouts_one_open_per_patch",
        "rollouts",
        ["patch"],
        unique=True,
        postgresql_where=still_open,
        sqlite_where=still_open,
    )
    op.create_table(
        "facts",
        sa.Column("id", _SERIAL, sa.Identity(), primary_key=True),
        sa.Column("rollout", sa.Text(), sa.ForeignKey("rollouts.name", name="facts_rollout"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("occasion", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("payload", _JSON, nullable=False),
        sa.UniqueConstraint("rollout", "kind", "subject", "occasion", name="facts_once"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", _SERIAL, sa.Identity(), primary_key=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("attachments", _JSON, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("first_tried_at", _TIME),
        sa.Column("due_at", _TIME),
        sa.Column("claimed_until", _TIME),
        sa.Column("sent_at", _TIME),
        sa.Column("given_up_at", _TIME),
        sa.Column("last_error", sa.Text(), nullable=False, server_default=""),
        sa.UniqueConstraint("key", name="outbox_once"),
    )
    op.create_index("outbox_rollout", "outbox", ["rollout"])
    waiting = sa.text("sent_at IS NULL AND given_up_at IS NULL")
    op.create_index("outbox_waiting", "outbox", ["id"], postgresql_where=waiting, sqlite_where=waiting)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_REFUSE_IN_POSTGRESQL)
    else:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER facts_no_{verb.lower()} BEFORE {verb} ON facts "
                f"BEGIN SELECT RAISE(ABORT, 'facts are append-only: {verb} is refused'); END"
            )


def downgrade() -> None:
    """There is no way back: facts stay readable for ever."""
    raise ConfigurationError("database of facts", "its first migration is not undone.", "Restore a backup instead.")
