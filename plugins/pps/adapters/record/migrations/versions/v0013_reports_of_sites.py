"""What sites that fetch by themselves have reported last (docs/adr/0048)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pps.adapters.record import tables

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One row for each site, which is written over: what has happened is in the facts."""
    op.create_table(
        "site_reports",
        sa.Column("site", sa.Text(), primary_key=True),
        sa.Column("at", tables.Utc(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Sites report again within the hour."""
    op.drop_table("site_reports")
