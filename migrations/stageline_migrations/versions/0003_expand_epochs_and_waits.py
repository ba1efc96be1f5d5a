"""Lease epochs that outlive a rerun, and waits that outlive a repair.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema here."""
    op.add_column(
        "runs", sa.Column("lease_epoch_floor", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("suspended_states", sa.Column("wait_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("suspended_states", sa.Column("poll_interval", sa.Interval(), nullable=True))


def downgrade() -> None:
    """Takes it back."""
    op.drop_column("suspended_states", "poll_interval")
    op.drop_column("suspended_states", "wait_until")
    op.drop_column("runs", "lease_epoch_floor")
