"""By which channel a message leaves (docs/adr/0037); there is no migration 0006."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """All messages of versions before are mails."""
    op.add_column("outbox", sa.Column("channel", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """Messages of other channels go: a version before would take them for mails."""
    op.execute("DELETE FROM outbox WHERE channel <> ''")
    op.drop_column("outbox", "channel")
