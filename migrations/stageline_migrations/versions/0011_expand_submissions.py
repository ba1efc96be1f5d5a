"""What stages submit elsewhere, on record before it is sent.

Revision: 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema here."""
    op.create_table(
        "submissions",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=False),
        sa.Column("declared_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(phase = 'CONFIRMED') = (reference <> '')", name=op.f("ck_submissions_reference_iff_confirmed")
        ),
        sa.CheckConstraint(
            "phase IN ('CONFIRMED', 'DECLARED', 'SUSPECTED', 'WITHDRAWN')",
            name=op.f("ck_submissions_phase_known"),
        ),
        sa.PrimaryKeyConstraint("run_id", "stage_number", "generation", "key", name=op.f("pk_submissions")),
        postgresql_with={"fillfactor": 80},
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("submissions")
