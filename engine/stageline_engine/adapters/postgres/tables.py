"""The tables, for migrations and for people. The hot paths are the SQL in ``statements``; a test compares the two.

Times are timestamptz. States are text with a CHECK, so that a new one is a new constraint and no table rewrite. Payloads
are json, which keeps every byte (``docs/decisions/0006``). Every constraint has a name, and those of the rows repeat what
the ``check_*`` functions of ``model`` say.

Tables keyed by a run have no foreign key to it: they are written only under the run's lock, by statements that create
both, and a key would cost a look-up and a tuple lock for each row (measured: half as much database time again).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

from stageline_engine.adapters.postgres.blob_tables import artifacts, blobs, payload_uses, payloads
from stageline_engine.adapters.postgres.ledger_tables import ai_calls, lost_leases, submissions
from stageline_engine.adapters.postgres.table_parts import Name, metadata, one_of, quoted, time_column
from stageline_engine.adapters.postgres.token_tables import access_tokens
from stageline_engine.model.job import JobKind, JobState
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState

__all__ = ["access_tokens", "ai_calls", "artifacts", "blobs", "lost_leases", "metadata"]
__all__ += ["payload_uses", "payloads", "submissions"]

# Rows that are updated once or twice after their insertion: room on the page keeps such an update out of the indexes.
_UPDATED_SELDOM = {"fillfactor": 80}
# A heartbeat updates no indexed column, so it stays on its page as long as there is room.
_UPDATED_OFTEN = {"fillfactor": 50}
# A queue: each row is deleted soon, so vacuum by count of dead rows, not by share, and without pauses.
_QUEUE = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 2000,
    "autovacuum_vacuum_cost_delay": 0,
}


_RUN_ENDED = f"state IN ({quoted([state.value for state in RunState if state.terminal])})"
_STAGE_ENDED = f"state IN ({quoted([state.value for state in StageState if state.terminal])})"


workflow_versions = Table(
    "workflow_versions",
    metadata,
    Column("namespace", Name, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("definition", JSON, nullable=False),
    time_column("created_at"),
    UniqueConstraint("namespace", "name", "digest"),
    CheckConstraint("version >= 1", name="version_positive"),
)

stage_routes = Table(
    "stage_routes",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("workflow_name", Name, nullable=False),
    Column("workflow_version", Integer, nullable=False),
    Column("stage_number", Integer, nullable=False),
    Column("stage_id", Text, nullable=False),
    ForeignKeyConstraint(
        ["namespace", "workflow_name", "workflow_version"],
        ["workflow_versions.namespace", "workflow_versions.name", "workflow_versions.version"],
        ondelete="CASCADE",
    ),
    UniqueConstraint(
        "namespace", "workflow_name", "workflow_version", "stage_number", name="uq_stage_routes_stage"
    ),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("workflow_name", Name, nullable=False),
    Column("workflow_version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("current_group", Integer, nullable=False),
    Column("open_stages", Integer, nullable=False),
    Column("failed_stages", Integer, nullable=False),
    Column("event_sequence", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    time_column("created_at"),
    time_column("started_at", nullable=True),
    time_column("ended_at", nullable=True),
    Column("error", JSON),
    Column("total_cost", Numeric, nullable=False),
    Column("total_tokens", BigInteger, nullable=False),
    time_column("start_at", nullable=True),
    time_column("deadline_at", nullable=True),
    Column("lease_epoch_floor", BigInteger, nullable=False, server_default=text("0")),
    one_of("state", RunState),
    CheckConstraint(f"(ended_at IS NOT NULL) = ({_RUN_ENDED})", name="ended_at_iff_ended"),
    CheckConstraint(
        "state NOT IN ('COMPLETED', 'FAILED') OR open_stages = 0", name="no_open_stages_when_ended"
    ),
    CheckConstraint("open_stages >= 0 AND failed_stages >= 0", name="counters_not_negative"),
    postgresql_with=_UPDATED_SELDOM,
)
Index("ix_runs_newest", runs.c.namespace, runs.c.id.desc())
Index("ix_runs_created", runs.c.namespace, runs.c.created_at)
Index("ix_runs_newest_of_workflow", runs.c.namespace, runs.c.workflow_name, runs.c.id.desc())
Index(
    "ix_runs_open",
    runs.c.namespace,
    runs.c.id.desc(),
    postgresql_where=text("state IN ('PENDING', 'RUNNING')"),
)
Index("ix_runs_pending", runs.c.start_at.nulls_first(), postgresql_where=text("state = 'PENDING'"))
Index(
    "ix_runs_deadline",
    runs.c.deadline_at,
    postgresql_where=text("deadline_at IS NOT NULL AND state IN ('PENDING', 'RUNNING')"),
)

Index("ix_runs_ended", runs.c.ended_at, runs.c.id, postgresql_where=text("ended_at IS NOT NULL"))

run_payloads = Table(
    "run_payloads",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("input", JSON, nullable=False),
    Column("config", JSON, nullable=False),
    Column("labels", JSONB, nullable=False),
)
Index(
    "ix_run_payloads_labels",
    run_payloads.c.labels,
    postgresql_using="gin",
    postgresql_ops={"labels": "jsonb_path_ops"},
    postgresql_where=text("labels <> '{}'"),
)

stages = Table(
    "stages",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("stage_id", Text, nullable=False),
    Column("group_number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("delivery", Integer, nullable=False),
    Column("lease_epoch", BigInteger, nullable=False),
    Column("recorded_token", Uuid),
    Column("version", BigInteger, nullable=False),
    time_column("created_at"),
    time_column("started_at", nullable=True),
    time_column("ended_at", nullable=True),
    Column("active", Interval, nullable=False, server_default="0"),
    one_of("state", StageState),
    CheckConstraint(f"(ended_at IS NOT NULL) = ({_STAGE_ENDED})", name="ended_at_iff_ended"),
    CheckConstraint("state <> 'RUNNING' OR lease_epoch > 0", name="leased_when_running"),
    postgresql_with=_UPDATED_SELDOM,
)

stage_results = Table(
    "stage_results",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("stage_number", Integer, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("output", JSON),
    Column("output_bytes", Integer, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("error", JSON),
)

stage_progress = Table(
    "stage_progress",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("stage_number", Integer, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("said", JSON, nullable=False),
    time_column("told_at"),
    postgresql_with=_UPDATED_OFTEN,
)

suspended_states = Table(
    "suspended_states",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("stage_number", Integer, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("state", JSON, nullable=False),
    time_column("wait_until", nullable=True),
    Column("poll_interval", Interval),
    postgresql_with=_UPDATED_SELDOM,
)

resume_tokens = Table(
    "resume_tokens",
    metadata,
    Column("token_sha256", LargeBinary, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Column("stage_number", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("label", Text, nullable=False),
    time_column("expires_at", nullable=True),
    Column("used_fingerprint", LargeBinary),
    postgresql_with=_UPDATED_SELDOM,
)

Index("ix_resume_tokens_of_run", resume_tokens.c.run_id)

annotations = Table(
    "annotations",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("id", Name, primary_key=True),
    Column("key", Name, nullable=False),
    Column("value", JSON, nullable=False),
    Column("details", JSON),
    Column("scope", Text, nullable=False),
    Column("scope_id", Text, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_version", Text, nullable=False),
    Column("emit_event", Boolean, nullable=False),
    Column("stage_number", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    time_column("created_at"),
)
Index("ix_annotations_in_order", annotations.c.run_id, annotations.c.created_at, annotations.c.id)

jobs = Table(
    "jobs",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("stage_number", Integer, primary_key=True),
    Column("route_id", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    time_column("available_at"),
    Column("generation", Integer, nullable=False),
    Column("lease_epoch", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("lease_token", Uuid),
    Column("session_id", Uuid),
    time_column("deadline_at", nullable=True),
    Column("poll_interval", Interval),
    one_of("kind", JobKind),
    one_of("state", JobState),
    CheckConstraint(
        "(state = 'LEASED') = (lease_token IS NOT NULL) AND (state = 'LEASED') = (session_id IS NOT NULL)",
        name="lease_iff_leased",
    ),
    postgresql_with=_QUEUE,
)
Index(
    "ix_jobs_ready",
    jobs.c.route_id,
    jobs.c.priority.desc(),
    jobs.c.run_id,
    jobs.c.stage_number,
    postgresql_where=text("state = 'READY'"),
)
Index("ix_jobs_delayed", jobs.c.available_at, postgresql_where=text("state = 'DELAYED'"))
Index("ix_jobs_leased", jobs.c.session_id, postgresql_where=text("state = 'LEASED'"))
Index("ix_jobs_deadline", jobs.c.deadline_at, postgresql_where=text("deadline_at IS NOT NULL"))

events = Table(
    "events",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("type", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    time_column("occurred_at"),
    Column("causation_id", Uuid, nullable=False),
)

# One row for each transaction that wrote events, until the events have their place in the log (``docs/decisions/0013``).
event_commits = Table(
    "event_commits",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_ids", ARRAY(Uuid), nullable=False),
    Column("sequences", ARRAY(BigInteger), nullable=False),
    postgresql_with=_QUEUE,
)

# The events of all runs in the order in which they became visible; a row for each run of a transaction.
event_log = Table(
    "event_log",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Column("first_sequence", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    time_column("logged_at"),
)

event_consumers = Table(
    "event_consumers",
    metadata,
    Column("name", Name, primary_key=True),
    time_column("created_at"),
    time_column("seen_at"),
)

# A row exists exactly while its run has events that its consumer has not taken. ``due_at`` is when it may be claimed next.
outbox = Table(
    "outbox",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("consumer", Name, primary_key=True),
    Column("published_sequence", BigInteger, nullable=False),
    Column("pending_sequence", BigInteger, nullable=False),
    time_column("due_at"),
    time_column("locked_until", nullable=True),
    Column("tries", Integer, nullable=False),
    Column("dead", Boolean, nullable=False),
    time_column("dead_at", nullable=True),
    Column("last_error", Text, nullable=False),
    CheckConstraint("published_sequence < pending_sequence", name="something_pending"),
    postgresql_with=_QUEUE,
)
Index("ix_outbox_due", outbox.c.consumer, outbox.c.due_at, outbox.c.run_id, postgresql_where=text("NOT dead"))
Index("ix_outbox_dead", outbox.c.run_id, outbox.c.consumer, postgresql_where=text("dead"))

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("namespace", Name, primary_key=True),
    Column("command", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("result", JSON, nullable=False),
    time_column("created_at"),
)
Index("ix_idempotency_keys_age", idempotency_keys.c.created_at)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("worker_name", Text, nullable=False),
    Column("server_id", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("sdk", Text, nullable=False),
    time_column("connected_at"),
    time_column("expires_at"),
    Column("labels", JSONB, nullable=False),
    time_column("ended_at", nullable=True),
    Column("end_reason", Text, nullable=False),
    Column("stages", JSON, nullable=False, server_default=text("'[]'")),
    Column("disconnect_reason", Text, nullable=False, server_default=text("''")),
    time_column("disconnected_at", nullable=True),
    postgresql_with=_UPDATED_OFTEN,
)
Index("ix_sessions_newest", sessions.c.namespace, sessions.c.id.desc())
Index("ix_sessions_living", sessions.c.id, postgresql_where=text("ended_at IS NULL"))
Index("ix_sessions_ended", sessions.c.ended_at, postgresql_where=text("ended_at IS NOT NULL"))

logs = Table(
    "logs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Column("stage_number", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    time_column("logged_at"),
    Column("generation", Integer, nullable=False, server_default=text("0")),
)
Index("ix_logs_of_run", logs.c.run_id, logs.c.id)
