"""A patch may take paths of several lines at once (a preview beside its deployment test), one of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pps.domain.base.errors import ConfigurationError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the line; all rollouts so far were previews."""
    op.add_column("rollouts", sa.Column("line", sa.Text(), nullable=False, server_default="preview"))
    op.drop_index("rollouts_one_open_per_patch", "rollouts")
    still_open = sa.text("closed_at IS NULL")
    op.create_index(
        "rollouts_one_open_per_line",
        "rollouts",
        ["line", "patch"],
        unique=True,
        postgresql_where=still_open,
        sqlite_where=still_open,
    )


def downgrade() -> None:
    """There is no way back: two open paths of one patch would break the older rule."""
    raise ConfigurationError("database of facts", "its second migration is not undone.", "Restore a backup instead.")
