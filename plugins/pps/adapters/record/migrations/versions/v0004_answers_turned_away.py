"""How many answers each limit of a rollout has turned away (docs/adr/0023)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pps.adapters.record import tables

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A number for each limit; a rollout that is not in the register has none."""
    op.create_table(
        "turned_away",
        sa.Column("rollout", sa.Text(), sa.ForeignKey("rollouts.name"), nullable=False),
        sa.Column("limit", sa.Text(), nullable=False),
        sa.Column("number", tables.SERIAL, nullable=False),
        sa.Column("last_at", tables.Utc(), nullable=False),
        sa.PrimaryKeyConstraint("rollout", "limit"),
    )


def downgrade() -> None:
    """The numbers go."""
    op.drop_table("turned_away")
