"""Access tokens."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.adapters.memory.state import MemoryState
from stageline_engine.errors import ConcurrentChangeError
from stageline_engine.model.access import AccessToken


class MemoryTokenStore:
    """The TokenStore port. See there for what each method promises."""

    def __init__(self, state: MemoryState) -> None:
        """Takes the state to keep tokens in."""
        self._tokens = state.tokens

    async def add(self, token: AccessToken) -> None:
        """Stores a new token."""
        if token.id in self._tokens or await self.find(token.secret_sha256) is not None:
            raise ConcurrentChangeError(f"token {token.id} exists")
        self._tokens[token.id] = token

    async def find(self, secret_sha256: bytes) -> AccessToken | None:
        """Returns the token with a hash."""
        return next((token for token in self._tokens.values() if token.secret_sha256 == secret_sha256), None)

    async def read(self, token_ids: Collection[UUID]) -> Sequence[AccessToken]:
        """Returns the tokens of these ids."""
        return [self._tokens[one] for one in sorted(set(token_ids)) if one in self._tokens]

    async def list(
        self, namespace: str, *, include_ended: bool, now: datetime, after: UUID | None, limit: int
    ) -> Sequence[AccessToken]:
        """Returns tokens that are bound to a namespace."""
        found = [
            token
            for token_id, token in sorted(self._tokens.items())
            if token.namespace == namespace
            and (after is None or token_id > after)
            and (include_ended or token.counts(now))
        ]
        return found[:limit]

    async def revoke(self, token_id: UUID, namespace: str | None, now: datetime) -> AccessToken | None:
        """Takes a token back."""
        token = self._tokens.get(token_id)
        if token is None or (namespace is not None and token.namespace != namespace):
            return None
        self._tokens[token_id] = replace(token, revoked_at=token.revoked_at or now)
        return self._tokens[token_id]
