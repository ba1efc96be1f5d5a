"""AdminService: what the server is and allows."""

import importlib.metadata
from datetime import timedelta
from typing import Any

import grpc

from stageline.v1 import admin_service_pb2 as messages
from stageline.v1 import admin_service_pb2_grpc
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import answering
from stageline_server.mapping.definitions import duration_of
from stageline_server.mapping.fields import timestamp_of
from stageline_server.mapping.to_protos import PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN, limits_message

Context = grpc.aio.ServicerContext[Any, Any]

KEEPALIVE_INTERVAL_MIN = timedelta(seconds=20)
"""Clients may ping this often, also without a call: often enough for any NAT, seldom enough for many clients."""


class AdminService(admin_service_pb2_grpc.AdminServiceServicer):
    """Tells about the server."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane to tell of."""
        self._plane = plane

    @answering
    async def GetServerInfo(
        self, request: messages.GetServerInfoRequest, context: Context
    ) -> messages.GetServerInfoResponse:
        """Tells what the server is and allows."""
        return messages.GetServerInfoResponse(
            version=server_version(),
            server_id=self._plane.server_id,
            limits=limits_message(),
            protocol_version_min=PROTOCOL_VERSION_MIN,
            protocol_version_max=PROTOCOL_VERSION_MAX,
            keepalive_interval_min=duration_of(KEEPALIVE_INTERVAL_MIN),
            server_time=timestamp_of(self._plane.ports.clock.now()),
        )


def server_version() -> str:
    """The version of the installed distribution."""
    return importlib.metadata.version("stageline")
