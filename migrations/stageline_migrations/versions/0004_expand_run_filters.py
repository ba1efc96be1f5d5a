"""Indexes for lists of runs by label and by time, made while runs are created and changed.

What was cut off in the middle leaves an index that is not valid: it is dropped and made anew when this is run again.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema here."""
    with op.get_context().autocommit_block():
        _drop_indexes()
        op.create_index("ix_runs_created", "runs", ["namespace", "created_at"], postgresql_concurrently=True)
        op.create_index(
            "ix_run_payloads_labels",
            "run_payloads",
            ["labels"],
            postgresql_using="gin",
            postgresql_ops={"labels": "jsonb_path_ops"},
            postgresql_where=sa.text("labels <> '{}'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Takes it back."""
    with op.get_context().autocommit_block():
        _drop_indexes()


def _drop_indexes() -> None:
    op.drop_index("ix_runs_created", "runs", if_exists=True, postgresql_concurrently=True)
    op.drop_index("ix_run_payloads_labels", "run_payloads", if_exists=True, postgresql_concurrently=True)
