"""Lets calls in by their tokens, and ends those that live by a token that does not count any more.

A token is looked up once and remembered: a call costs a hash and a look into a table, no query. Whoever revokes a token
announces it to all servers, which forget it and end what lives by it. As hints may be lost, everything is looked up again
after the connection that brings them was broken, and what is remembered is looked up again after a minute of use.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from stageline_engine.errors import EngineError
from stageline_engine.model.access import AccessToken
from stageline_engine.ports import Clock, Hint, TokenStore
from stageline_server.auth.grants import Grant, denied, unauthenticated
from stageline_server.auth.rules import Rule

_log = logging.getLogger(__name__)

HEADER = "authorization"
_BEARER = "bearer "
_SENT_LENGTH_MAX = 512

REMEMBERED_MAX = 10_000
"""Tokens that are remembered, known and unknown: those of a large deployment, at a few hundred bytes each."""

REMEMBERED_FOR = timedelta(seconds=60)
"""How long a token is believed without a new look: the longest that one lives on whose hint was lost without a trace."""

RECHECK_PAUSE = timedelta(seconds=1)
"""Wait before what lives is looked at again, after the database was away."""

Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What was found under a hash, and when by the monotonic clock; None where there was nothing."""

    token: AccessToken | None
    looked_up_at: float


class Gate:
    """Knows who may call. Everything belongs to one event loop."""

    def __init__(self, tokens: TokenStore, clock: Clock) -> None:
        """Takes where tokens are, and the clock by which they expire."""
        self._tokens = tokens
        self._clock = clock
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._changes = 0
        self._living: dict[UUID, set[Grant]] = {}
        self._rechecking: asyncio.Task[None] | None = None

    async def admit(self, metadata: Metadata, rule: Rule | None) -> AccessToken:
        """Returns the token of a call, which is good for a method.

        Args:
            metadata: As the call bears it.
            rule: What the method needs; None where nobody may call it.

        Raises:
            RefusedError: UNAUTHENTICATED where there is no token that counts, PERMISSION_DENIED where it does not allow this.
            StorageUnavailableError: The token is not known yet, and the database is away.
        """
        token = await self._look_up(hashlib.sha256(_sent(metadata).encode()).digest())
        if token is None:
            raise unauthenticated("The token is unknown. Is it whole, and of this deployment?")
        if not token.counts(self._clock.now()):
            ended = "was revoked" if token.revoked_at is not None else "has expired"
            raise unauthenticated(f"The token {token.name!r} {ended}. Get a new one.")
        _check(token, rule)
        return token

    @contextmanager
    def living(self, token: AccessToken) -> Iterator[Grant]:
        """Gives a call its right for as long as the block lasts; it ends early when the token does.

        To be called without a wait after ``admit``.
        """
        grant, timer = Grant(token), None
        if token.expires_at is not None:
            left = (token.expires_at - self._clock.now()).total_seconds()
            timer = asyncio.get_running_loop().call_later(max(left, 0), grant.end)
        living = self._living.setdefault(token.id, set())
        living.add(grant)
        try:
            yield grant
        finally:
            if timer is not None:
                timer.cancel()
            living.discard(grant)
            if not living and self._living.get(token.id) is living:
                del self._living[token.id]

    def take(self, hint: Hint) -> None:
        """Takes what a hint says of tokens."""
        if hint.revoked_tokens:
            self.revoked(hint.revoked_tokens)
        if hint.all_tokens:
            self._forget()
            self._recheck_soon()

    def revoked(self, token_ids: frozenset[UUID]) -> None:
        """Forgets tokens that were taken back, and ends what lives by them."""
        self._forget(token_ids)
        for token_id in token_ids:
            for grant in tuple(self._living.get(token_id, ())):
                grant.end()

    async def stop(self) -> None:
        """Ends what works by itself."""
        if self._rechecking is not None:
            self._rechecking.cancel()
            await asyncio.gather(self._rechecking, return_exceptions=True)

    def _forget(self, token_ids: frozenset[UUID] | None = None) -> None:
        """Forgets tokens, or all. A look-up that is under way must not be believed either."""
        self._changes += 1
        for digest, found in tuple(self._remembered.items()):
            if token_ids is None or (found.token is not None and found.token.id in token_ids):
                del self._remembered[digest]

    async def _look_up(self, digest: bytes) -> AccessToken | None:
        found = self._remembered.get(digest)
        if found is not None and time.monotonic() - found.looked_up_at < REMEMBERED_FOR.total_seconds():
            self._remembered.move_to_end(digest)
            return found.token
        while True:
            changes = self._changes
            token = await self._tokens.find(digest)
            if changes == self._changes:
                break
        self._remembered[digest] = _Remembered(token, time.monotonic())
        self._remembered.move_to_end(digest)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return token

    def _recheck_soon(self) -> None:
        if self._living and (self._rechecking is None or self._rechecking.done()):
            self._rechecking = asyncio.create_task(self._recheck(), name="look at living tokens again")

    async def _recheck(self) -> None:
        """Ends what lives by tokens that were revoked while no hint could come."""
        while True:
            try:
                known = {token.id: token for token in await self._tokens.read(list(self._living))}
            except EngineError:
                _log.warning("tokens could not be looked at again; trying again", exc_info=True)
                await asyncio.sleep(RECHECK_PAUSE.total_seconds())
                continue
            now = self._clock.now()
            self.revoked(
                frozenset(one for one in self._living if one in known and not known[one].counts(now))
            )
            return


def _sent(metadata: Metadata) -> str:
    """The token that a call bears.

    Raises:
        RefusedError: It bears none. UNAUTHENTICATED.
    """
    value = next((value for key, value in metadata if key == HEADER), "")
    text = value if isinstance(value, str) else ""
    if not text[: len(_BEARER)].lower() == _BEARER or len(text) > _SENT_LENGTH_MAX:
        raise unauthenticated(
            "This server wants a token: metadata `authorization: Bearer TOKEN`. SDKs and the command line take it from "
            "STAGELINE_TOKEN."
        )
    return text[len(_BEARER) :].strip()


def _check(token: AccessToken, rule: Rule | None) -> None:
    if rule is None:
        raise denied("No token allows this method.", token.namespace, "method")
    if not rule.scopes & token.scopes:
        wanted = " or ".join(sorted(scope.value.lower() for scope in rule.scopes))
        has = ", ".join(sorted(scope.value.lower() for scope in token.scopes))
        message = f"This needs a token of scope {wanted}, and {token.name!r} has {has}."
        raise denied(message, token.namespace, wanted)
    if rule.whole_deployment and not token.reaches("*"):
        message = "This is about all namespaces: it needs an admin's token that is bound to none of them."
        raise denied(message, token.namespace, "namespace")
