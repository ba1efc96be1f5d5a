"""Control planes behind real gRPC servers in this process, several on one state, without the rest of the application.

    async with memory_deployment() as deployment:
        server = await deployment.serve()
        await server.register(workflow("documents", "extract", ["left", "right"]))
        worker = await server.connect("documents", slots=2)     # tests/support/raw_worker.py

Or by the fixture ``deployment`` of ``tests/support/plane_fixtures.py``, over every adapter.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc

from stageline.v1 import session_pb2, worker_service_pb2_grpc
from stageline_engine import limits
from stageline_engine.commands import CancelRun, CreateRun, RunCancellation, RunCreation
from stageline_engine.model.definition import RegisteredWorkflow, WorkflowDefinition
from stageline_engine.model.run import RunState
from stageline_engine.ports import RunDetails
from stageline_engine.rejections import Rejection
from stageline_engine.testing.definitions import digest_of
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.ports import Ports
from stageline_server.dispatch.settings import PlaneSettings
from stageline_server.settings import Settings
from stageline_server.stores import memory_ports, postgres_ports
from stageline_server.streams.service import WorkerServicer
from tests.support.raw_worker import RawWorker
from tests.waiting import eventually

UNHURRIED = PlaneSettings(
    session_timeout=timedelta(seconds=30),
    heartbeat_interval=timedelta(seconds=0.05),
    recheck_interval=timedelta(hours=1),
)
"""Nothing is found by looking again: a lost wake-up hangs the test instead of passing late."""

BRISK = PlaneSettings(
    session_timeout=timedelta(seconds=0.6),
    heartbeat_interval=timedelta(seconds=0.1),
    recheck_interval=timedelta(seconds=0.05),
)
"""For what only time brings about."""

OpenPorts = Callable[[], AbstractAsyncContextManager[Ports]]


@dataclass
class PlaneServer:
    """A control plane with its worker service on a port.

    Attributes:
        plane: The control plane.
        ports: Its adapters.
        grpc_server: The server.
        address: Where it listens.
        channel: A channel to it.
    """

    plane: ControlPlane
    ports: Ports
    grpc_server: grpc.aio.Server
    address: str
    channel: grpc.aio.Channel

    @property
    def stub(self) -> Any:
        """The worker service as a client sees it."""
        return worker_service_pb2_grpc.WorkerServiceStub(self.channel)

    async def register(
        self, definition: WorkflowDefinition, namespace: str = "default"
    ) -> RegisteredWorkflow:
        """Stores a workflow."""
        now = self.ports.clock.now()
        return await self.ports.registry.register(namespace, definition, digest_of(definition), now)

    async def create(self, workflow_name: str, run_input: bytes = b"{}", **fields: Any) -> UUID:
        """Creates a run that must be accepted."""
        created = await self.plane.create_run(CreateRun("default", workflow_name, run_input, **fields))
        assert isinstance(created, RunCreation), created
        return created.run_id

    async def cancel(self, run_id: UUID) -> RunCancellation:
        """Cancels a run that must exist."""
        cancelled = await self.plane.cancel_run(CancelRun("default", run_id, "a test says so"))
        assert not isinstance(cancelled, Rejection), cancelled
        return cancelled

    async def details(self, run_id: UUID) -> RunDetails:
        """Reads a run that must exist, with its outputs."""
        details = await self.ports.queries.get_run("default", run_id, with_outputs=True)
        assert details is not None
        return details

    async def until_run(self, run_id: UUID, state: RunState) -> RunDetails:
        """Waits until a run is in a state."""

        async def probe() -> RunDetails | None:
            details = await self.details(run_id)
            return details if details.run.state is state else None

        found = await eventually(probe, what=f"run {run_id} to be {state}")
        assert found is not None
        return found

    async def until_stage(self, run_id: UUID, number: int, state: str) -> RunDetails:
        """Waits until a stage of a run is in a state."""

        async def probe() -> RunDetails | None:
            details = await self.details(run_id)
            found = [each.stage.state.value for each in details.stages if each.stage.number == number]
            return details if found == [state] else None

        found = await eventually(probe, what=f"stage {number} to be {state}")
        assert found is not None
        return found

    def stages_of(self, *workflow_names: str) -> list[session_pb2.WorkerStages]:
        """What a worker's Hello names to run the first versions of workflows."""
        return [session_pb2.WorkerStages(workflow_name=name, workflow_version=1) for name in workflow_names]

    def open_stream(self) -> RawWorker:
        """Opens a stream on which nothing has been said."""
        return RawWorker(self.stub.Work())

    async def connect(
        self, *workflow_names: str, slots: int = 10, free: int | None = None, **hello: Any
    ) -> RawWorker:
        """Connects a worker and waits for its Welcome.

        Args:
            workflow_names: What it can run.
            slots: Of Hello.
            free: Of its first Credits; as many as its slots unless given.
            hello: Other fields of Hello.
        """
        worker = self.open_stream()
        fields = {"stages": self.stages_of(*workflow_names), "slots": slots, **hello}
        await worker.greet(slots if free is None else free, **fields)
        return worker

    async def stop(self) -> None:
        """Ends at once."""
        await self.channel.close()
        await self.grpc_server.stop(0)
        await self.plane.stop()


class Deployment:
    """Servers on one state. Use as an async context manager; every server is stopped in the end."""

    def __init__(self, open_ports: OpenPorts) -> None:
        """Takes what opens the ports; each server gets its own, as a process of its own would."""
        self._open_ports = open_ports
        self._stack = AsyncExitStack()
        self._count = 0

    async def __aenter__(self) -> "Deployment":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def serve(
        self, settings: PlaneSettings = UNHURRIED, change: Callable[[Ports], Ports] = lambda ports: ports
    ) -> PlaneServer:
        """Starts one more server.

        Args:
            settings: Its paces.
            change: Puts something of the test's own in the place of an adapter.
        """
        self._count += 1
        ports = change(await self._stack.enter_async_context(self._open_ports()))
        plane = ControlPlane(ports, server_id=f"server-{self._count}", settings=settings)
        grpc_server = grpc.aio.server(options=[("grpc.max_receive_message_length", limits.UNARY_BYTES_MAX)])
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(WorkerServicer(plane), grpc_server)
        address = f"127.0.0.1:{grpc_server.add_insecure_port('127.0.0.1:0')}"
        await plane.start()
        await grpc_server.start()
        server = PlaneServer(plane, ports, grpc_server, address, grpc.aio.insecure_channel(address))
        self._stack.push_async_callback(server.stop)
        return server


def with_recheck(settings: PlaneSettings = UNHURRIED) -> PlaneSettings:
    """The same paces, but with a frequent second look."""
    return replace(settings, recheck_interval=BRISK.recheck_interval)


def memory_deployment() -> Deployment:
    """A deployment in memory; its servers share one store."""
    ports = memory_ports()

    @asynccontextmanager
    async def shared() -> AsyncIterator[Ports]:
        yield ports

    return Deployment(shared)


def postgres_deployment(url: str) -> Deployment:
    """A deployment on a database with the schema in it; each server has connections of its own."""
    return Deployment(lambda: postgres_ports(Settings(), url))
