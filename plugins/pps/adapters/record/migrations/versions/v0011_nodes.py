"""With which configuration each node works (docs/adr/0039)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pps.adapters.record import tables

revision = "0011"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Empty: each node enters itself when it is next at work."""
    op.create_table(
        "nodes",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("files", tables.JSON, nullable=False),
        sa.Column("seen_at", tables.Utc(), nullable=False),
    )


def downgrade() -> None:
    """Nobody asks for them."""
    op.drop_table("nodes")
