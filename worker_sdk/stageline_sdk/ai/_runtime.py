"""What a worker has for the AI calls of its stages: its models, and their clients, for each event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from stageline_sdk._portal import LoopThread
from stageline_sdk.ai._imports import import_alone
from stageline_sdk.ai.errors import MissingExtraError
from stageline_sdk.ai.registry import DEFAULT_REGISTRY, ModelRegistry

if TYPE_CHECKING:
    from stageline_sdk.ai._backend.clients import LoopClients

_BACKEND = tuple(
    f"stageline_sdk.ai._backend.{name}"
    for name in (
        "calls",
        "clients",
        "streams",
        "embeddings",
        "price_list",
        "batches.desk",
        "batches.dry",
        "batches.fetch",
    )
)
"""What calls need, whole: what is imported later is there by then, and holds nobody up."""


class AiRuntime:
    """Clients of providers, made with the first call on each loop, and a loop of its own for stages that have none.

    Attributes:
        registry: The models that calls can name.
        portal: Runs the calls of plain `def` stages.
    """

    def __init__(self, registry: ModelRegistry | None = None) -> None:
        self.registry = registry or DEFAULT_REGISTRY
        self.portal = LoopThread("stageline-ai")
        self._lock = threading.Lock()
        self._clients: dict[asyncio.AbstractEventLoop, LoopClients] = {}
        self._is_loaded = False
        self._stop_updates: Callable[[], None] | None = None

    async def load(self) -> None:
        """Load the libraries for AI calls, with the first one. It takes seconds, in which the loop goes on.

        Raises:
            MissingExtraError: They are not installed.
        """
        if not self._is_loaded:
            await asyncio.to_thread(_load_backend)
            self._is_loaded = True
        if self.registry.prices_url and self._stop_updates is None:
            from stageline_sdk.ai._backend.price_list import keep_up_to_date  # noqa: PLC0415 - heavy

            self._stop_updates = keep_up_to_date(self.registry.prices_url)

    async def clients(self) -> "LoopClients":
        """Return the clients of the running loop. To be called once the libraries are loaded."""
        loop = asyncio.get_running_loop()
        known = self._clients.get(loop)
        if known is not None:
            return known
        from stageline_sdk.ai._backend.clients import LoopClients  # noqa: PLC0415 - heavy, and needed here only

        with self._lock:
            for each in [each for each in self._clients if each.is_closed()]:
                del self._clients[each]
            return self._clients.setdefault(loop, LoopClients(self.registry))

    async def close(self) -> None:
        """Close the clients of the running loop and of the portal. Those of other loops end with them."""
        if self._stop_updates is not None:
            self._stop_updates()
        if self._clients:  # Most workers call no model, and some end without a loop.
            await self._close_running()
        if self.portal.is_running:
            await asyncio.to_thread(self.portal.close, self._close_running)

    async def _close_running(self) -> None:
        own = self._clients.pop(asyncio.get_running_loop(), None)
        if own is not None:
            await own.close()


def _load_backend() -> None:
    try:
        import_alone(*_BACKEND)
    except ImportError as error:
        raise MissingExtraError(
            "AI calls need more libraries than the default install has: pip install 'stageline[openai]', "
            f"[anthropic] or [google] ({error})",
            extra="ai",
        ) from error
