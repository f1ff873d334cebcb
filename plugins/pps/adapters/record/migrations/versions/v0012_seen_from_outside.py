"""Since when a message waits, and when services were last seen (docs/adr/0042)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pps.adapters.record import tables

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What waits at this moment waits since now, as far as anybody knows; what has left needs no such time."""
    op.add_column("outbox", sa.Column("queued_at", tables.Utc()))
    op.execute("UPDATE outbox SET queued_at = CURRENT_TIMESTAMP WHERE sent_at IS NULL AND given_up_at IS NULL")
    op.create_table(
        "last_seen",
        sa.Column("what", sa.Text(), primary_key=True),
        sa.Column("seen_at", tables.Utc()),
        sa.Column("missed_since", tables.Utc()),
    )


def downgrade() -> None:
    """Nobody asks for them."""
    op.drop_table("last_seen")
    op.drop_column("outbox", "queued_at")
