"""Access tokens: who may call. Only hashes are stored; a token that was revoked never counts again."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from stageline_engine.model.access import AccessToken


class TokenStore(Protocol):
    """Tokens by id and by hash.

    Atomic: each method is one statement. Any method may raise ``StorageUnavailableError`` where the database is away.
    """

    async def add(self, token: AccessToken) -> None:
        """Stores a new token.

        Raises:
            ConcurrentChangeError: Its id or its hash is known.
        """
        ...

    async def find(self, secret_sha256: bytes) -> AccessToken | None:
        """Returns the token with a hash, also where it does not count any more; None where there is none."""
        ...

    async def read(self, token_ids: Collection[UUID]) -> Sequence[AccessToken]:
        """Returns the tokens of these ids, by id; those that are unknown are left out."""
        ...

    async def list(
        self, namespace: str, *, include_ended: bool, now: datetime, after: UUID | None, limit: int
    ) -> Sequence[AccessToken]:
        """Returns tokens that are bound to a namespace, by id, which is the order of their making.

        Args:
            namespace: As it is stored: ``ALL_NAMESPACES`` gives those that are bound to it, not all.
            include_ended: Whether those that expired or were revoked are among them.
            now: The present time.
            after: Only ids after this one; None means from the first on.
            limit: At most so many.
        """
        ...

    async def revoke(self, token_id: UUID, namespace: str | None, now: datetime) -> AccessToken | None:
        """Takes a token back. A repeat keeps the first time.

        Args:
            token_id: The token.
            namespace: What it must be bound to; None means whatever it is.
            now: The present time.

        Returns:
            The token as it is from then on; None where there is none.
        """
        ...
