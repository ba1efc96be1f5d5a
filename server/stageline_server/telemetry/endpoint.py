"""Serves the metrics in Prometheus' text format, over HTTP, on a port of its own."""

import asyncio
import logging
from collections.abc import Iterator
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from stageline_server import __version__
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.telemetry.lateness import LoopLateness
from stageline_server.telemetry.metrics import server_metrics
from stageline_server.telemetry.snapshot import take_snapshot

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0
"""How long a scrape waits for a busy event loop, and for the store, before it fails: Prometheus' own limit by default."""


class MetricsError(Exception):
    """The address for the metrics cannot be listened on. The message says which, and why."""


class MetricsEndpoint(Collector):
    """Answers ``GET /metrics`` on threads of its own; what it tells is gathered on the server's event loop."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane to tell of."""
        self._plane = plane
        self._lateness = LoopLateness()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: tuple[WSGIServer, Thread] | None = None

    def start(self, listen: str) -> str:
        """Listens.

        Args:
            listen: ``host:port``; port 0 takes any free one.

        Returns:
            The address with the port that was taken.

        Raises:
            MetricsError: The address is taken, not of this machine, or malformed.
        """
        self._loop = asyncio.get_running_loop()
        registry = CollectorRegistry()
        host, _, port = listen.rpartition(":")
        # Not registered before it listens: registering gathers once, and this thread is the one that would answer.
        try:
            self._serving = start_http_server(int(port), host.strip("[]"), registry)
        except (OSError, OverflowError, ValueError) as error:
            raise MetricsError(f"cannot serve metrics on {listen}: {error}") from error
        registry.register(self)
        self._lateness.start()
        address = f"{host}:{self._serving[0].server_port}"
        _log.info("metrics on http://%s/metrics", address)
        return address

    async def stop(self) -> None:
        """Ends it. Safe to call when it was never started."""
        await self._lateness.stop()
        if self._serving is not None:
            server, thread = self._serving
            self._serving = None
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            await asyncio.to_thread(thread.join)

    def describe(self) -> Iterator[Metric]:
        """Names nothing: what there is, is known when it is asked for."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Gathers everything, from any thread but the event loop's."""
        assert self._loop is not None, "collected before it was started"
        gathering = asyncio.run_coroutine_threadsafe(self._gather(), self._loop)
        try:
            return iter(gathering.result(ANSWER_SECONDS))
        finally:
            gathering.cancel()

    async def _gather(self) -> list[Metric]:
        """Gathers on the event loop, where numbers that belong together are seen together."""
        seen = await take_snapshot(self._plane, self._lateness.worst_seconds)
        return list(server_metrics(self._plane.server_id, __version__, self._plane.counts, seen))
