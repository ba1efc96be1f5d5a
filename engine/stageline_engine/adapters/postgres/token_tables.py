"""The table of access tokens. Secrets are stored hashed; lists of words as one text, since no word holds a space."""

from sqlalchemy import Column, Index, LargeBinary, Table, Text, UniqueConstraint, Uuid

from stageline_engine.adapters.postgres.table_parts import Name, metadata, time_column

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("workflow_names", Name, nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False),
    time_column("created_at"),
    time_column("expires_at", nullable=True),
    time_column("revoked_at", nullable=True),
    UniqueConstraint("secret_sha256"),
)
Index("ix_access_tokens_of_namespace", access_tokens.c.namespace, access_tokens.c.id)
