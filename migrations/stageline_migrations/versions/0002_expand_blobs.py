"""Stored bytes: blobs, payloads over the inline limit and who refers to them, artifacts.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("blobs", "payloads", "payload_uses", "artifacts")
"""In the order in which they are made."""


def upgrade() -> None:
    """Brings the schema here."""
    op.create_table(
        "blobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
        sa.CheckConstraint("state IN ('DROPPED', 'STORED', 'WRITING')", name=op.f("ck_blobs_state_known")),
    )
    _index("ix_blobs_writing", "blobs", "changed_at", where="state = 'WRITING'")
    _index("ix_blobs_dropped", "blobs", "id", where="state = 'DROPPED'")
    _create_payloads()
    _create_artifacts()


def downgrade() -> None:
    """Takes it back."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _index(name: str, table: str, *columns: str, where: str = "") -> None:
    op.create_index(name, table, list(columns), postgresql_where=sa.text(where) if where else None)


def _create_payloads() -> None:
    """Payloads by their content, and the runs that hold them."""
    op.create_table(
        "payloads",
        sa.Column("namespace", sa.Text(collation="C"), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("keep_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "sha256", name="pk_payloads"),
    )
    _index("ix_payloads_keep_until", "payloads", "keep_until")
    op.create_table(
        "payload_uses",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("namespace", sa.Text(collation="C"), nullable=False),
        sa.Column("referenced", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "sha256", name="pk_payload_uses"),
    )
    _index("ix_payload_uses_of_payload", "payload_uses", "namespace", "sha256")


def _create_artifacts() -> None:
    """Artifacts by name."""
    op.create_table(
        "artifacts",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("namespace", sa.Text(collation="C"), nullable=False),
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("stage_id", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_artifacts"),
    )
