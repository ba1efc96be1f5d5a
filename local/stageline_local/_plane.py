"""The control plane of a local host: what a server has, bar the server."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from uuid import uuid4

from stageline_engine.testing import VirtualClock
from stageline_local._channel import InProcessServices
from stageline_local._connection import InProcessConnection
from stageline_local._skipping import TimeSkipper
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.ports import Ports
from stageline_server.schema import check_schema, migrate
from stageline_server.services.catalogue import add_services
from stageline_server.settings import Settings
from stageline_server.shutdown import Shutdown
from stageline_server.stores import memory_ports, postgres_ports


class HostedPlane:
    """A control plane with its services, on the loop that `start` is called on."""

    def __init__(self, database_url: str | None, *, migrates: bool, clock: VirtualClock | None) -> None:
        """Takes where the state is, whether to bring its schema up to date, and a clock for the database's own."""
        self._database_url = database_url
        self._migrates = migrates
        self._clock = clock
        self._open = AsyncExitStack()
        self._skipper: TimeSkipper | None = None

    def skipping(self) -> AbstractContextManager[None]:
        """Skips time for the length of the block, where there is a clock that can be moved; from any thread."""
        return nullcontext() if self._skipper is None else self._skipper.skipping()

    async def start(self) -> InProcessConnection:
        """Opens the state and begins to work; returns the way to its services.

        Raises:
            StorageUnavailableError: The database cannot be reached.
            SchemaError: The database has no schema, or too old a one.
        """
        async with AsyncExitStack() as opening:
            ports = await opening.enter_async_context(self._ports())
            plane, shutdown = ControlPlane(ports, server_id=f"local-{uuid4().hex}"), Shutdown()
            services = InProcessServices()
            add_services(services, plane, shutdown)
            opening.push_async_callback(plane.stop)
            opening.callback(shutdown.begin)
            await plane.start()
            if self._clock is not None:
                self._skipper = TimeSkipper(plane, self._clock)
                self._skipper.start()
                opening.push_async_callback(self._skipper.stop)
            self._open = opening.pop_all()
        return InProcessConnection("this process", services=services)

    async def stop(self) -> None:
        """Ends all work at once, and closes the state."""
        await self._open.aclose()

    @asynccontextmanager
    async def _ports(self) -> AsyncIterator[Ports]:
        if self._database_url is None:
            yield self._on_time(memory_ports())
            return
        if self._migrates:
            await migrate(self._database_url)
        await check_schema(self._database_url)
        async with postgres_ports(Settings(), self._database_url) as ports:
            yield self._on_time(ports)

    def _on_time(self, ports: Ports) -> Ports:
        return ports if self._clock is None else replace(ports, clock=self._clock, scheduler=self._clock)
