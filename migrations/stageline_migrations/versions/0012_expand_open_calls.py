"""Which AI calls have only begun, as far as is known.

Revision: 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema here."""
    op.add_column(
        "ai_calls", sa.Column("is_open", sa.Boolean(), nullable=False, server_default=sa.text("false"))
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_column("ai_calls", "is_open")
