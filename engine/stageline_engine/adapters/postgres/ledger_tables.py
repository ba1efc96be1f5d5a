"""The tables of the ledger and of what is bought elsewhere; ``tables`` has them too. There is no foreign key, for the reason that is told there."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

from stageline_engine.adapters.postgres.table_parts import Name, metadata, one_of, time_column
from stageline_engine.model.ai_call import CallType
from stageline_engine.model.submission import SubmissionPhase

ai_calls = Table(
    "ai_calls",
    metadata,
    Column("namespace", Name, primary_key=True),
    Column("id", Uuid, primary_key=True),
    time_column("started_at"),
    time_column("recorded_at"),
    Column("run_id", Uuid),
    Column("stage_number", Integer, nullable=False),
    Column("stage_id", Name, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lease_token", Uuid),
    Column("verdict", Boolean),
    Column("topic", Name, nullable=False),
    Column("call_type", Name, nullable=False),
    Column("model_key", Name, nullable=False),
    Column("model_id", Name, nullable=False),
    Column("provider", Name, nullable=False),
    Column("prompt_sha256", LargeBinary),
    Column("prompt_bytes", BigInteger),
    Column("prompt", JSON),
    Column("response_sha256", LargeBinary),
    Column("response_bytes", BigInteger),
    Column("response", JSON),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cached_input_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("cost", Numeric),
    Column("cost_source", Text),
    Column("latency", Interval),
    time_column("maker_started_at", nullable=True),
    Column("metadata", JSON),
    Column("batch_id", Name, nullable=False),
    Column("error_message", Text, nullable=False),
    Column("is_open", Boolean, nullable=False, server_default=text("false")),
    one_of("call_type", CallType),
    CheckConstraint("cost >= 0", name="cost_not_negative"),
    CheckConstraint("(cost IS NULL) = (cost_source IS NULL)", name="cost_has_source"),
    CheckConstraint("lease_token IS NULL OR run_id IS NOT NULL", name="lease_of_a_run"),
)
Index("ix_ai_calls_newest", ai_calls.c.namespace, ai_calls.c.started_at.desc(), ai_calls.c.id.desc())
Index(
    "ix_ai_calls_of_run",
    ai_calls.c.run_id,
    ai_calls.c.started_at.desc(),
    ai_calls.c.id.desc(),
    postgresql_where=text("run_id IS NOT NULL"),
)
Index("ix_ai_calls_topic", ai_calls.c.namespace, ai_calls.c.topic, ai_calls.c.started_at)
Index("ix_ai_calls_model", ai_calls.c.namespace, ai_calls.c.model_key, ai_calls.c.started_at)
Index(
    "ix_ai_calls_batch",
    ai_calls.c.namespace,
    ai_calls.c.batch_id,
    postgresql_where=text("batch_id <> ''"),
)

# Leases that ended without an outcome: the AI calls under them were for nothing, also those that are told later.
lost_leases = Table(
    "lost_leases",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("stage_number", Integer, primary_key=True),
    Column("lease_token", Uuid, primary_key=True),
)

# What stages submit elsewhere, from before it is sent: whoever has the job next finds it here.
submissions = Table(
    "submissions",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("stage_number", Integer, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lease_token", Uuid, nullable=False),
    time_column("declared_at"),
    time_column("changed_at"),
    one_of("phase", SubmissionPhase),
    CheckConstraint("(phase = 'CONFIRMED') = (reference <> '')", name="reference_iff_confirmed"),
    postgresql_with={"fillfactor": 80},
)
