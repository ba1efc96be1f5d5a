"""Makes tokens, and takes them back so that every server learns of it."""

from uuid import UUID

from stageline_engine.model.access import AccessToken
from stageline_engine.ports import Clock, Hint, IdSource, JobTransport, TokenStore
from stageline_engine.rejections import Rejection, out_of_limits
from stageline_server.auth.tokens import Issued, TokenWish, faults, issue


class TokenOffice:
    """What may be done with tokens, on a server or on its host."""

    def __init__(self, tokens: TokenStore, transport: JobTransport, clock: Clock, ids: IdSource) -> None:
        """Takes where tokens are, the way to the servers, and the sources of time and ids."""
        self.tokens = tokens
        self.clock = clock
        self._transport = transport
        self._ids = ids

    async def create(self, wish: TokenWish) -> Issued | Rejection:
        """Makes and stores a token; a wish that is out of the limits is refused."""
        wrong = tuple(faults(wish))
        if wrong:
            return out_of_limits(wrong)
        issued = issue(wish, self._ids.new_id(), self.clock.now())
        await self.tokens.add(issued.token)
        return issued

    async def revoke(self, token_id: UUID, namespace: str) -> AccessToken | None:
        """Takes a token of a namespace back, and announces it; None where there is none.

        Raises:
            StorageUnavailableError: The database is away. Where the token is revoked already, a repeat announces it.
        """
        token = await self.tokens.revoke(token_id, namespace, self.clock.now())
        if token is not None:
            await self._transport.announce(Hint(revoked_tokens=frozenset({token.id})))
        return token
