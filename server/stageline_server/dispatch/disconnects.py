"""Why streams of workers end: counted, and noted at their sessions for whoever lists them."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from uuid import UUID

from stageline_engine.ports import Clock, Disconnect, SessionStore
from stageline_server.dispatch.batcher import Batcher
from stageline_server.dispatch.counts import Counts

_log = logging.getLogger(__name__)

NOT_NOTED = frozenset({"SUPERSEDED", "DRAINED"})
"""Ends that a session's row does not bear: it goes on with another stream, or has ended for this very reason."""


SETTLE_SECONDS = 1.0
"""How long the end of a server waits for notes that are for people only."""


class Disconnects:
    """Takes the end of every stream of this server. The notes are best effort: they are for people."""

    def __init__(
        self, sessions: SessionStore, clock: Clock, counts: Counts, server_id: str, batch_max: int
    ) -> None:
        """Takes where sessions are, where ends are counted, the server's name, and how many notes go in one write."""
        self._sessions = sessions
        self._clock = clock
        self._counts = counts
        self._server_id = server_id
        self.batcher: Batcher[Disconnect, None] = Batcher(
            self._commit, batch_max=batch_max, name="disconnect"
        )

    def ended(self, reason: str, session_id: UUID | None = None) -> None:
        """Takes the end of a stream.

        Args:
            reason: Of the closed list ``DisconnectReason``, without prefix.
            session_id: Its session; None where the handshake was refused.
        """
        self._counts.disconnects[reason] += 1
        if session_id is not None and reason not in NOT_NOTED:
            self.batcher.submit(Disconnect(session_id, reason, self._clock.now()), _told)

    async def settled(self) -> None:
        """Waits until what was taken is noted, but not for long: the database may be away."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await self.batcher.flushed()

    async def _commit(self, batch: Sequence[Disconnect]) -> Sequence[None]:
        await self._sessions.disconnected(self._server_id, batch)
        return [None] * len(batch)


def _told(result: BaseException | None) -> None:
    if result is not None:
        _log.debug("the end of a stream was not noted: %s", result)
