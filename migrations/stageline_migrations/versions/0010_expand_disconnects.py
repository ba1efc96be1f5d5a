"""Why a session's last stream ended.

Revision: 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema here."""
    op.add_column(
        "sessions",
        sa.Column("disconnect_reason", sa.Text(), nullable=False, server_default=sa.text("''")),
    )
    op.add_column("sessions", sa.Column("disconnected_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Takes it back."""
    op.drop_column("sessions", "disconnected_at")
    op.drop_column("sessions", "disconnect_reason")
