"""A real server in this process, on a free port, and what tests do with it."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from stageline.v1 import definition_pb2, payload_pb2, run_pb2, run_service_pb2, workflow_service_pb2
from stageline.v1.admin_service_pb2_grpc import AdminServiceStub
from stageline.v1.run_service_pb2_grpc import RunServiceStub
from stageline.v1.workflow_service_pb2_grpc import WorkflowServiceStub
from stageline_engine.commands import Completed, JobOffer, LeaseDemand, LeaseJobs, Outcome, ReportJob
from stageline_engine.model.session import SessionRow
from stageline_engine.ports import RunFilter
from stageline_server.app import Application
from stageline_server.dispatch.ports import Ports
from stageline_server.errors import DETAILS_KEY, DOMAIN
from stageline_server.settings import Settings

INPUT_SCHEMA = b'{"type":"object","properties":{"url":{"type":"string"}},"required":["url"]}'
CONFIG_SCHEMA = b'{"type":"object","properties":{"max":{"type":"integer","minimum":1}}}'
ANY_PORT = "127.0.0.1:0"


def documents(title: str = "") -> definition_pb2.WorkflowDefinition:
    """A workflow of two groups, the second with two stages."""
    stage = definition_pb2.StageDefinition
    extract = stage(id="extract", config_schema=CONFIG_SCHEMA, default_config=b'{"max":10}')
    group = definition_pb2.StageGroup
    return definition_pb2.WorkflowDefinition(
        name="documents",
        title=title,
        input_schema=INPUT_SCHEMA,
        groups=[
            group(stages=[extract]),
            group(stages=[stage(id="left", dependencies=["extract"]), stage(id="right")]),
        ],
    )


@dataclass
class Refused:
    """What a client learns of a refusal.

    Attributes:
        code: The gRPC code.
        reason: Of the ErrorInfo.
        metadata: Of the ErrorInfo.
        fields: Of the BadRequest, if any.
        retry: Whether a RetryInfo came along.
        message: For people.
    """

    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    fields: list[str]
    retry: bool
    message: str


async def refused(call: Awaitable[Any]) -> Refused:
    """Awaits a call that must be refused, and returns how."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return refusal(raised.value)


def refusal(error: grpc.aio.AioRpcError) -> Refused:
    """Reads the details of an error, as a client would."""
    raw = dict(error.trailing_metadata() or ())[DETAILS_KEY]
    assert isinstance(raw, bytes)
    status = status_pb2.Status.FromString(raw)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), False
    for detail in status.details:
        retry = retry or detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
        assert detail.Unpack(info) or detail.Unpack(bad) or retry
    assert info.domain == DOMAIN
    fields = [violation.field for violation in bad.field_violations]
    return Refused(error.code(), info.reason, dict(info.metadata), fields, retry, status.message)


class Server:
    """A running server with stubs to call it."""

    def __init__(self, application: Application, ports: Ports, channel: grpc.aio.Channel) -> None:
        self.application = application
        self.ports = ports
        self.channel = channel
        self.workflows: Any = WorkflowServiceStub(channel)
        self.runs: Any = RunServiceStub(channel)
        self.admin: Any = AdminServiceStub(channel)

    async def register(
        self, definition: definition_pb2.WorkflowDefinition
    ) -> workflow_service_pb2.RegisterWorkflowResponse:
        """Registers a workflow."""
        request = workflow_service_pb2.RegisterWorkflowRequest(definition=definition)
        response: workflow_service_pb2.RegisterWorkflowResponse = await self.workflows.RegisterWorkflow(
            request
        )
        return response

    async def create(self, input_json: bytes = b'{"url":"x"}', **fields: Any) -> run_pb2.Run:
        """Creates a run."""
        payload = payload_pb2.Payload(json=input_json)
        request = run_service_pb2.CreateRunRequest(
            **{"workflow_name": "documents", "input": payload, **fields}
        )
        response: run_service_pb2.CreateRunResponse = await self.runs.CreateRun(request)
        return response.run

    async def get(
        self, run_id: str, view: "run_pb2.RunView.ValueType" = run_pb2.RUN_VIEW_FULL
    ) -> run_pb2.Run:
        """Reads a run."""
        response: run_service_pb2.GetRunResponse = await self.runs.GetRun(
            run_service_pb2.GetRunRequest(run_id=run_id, view=view)
        )
        return response.run

    async def run_count(self) -> int:
        """How many runs there are: what a refused request must not change."""
        return len((await self.ports.queries.list_runs(RunFilter("default"), limit=1000)).runs)

    async def lease(self, slots: int = 10) -> list[JobOffer]:
        """Leases what waits, as a worker's session would."""
        plane, ports = self.application.plane, self.ports
        workflow = await ports.registry.get("default", "documents")
        assert workflow is not None
        now, session_id = ports.clock.now(), ports.ids.new_id()
        await ports.sessions.open(
            SessionRow(
                session_id, "default", "tester", plane.server_id, slots, "test", now, now + timedelta(hours=1)
            )
        )
        demand = LeaseDemand(session_id, tuple(sorted(workflow.route_ids)), slots)
        dispatched = await plane.kernel.dispatch_many([LeaseJobs((demand,))])
        plane.carry_out(dispatched.effects)
        return list(dispatched.effects.offers)

    async def report(self, offer: JobOffer, outcome: Outcome) -> None:
        """Reports on a leased job."""
        plane, lease = self.application.plane, offer.lease
        command = ReportJob(offer.namespace, lease.run_id, lease.stage_number, lease.lease_token, outcome)
        dispatched = await plane.kernel.dispatch_many([command])
        plane.carry_out(dispatched.effects)

    async def complete(self, outputs: dict[str, bytes]) -> None:
        """Leases and completes stages, group after group, with these outputs by stage id."""
        left = dict(outputs)
        while left:
            for offer in await self.lease():
                await self.report(offer, Completed(left.pop(offer.stage_id)))


def run_uuid(run: run_pb2.Run) -> UUID:
    """The id of a run as the engine has it."""
    return UUID(run.run_id)


@asynccontextmanager
async def running(ports: Ports, settings: Settings | None = None) -> AsyncIterator[Server]:
    """Runs a server on a free port for the length of the block."""
    application = Application(settings or Settings(listen=ANY_PORT), ports)
    try:
        address = await application.start()
        async with grpc.aio.insecure_channel(address) as channel:
            yield Server(application, ports, channel)
    finally:
        await application.end()
