"""The standard health service: SERVING while the database answers and the server does not drain."""

import asyncio
import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from stageline_engine.errors import EngineError
from stageline_engine.ports import RunQueries
from stageline_server.dispatch.background import Background
from stageline_server.shutdown import Shutdown

_log = logging.getLogger(__name__)

PROBE_LIMIT = timedelta(seconds=3)
"""A database that takes longer for a read by primary key is not healthy."""

NOBODY = UUID(int=0)


class HealthService(health_aio.HealthServicer):
    """The library's service; its watches end when the server drains, instead of holding up the end."""

    def __init__(self, shutdown: Shutdown) -> None:
        """Takes what says that the server drains."""
        super().__init__()
        self._shutdown = shutdown

    async def Watch(  # noqa: N802 - the generated name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Streams the status of a service."""
        await self._shutdown.first(super().Watch(request, context))


class HealthMonitor(Background):
    """Keeps the health service up to date."""

    def __init__(
        self, queries: RunQueries, shutdown: Shutdown, services: tuple[str, ...], interval: timedelta
    ) -> None:
        """Takes what to ask.

        Args:
            queries: Whose database must answer.
            shutdown: Whether the server drains.
            services: Full names of the services; the empty name, for the whole server, is added.
            interval: Time between two looks.
        """
        super().__init__("health")
        self.service = HealthService(shutdown)
        self._queries = queries
        self._shutdown = shutdown
        self._services = ("", *services)
        self._interval = interval
        self._serving: bool | None = None

    async def look(self) -> None:
        """Asks the database, and tells the health service what came of it."""
        await self._tell(serving=not self._shutdown.begun and await self._database_answers())

    async def _database_answers(self) -> bool:
        probe = self._queries.lease_is_live("default", NOBODY, 1, NOBODY)  # one statement, by primary key
        try:
            await asyncio.wait_for(probe, PROBE_LIMIT.total_seconds())
        except (EngineError, TimeoutError):
            return False
        return True

    async def _tell(self, *, serving: bool) -> None:
        if serving == self._serving:
            return
        if self._serving is not None and not self._shutdown.begun:
            _log.log(
                logging.INFO if serving else logging.ERROR,
                "the database answers again" if serving else "the database does not answer",
            )
        self._serving = serving
        status = (
            health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in self._services:
            await self.service.set(name, status)

    async def _run(self) -> None:
        while not self._shutdown.begun:
            await self.look()
            await self._shutdown.within(self._interval)
        await self._tell(serving=False)
        await asyncio.Event().wait()  # the end of a background task is its stop
