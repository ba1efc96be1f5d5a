"""How far stages are: what their code said last, and how long workers have run them.

Revision: 0008, after 0007. Stages that ended before count no time.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema here."""
    op.add_column("stages", sa.Column("active", sa.Interval(), server_default="0", nullable=False))
    op.create_table(
        "stage_progress",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("said", postgresql.JSON(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stage_number", "generation", name=op.f("pk_stage_progress")),
        postgresql_with={"fillfactor": 50},
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("stage_progress")
    op.drop_column("stages", "active")
