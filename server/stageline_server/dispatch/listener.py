"""Takes the hints of other servers."""

import logging
from collections.abc import Callable

from stageline_engine.ports import LOOK_AT_EVERYTHING, Hint, JobTransport
from stageline_server.dispatch.background import Background

_log = logging.getLogger(__name__)


class Listener(Background):
    """Hears hints for as long as the server lives. A hint that cannot be taken costs no other."""

    def __init__(self, transport: JobTransport, take: Callable[[Hint], None]) -> None:
        """Takes the transport, which reconnects by itself, and what is done with each hint."""
        super().__init__("hints")
        self._transport = transport
        self._take = take

    async def _run(self) -> None:
        # Whatever was said while nobody listened is made up for by looking at everything.
        self._take(LOOK_AT_EVERYTHING)
        async for hint in self._transport.listen():
            try:
                self._take(hint)
            except Exception:  # noqa: BLE001 - logged; the next hint may be a good one
                _log.exception("a hint could not be taken")
