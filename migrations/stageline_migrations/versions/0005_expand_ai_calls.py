"""The ledger: AI calls, and the leases whose calls were for nothing.

Revision: 0005, after 0004.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Brings the schema here."""
    op.create_table("ai_calls", *_columns(), *_constraints())
    newest: list[Any] = [sa.literal_column("started_at DESC"), sa.literal_column("id DESC")]
    op.create_index("ix_ai_calls_newest", "ai_calls", ["namespace", *newest])
    op.create_index(
        "ix_ai_calls_of_run",
        "ai_calls",
        ["run_id", *newest],
        postgresql_where=sa.text("run_id IS NOT NULL"),
    )
    op.create_index("ix_ai_calls_topic", "ai_calls", ["namespace", "topic", "started_at"])
    op.create_index("ix_ai_calls_model", "ai_calls", ["namespace", "model_key", "started_at"])
    op.create_index(
        "ix_ai_calls_batch",
        "ai_calls",
        ["namespace", "batch_id"],
        postgresql_where=sa.text("batch_id <> ''"),
    )
    op.create_table(
        "lost_leases",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stage_number", "lease_token", name=op.f("pk_lost_leases")),
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("lost_leases")
    op.drop_table("ai_calls")


def _columns() -> list[sa.Column[Any]]:
    def name(column: str) -> sa.Column[Any]:
        return sa.Column(column, sa.Text(collation="C"), nullable=False)

    def content(column: str) -> list[sa.Column[Any]]:
        return [
            sa.Column(f"{column}_sha256", sa.LargeBinary(), nullable=True),
            sa.Column(f"{column}_bytes", sa.BigInteger(), nullable=True),
            sa.Column(column, postgresql.JSON(), nullable=True),
        ]

    counts = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
    return [
        name("namespace"),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        name("stage_id"),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        *(name(column) for column in ("topic", "call_type", "model_key", "model_id", "provider")),
        *content("prompt"),
        *content("response"),
        *(sa.Column(column, sa.BigInteger(), nullable=True) for column in counts),
        sa.Column("cost", sa.Numeric(), nullable=True),
        sa.Column("cost_source", sa.Text(), nullable=True),
        sa.Column("latency", sa.Interval(), nullable=True),
        sa.Column("maker_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", postgresql.JSON(), nullable=True),
        name("batch_id"),
        sa.Column("error_message", sa.Text(), nullable=False),
    ]


def _constraints() -> list[sa.Constraint]:
    known = "call_type IN ('BATCH', 'EMBED', 'OBJECT', 'STREAM', 'TEXT')"
    return [
        sa.CheckConstraint(known, name=op.f("ck_ai_calls_call_type_known")),
        sa.CheckConstraint("cost >= 0", name=op.f("ck_ai_calls_cost_not_negative")),
        sa.CheckConstraint(
            "(cost IS NULL) = (cost_source IS NULL)", name=op.f("ck_ai_calls_cost_has_source")
        ),
        sa.CheckConstraint(
            "lease_token IS NULL OR run_id IS NOT NULL", name=op.f("ck_ai_calls_lease_of_a_run")
        ),
        sa.PrimaryKeyConstraint("namespace", "id", name=op.f("pk_ai_calls")),
    ]
