"""Whether an AI call was wasted, written down when its run is purged.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema here."""
    op.add_column("ai_calls", sa.Column("verdict", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Takes it back. The calls of purged runs are shown as waste then, as that server knew no better."""
    op.drop_column("ai_calls", "verdict")
