"""Access tokens."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from psycopg.types.numeric import Int4

from stageline_engine.adapters.postgres import rows
from stageline_engine.adapters.postgres.arrays import array
from stageline_engine.adapters.postgres.database import PostgresDatabase
from stageline_engine.adapters.postgres.statements import tokens as statements
from stageline_engine.model.access import AccessToken


class PostgresTokens:
    """The TokenStore port. See there for what each method promises."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Takes the connections."""
        self._database = database

    async def add(self, token: AccessToken) -> None:
        """Stores a new token."""
        await self._database.run(
            statements.ADD_TOKEN, [column.collect([token]) for column in statements.ACCESS_TOKENS.columns]
        )

    async def find(self, secret_sha256: bytes) -> AccessToken | None:
        """Returns the token with a hash."""
        found = await self._database.run(statements.FIND_TOKEN, (secret_sha256,))
        return rows.access_token(found[0]) if found else None

    async def read(self, token_ids: Collection[UUID]) -> Sequence[AccessToken]:
        """Returns the tokens of these ids."""
        found = await self._database.run(statements.READ_TOKENS, (array("uuid", token_ids),))
        return [rows.access_token(values) for values in found]

    async def list(
        self, namespace: str, *, include_ended: bool, now: datetime, after: UUID | None, limit: int
    ) -> Sequence[AccessToken]:
        """Returns tokens that are bound to a namespace."""
        given = (namespace, after, include_ended, now, Int4(limit))
        found = await self._database.run(statements.LIST_TOKENS, given)
        return [rows.access_token(values) for values in found]

    async def revoke(self, token_id: UUID, namespace: str | None, now: datetime) -> AccessToken | None:
        """Takes a token back."""
        found = await self._database.run(statements.REVOKE_TOKEN, (token_id, namespace, now))
        return rows.access_token(found[0]) if found else None
