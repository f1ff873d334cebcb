"""Where one click ends the mails that somebody follows something by (docs/adr/0031)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Mails of versions before have no such link."""
    op.add_column("outbox", sa.Column("unsubscribe", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """The links go."""
    op.drop_column("outbox", "unsubscribe")
