"""Access tokens."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from stageline_engine.adapters.postgres.statements.changes import insert_rows
from stageline_engine.adapters.postgres.statements.columns import Column, RowShape
from stageline_engine.model.access import AccessToken


def _scopes(token: AccessToken) -> str:
    """As words, none of which holds a space; so for the next one."""
    return " ".join(sorted(token.scopes))


def _workflow_names(token: AccessToken) -> str:
    return " ".join(token.workflow_names)


ACCESS_TOKENS = RowShape(
    "access_tokens",
    (
        Column("id", "uuid", key=True),
        Column("namespace", "text"),
        Column("name", "text"),
        Column("scopes", "text", get=_scopes),
        Column("workflow_names", "text", get=_workflow_names),
        Column("secret_sha256", "bytea"),
        Column("created_at", "timestamptz"),
        Column("expires_at", "timestamptz"),
        Column("revoked_at", "timestamptz"),
    ),
)

ADD_TOKEN = insert_rows(ACCESS_TOKENS)
"""Stores a new token."""

FIND_TOKEN = f"SELECT {ACCESS_TOKENS.names} FROM access_tokens WHERE secret_sha256 = $1".encode()
"""Reads the token with a hash."""

READ_TOKENS = f"SELECT {ACCESS_TOKENS.names} FROM access_tokens WHERE id = ANY($1) ORDER BY id".encode()
"""Reads tokens by their ids."""

LIST_TOKENS = f"""
    SELECT {ACCESS_TOKENS.names} FROM access_tokens
    WHERE namespace = $1 AND ($2::uuid IS NULL OR id > $2)
      AND ($3 OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4)))
    ORDER BY id
    LIMIT $5""".encode()
"""Reads tokens that are bound to a namespace, in the order of their making."""

REVOKE_TOKEN = f"""
    UPDATE access_tokens SET revoked_at = coalesce(revoked_at, $3)
    WHERE id = $1 AND ($2::text IS NULL OR namespace = $2)
    RETURNING {ACCESS_TOKENS.names}""".encode()
"""Takes a token back; a repeat keeps the first time."""
