"""Every service of a server, in one list: a server on the network and a host inside a process serve the same."""

from typing import Any, Protocol

from stageline.v1 import admin_service_pb2_grpc as admin_grpc
from stageline.v1 import artifact_service_pb2_grpc as artifact_grpc
from stageline.v1 import event_service_pb2_grpc as event_grpc
from stageline.v1 import run_service_pb2_grpc as run_grpc
from stageline.v1 import token_service_pb2_grpc as token_grpc
from stageline.v1 import usage_service_pb2_grpc as usage_grpc
from stageline.v1 import worker_service_pb2_grpc as worker_grpc
from stageline.v1 import workflow_service_pb2_grpc as workflow_grpc
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.registration import register
from stageline_server.services.admin import AdminService
from stageline_server.services.artifacts import ArtifactService
from stageline_server.services.events import EventService
from stageline_server.services.runs import RunService
from stageline_server.services.tokens import TokenService
from stageline_server.services.usage import UsageService
from stageline_server.services.workflows import WorkflowService
from stageline_server.shutdown import Shutdown
from stageline_server.streams.service import WorkerServicer


class TakesHandlers(Protocol):
    """Whatever serves: a gRPC server, or something that is called as one."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any) -> None:
        """Takes the methods of a service."""
        ...


def add_services(server: TakesHandlers, plane: ControlPlane, shutdown: Shutdown) -> None:
    """Adds every service of ``stageline.v1`` to what serves.

    Args:
        server: Not yet started.
        plane: What the services work with.
        shutdown: Says that the server drains.
    """
    register(server, WorkflowService(plane.ports), workflow_grpc.add_WorkflowServiceServicer_to_server)
    register(server, RunService(plane, shutdown), run_grpc.add_RunServiceServicer_to_server)
    register(server, WorkerServicer(plane), worker_grpc.add_WorkerServiceServicer_to_server)
    register(server, ArtifactService(plane), artifact_grpc.add_ArtifactServiceServicer_to_server)
    register(server, EventService(plane, shutdown), event_grpc.add_EventServiceServicer_to_server)
    register(server, AdminService(plane), admin_grpc.add_AdminServiceServicer_to_server)
    register(server, UsageService(plane), usage_grpc.add_UsageServiceServicer_to_server)
    register(server, TokenService(plane), token_grpc.add_TokenServiceServicer_to_server)
