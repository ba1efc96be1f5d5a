"""The tables of stored bytes: blobs, and the payloads and artifacts that name them."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text, Uuid, text

from stageline_engine.adapters.postgres.table_parts import Name, metadata, one_of, time_column
from stageline_engine.model.blob import BlobState

# Bytes in the blob store. A row is there before its bytes are and after they have gone, so that none are forgotten.
blobs = Table(
    "blobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("state", Text, nullable=False),
    time_column("changed_at"),
    one_of("state", BlobState),
)
Index("ix_blobs_writing", blobs.c.changed_at, postgresql_where=text("state = 'WRITING'"))
Index("ix_blobs_dropped", blobs.c.id, postgresql_where=text("state = 'DROPPED'"))

payloads = Table(
    "payloads",
    metadata,
    Column("namespace", Name, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("blob_id", Uuid, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    time_column("keep_until"),
)
Index("ix_payloads_keep_until", payloads.c.keep_until)

# Which runs hold which payloads. Not referenced: a worker of the run has put it, and has not reported yet.
payload_uses = Table(
    "payload_uses",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("referenced", Boolean, nullable=False),
)
Index("ix_payload_uses_of_payload", payload_uses.c.namespace, payload_uses.c.sha256)

artifacts = Table(
    "artifacts",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("blob_id", Uuid, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    time_column("created_at"),
    Column("stage_number", Integer, nullable=False),
    Column("stage_id", Text, nullable=False),
    Column("generation", Integer, nullable=False),
)
