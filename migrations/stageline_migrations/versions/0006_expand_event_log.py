"""The log of all events, streams for each consumer of them, and what retention finds its rows by.

Revision: 0006, after 0005. No server of an earlier version ever wrote to ``outbox``, so its key may change under them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_QUEUE = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 2000,
    "autovacuum_vacuum_cost_delay": 0,
}


def upgrade() -> None:
    """Brings the schema here."""
    _create_log()
    _key_outbox_by_consumer()
    op.add_column("logs", sa.Column("generation", sa.Integer(), server_default="0", nullable=False))
    op.add_column("sessions", sa.Column("stages", postgresql.JSON(), server_default="[]", nullable=False))
    op.create_index(
        "ix_runs_ended", "runs", ["ended_at", "id"], postgresql_where=sa.text("ended_at IS NOT NULL")
    )
    op.create_index("ix_resume_tokens_of_run", "resume_tokens", ["run_id"])
    op.create_index(
        "ix_sessions_ended", "sessions", ["ended_at"], postgresql_where=sa.text("ended_at IS NOT NULL")
    )


def downgrade() -> None:
    """Takes it back. What consumers have not taken yet is forgotten: an older server tells nobody."""
    op.drop_index("ix_sessions_ended", "sessions")
    op.drop_index("ix_resume_tokens_of_run", "resume_tokens")
    op.drop_index("ix_runs_ended", "runs")
    op.drop_column("sessions", "stages")
    op.drop_column("logs", "generation")
    op.execute("DELETE FROM outbox")
    op.drop_index("ix_outbox_dead", "outbox")
    op.drop_index("ix_outbox_due", "outbox")
    op.drop_constraint(op.f("pk_outbox"), "outbox")
    op.drop_column("outbox", "dead_at")
    op.drop_column("outbox", "consumer")
    op.create_primary_key(op.f("pk_outbox"), "outbox", ["run_id"])
    op.create_index("ix_outbox_due", "outbox", ["due_at", "run_id"], postgresql_where=sa.text("NOT dead"))
    op.create_index("ix_outbox_dead", "outbox", ["run_id"], postgresql_where=sa.text("dead"))
    for table in ("event_consumers", "event_log", "event_commits"):
        op.drop_table(table)


def _create_log() -> None:
    """Commits that wait for their place in the log, the log, and who is told."""
    op.create_table(
        "event_commits",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("sequences", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_commits")),
        postgresql_with=_QUEUE,
    )
    op.create_table(
        "event_log",
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("first_sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("logged_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_event_log")),
    )
    op.create_table(
        "event_consumers",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_consumers")),
    )


def _key_outbox_by_consumer() -> None:
    """A stream for each run and consumer, instead of one for each run."""
    op.execute("DELETE FROM outbox")
    op.drop_index("ix_outbox_dead", "outbox")
    op.drop_index("ix_outbox_due", "outbox")
    op.drop_constraint(op.f("pk_outbox"), "outbox")
    op.add_column("outbox", sa.Column("consumer", sa.Text(collation="C"), nullable=False))
    op.add_column("outbox", sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True))
    op.create_primary_key(op.f("pk_outbox"), "outbox", ["run_id", "consumer"])
    op.create_index(
        "ix_outbox_due", "outbox", ["consumer", "due_at", "run_id"], postgresql_where=sa.text("NOT dead")
    )
    op.create_index("ix_outbox_dead", "outbox", ["run_id", "consumer"], postgresql_where=sa.text("dead"))
