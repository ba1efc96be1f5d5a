"""The first schema: workflows, runs, stages, jobs, events, sessions, idempotency keys, logs.

Revision: 0001, after nothing.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "workflow_versions",
    "stage_routes",
    "runs",
    "run_payloads",
    "stages",
    "stage_results",
    "suspended_states",
    "resume_tokens",
    "annotations",
    "jobs",
    "events",
    "outbox",
    "sessions",
    "idempotency_keys",
    "logs",
)
"""In the order in which they are made."""


def upgrade() -> None:
    """Brings the schema here."""
    _create_workflows()
    _create_runs()
    _create_stages()
    _create_waits()
    _create_annotations()
    _create_jobs()
    _create_events()
    _create_sessions()
    _create_records()


def downgrade() -> None:
    """Takes it back."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _create_workflows() -> None:
    """Definitions and the routes of their stages."""
    op.create_table(
        "workflow_versions",
        sa.Column("namespace", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_workflow_versions_version_positive")),
        sa.PrimaryKeyConstraint("namespace", "name", "version", name=op.f("pk_workflow_versions")),
        sa.UniqueConstraint(
            "namespace", "name", "digest", name=op.f("uq_workflow_versions_namespace_name_digest")
        ),
    )
    op.create_table(
        "stage_routes",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("namespace", sa.Text(collation="C"), nullable=False),
        sa.Column("workflow_name", sa.Text(collation="C"), nullable=False),
        sa.Column("workflow_version", sa.Integer(), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("stage_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace", "workflow_name", "workflow_version"],
            ["workflow_versions.namespace", "workflow_versions.name", "workflow_versions.version"],
            name=op.f("fk_stage_routes_workflow_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stage_routes")),
        sa.UniqueConstraint(
            "namespace", "workflow_name", "workflow_version", "stage_number", name="uq_stage_routes_stage"
        ),
    )


def _create_runs() -> None:
    """Runs: the hot row, and what never changes."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace", sa.Text(collation="C"), nullable=False),
        sa.Column("workflow_name", sa.Text(collation="C"), nullable=False),
        sa.Column("workflow_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("current_group", sa.Integer(), nullable=False),
        sa.Column("open_stages", sa.Integer(), nullable=False),
        sa.Column("failed_stages", sa.Integer(), nullable=False),
        sa.Column("event_sequence", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", postgresql.JSON(), nullable=True),
        sa.Column("total_cost", sa.Numeric(), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(ended_at IS NOT NULL) = (state IN ('CANCELLED', 'COMPLETED', 'FAILED'))",
            name=op.f("ck_runs_ended_at_iff_ended"),
        ),
        sa.CheckConstraint(
            "state IN ('CANCELLED', 'COMPLETED', 'FAILED', 'PENDING', 'RUNNING')",
            name=op.f("ck_runs_state_known"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('COMPLETED', 'FAILED') OR open_stages = 0",
            name=op.f("ck_runs_no_open_stages_when_ended"),
        ),
        sa.CheckConstraint(
            "open_stages >= 0 AND failed_stages >= 0", name=op.f("ck_runs_counters_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        postgresql_with={"fillfactor": 80},
    )
    _index_runs()
    op.create_table(
        "run_payloads",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("input", postgresql.JSON(), nullable=False),
        sa.Column("config", postgresql.JSON(), nullable=False),
        sa.Column("labels", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_payloads")),
    )


def _index_runs() -> None:
    """The orders in which runs are listed, and those that wait for a time."""
    op.create_index("ix_runs_newest", "runs", ["namespace", sa.literal_column("id DESC")])
    op.create_index(
        "ix_runs_newest_of_workflow",
        "runs",
        ["namespace", "workflow_name", sa.literal_column("id DESC")],
    )
    op.create_index(
        "ix_runs_open",
        "runs",
        ["namespace", sa.literal_column("id DESC")],
        postgresql_where=sa.text("state IN ('PENDING', 'RUNNING')"),
    )
    op.create_index(
        "ix_runs_pending",
        "runs",
        [sa.literal_column("start_at NULLS FIRST")],
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    op.create_index(
        "ix_runs_deadline",
        "runs",
        ["deadline_at"],
        postgresql_where=sa.text("deadline_at IS NOT NULL AND state IN ('PENDING', 'RUNNING')"),
    )


def _create_stages() -> None:
    """Stage executions: the hot row, and what was reported."""
    op.create_table(
        "stages",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("stage_id", sa.Text(), nullable=False),
        sa.Column("group_number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("delivery", sa.Integer(), nullable=False),
        sa.Column("lease_epoch", sa.BigInteger(), nullable=False),
        sa.Column("recorded_token", sa.Uuid(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(ended_at IS NOT NULL) = (state IN ('CANCELLED', 'COMPLETED', 'FAILED', 'SKIPPED'))",
            name=op.f("ck_stages_ended_at_iff_ended"),
        ),
        sa.CheckConstraint(
            "state <> 'RUNNING' OR lease_epoch > 0", name=op.f("ck_stages_leased_when_running")
        ),
        sa.CheckConstraint(
            "state IN ('CANCELLED', 'COMPLETED', 'FAILED', 'PENDING', 'RUNNING', 'SKIPPED', 'SUSPENDED')",
            name=op.f("ck_stages_state_known"),
        ),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_stages")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "stage_results",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("output", postgresql.JSON(), nullable=True),
        sa.Column("output_bytes", sa.Integer(), nullable=False),
        sa.Column("metrics", postgresql.JSON(), nullable=False),
        sa.Column("error", postgresql.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "stage_number", "generation", name=op.f("pk_stage_results")),
    )


def _create_waits() -> None:
    """What suspended stages wait with, and the rights to end their waits from outside."""
    op.create_table(
        "suspended_states",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", postgresql.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stage_number", "generation", name=op.f("pk_suspended_states")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "resume_tokens",
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_fingerprint", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_resume_tokens")),
        postgresql_with={"fillfactor": 80},
    )


def _create_annotations() -> None:
    """Remarks about runs."""
    op.create_table(
        "annotations",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("value", postgresql.JSON(), nullable=False),
        sa.Column("details", postgresql.JSON(), nullable=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Text(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("actor_version", sa.Text(), nullable=False),
        sa.Column("emit_event", sa.Boolean(), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "id", name=op.f("pk_annotations")),
    )
    op.create_index("ix_annotations_in_order", "annotations", ["run_id", "created_at", "id"])


def _create_jobs() -> None:
    """The queue of live jobs."""
    op.create_table(
        "jobs",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("route_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("lease_epoch", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("poll_interval", sa.Interval(), nullable=True),
        sa.CheckConstraint(
            "(state = 'LEASED') = (lease_token IS NOT NULL) AND (state = 'LEASED') = (session_id IS NOT NULL)",
            name=op.f("ck_jobs_lease_iff_leased"),
        ),
        sa.CheckConstraint("kind IN ('CHECK', 'EXECUTE')", name=op.f("ck_jobs_kind_known")),
        sa.CheckConstraint("state IN ('DELAYED', 'LEASED', 'READY')", name=op.f("ck_jobs_state_known")),
        sa.PrimaryKeyConstraint("run_id", "stage_number", name=op.f("pk_jobs")),
        postgresql_with={
            "fillfactor": 70,
            "autovacuum_vacuum_scale_factor": 0,
            "autovacuum_vacuum_threshold": 2000,
            "autovacuum_vacuum_cost_delay": 0,
        },
    )
    op.create_index(
        "ix_jobs_delayed",
        "jobs",
        ["available_at"],
        postgresql_where=sa.text("state = 'DELAYED'"),
    )
    op.create_index("ix_jobs_leased", "jobs", ["session_id"], postgresql_where=sa.text("state = 'LEASED'"))
    op.create_index(
        "ix_jobs_deadline",
        "jobs",
        ["deadline_at"],
        postgresql_where=sa.text("deadline_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_ready",
        "jobs",
        ["route_id", sa.literal_column("priority DESC"), "run_id", "stage_number"],
        postgresql_where=sa.text("state = 'READY'"),
    )


def _create_events() -> None:
    """Events, and which of them no sink has taken."""
    op.create_table(
        "events",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSON(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("causation_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "sequence", name=op.f("pk_events")),
    )
    op.create_table(
        "outbox",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("published_sequence", sa.BigInteger(), nullable=False),
        sa.Column("pending_sequence", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.CheckConstraint("published_sequence < pending_sequence", name=op.f("ck_outbox_something_pending")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_outbox")),
        postgresql_with={
            "fillfactor": 70,
            "autovacuum_vacuum_scale_factor": 0,
            "autovacuum_vacuum_threshold": 2000,
            "autovacuum_vacuum_cost_delay": 0,
        },
    )
    op.create_index("ix_outbox_due", "outbox", ["due_at", "run_id"], postgresql_where=sa.text("NOT dead"))
    op.create_index("ix_outbox_dead", "outbox", ["run_id"], postgresql_where=sa.text("dead"))


def _create_sessions() -> None:
    """Worker sessions."""
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace", sa.Text(collation="C"), nullable=False),
        sa.Column("worker_name", sa.Text(), nullable=False),
        sa.Column("server_id", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("sdk", sa.Text(), nullable=False),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("labels", postgresql.JSONB(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ix_sessions_living", "sessions", ["id"], postgresql_where=sa.text("ended_at IS NULL"))
    op.create_index("ix_sessions_newest", "sessions", ["namespace", sa.literal_column("id DESC")])


def _create_records() -> None:
    """What is kept of calls and of stages' words."""
    op.create_table(
        "idempotency_keys",
        sa.Column("namespace", sa.Text(collation="C"), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("result", postgresql.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "command", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_age", "idempotency_keys", ["created_at"])
    op.create_table(
        "logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("stage_number", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("metadata", postgresql.JSON(), nullable=False),
        sa.Column("logged_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logs")),
    )
    op.create_index("ix_logs_of_run", "logs", ["run_id", "id"])
