"""The composition root: one server, put together from its parts, from the first byte to the last."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from stageline.v1 import (
    admin_service_pb2,
    artifact_service_pb2,
    event_service_pb2,
    run_service_pb2,
    token_service_pb2,
    usage_service_pb2,
    worker_service_pb2,
    workflow_service_pb2,
)
from stageline_engine import limits
from stageline_server.auth.gate import Gate
from stageline_server.auth.interceptor import AuthInterceptor
from stageline_server.auth.policy import security_of
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.ports import Ports
from stageline_server.health import HealthMonitor
from stageline_server.services.admin import KEEPALIVE_INTERVAL_MIN
from stageline_server.services.catalogue import add_services
from stageline_server.settings import PORT_MAX, Settings
from stageline_server.shutdown import Shutdown
from stageline_server.telemetry.endpoint import MetricsEndpoint

_log = logging.getLogger(__name__)

SERVICES = (
    workflow_service_pb2.DESCRIPTOR.services_by_name["WorkflowService"].full_name,
    run_service_pb2.DESCRIPTOR.services_by_name["RunService"].full_name,
    worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name,
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name,
    artifact_service_pb2.DESCRIPTOR.services_by_name["ArtifactService"].full_name,
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
    token_service_pb2.DESCRIPTOR.services_by_name["TokenService"].full_name,
    usage_service_pb2.DESCRIPTOR.services_by_name["UsageService"].full_name,
)

KEEPALIVE_TOLERANCE = timedelta(seconds=5)
"""A ping that is told to come every 20 s may come somewhat earlier after a pause of its machine."""

KEEPALIVE_INTERVAL = timedelta(seconds=60)
KEEPALIVE_LIMIT = timedelta(seconds=20)
"""The server's own pings: a client that is gone without a word is noticed after their sum."""

STOP_LIMIT = timedelta(seconds=1)
"""What is still open after the drain is cut off after this."""


class ListenError(Exception):
    """The server cannot listen on its address. The message says why, and on which."""


class Application:
    """One server. Give it its ports, start it, and stop it."""

    def __init__(self, settings: Settings, ports: Ports) -> None:
        """Puts the parts together; nothing runs yet.

        Args:
            settings: How it is configured.
            ports: The adapters; opened before, and closed after, by the caller.

        Raises:
            SecurityError: It would be open to others than those that it is meant for.
        """
        self.settings = settings
        self.shutdown = Shutdown()
        self.plane = ControlPlane(
            ports, server_id=f"server-{uuid4().hex}", settings=settings.plane_settings()
        )
        self.health = HealthMonitor(ports.queries, self.shutdown, SERVICES, settings.health_interval)
        self.address = ""
        self.security = security_of(settings)
        self.metrics = MetricsEndpoint(self.plane)
        self.metrics_address = ""
        self.gate = Gate(ports.tokens, ports.clock)
        self.plane.hint_takers.append(self.gate.take)
        asks = [AuthInterceptor(self.gate)] if self.security.tokens else []
        self._server = grpc.aio.server(interceptors=asks, options=_options())
        self._add_services()

    def _add_services(self) -> None:
        add_services(self._server, self.plane, self.shutdown)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.service, self._server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self) -> str:
        """Listens and serves.

        Returns:
            The address with the port that was taken.

        Raises:
            ListenError: The address is taken, not of this machine, or malformed.
            MetricsError: That of the metrics is.
            StorageUnavailableError: The database is away.
        """
        self.address = bind(self._server, self.settings.listen, self.security.credentials)
        if self.settings.metrics_listen:
            self.metrics_address = self.metrics.start(self.settings.metrics_listen)
        await self.plane.start()
        await self.health.look()
        self.health.start()
        await self._server.start()
        asked = "tokens required" if self.security.tokens else "open to everyone who reaches it"
        encrypted = "TLS" if self.security.credentials is not None else "not encrypted"
        _log.info("serving on %s as %s: %s, %s", self.address, self.plane.server_id, asked, encrypted)
        return self.address

    async def stop(self, deadline: timedelta | None = None) -> None:
        """Drains, then ends everything: workers report what they hold, and go elsewhere.

        Args:
            deadline: How long the drain may take; the setting ``drain_deadline`` unless given. Zero ends at once.
        """
        limit = self.settings.drain_deadline if deadline is None else deadline
        seconds = limit.total_seconds()
        _log.info("draining: workers may finish what they hold, for %g s; a second signal ends it", seconds)
        self.shutdown.begin()
        refusing = asyncio.create_task(self._server.stop(seconds))
        try:
            with contextlib.suppress(TimeoutError):
                # Not wait_for: on Python 3.11 it loses a cancellation that comes when the drain is just done.
                async with asyncio.timeout(seconds):
                    await self.plane.drain()
            await refusing
        finally:
            refusing.cancel()
            await self.end()

    async def end(self) -> None:
        """Ends everything at once, without a drain. Safe at any time after the creation."""
        self.shutdown.begin()
        await self._server.stop(STOP_LIMIT.total_seconds())
        await self.plane.disconnects.settled()
        await self.plane.stop()
        await self.gate.stop()
        await self.health.stop()
        await self.metrics.stop()
        _log.info("stopped")


def bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None = None) -> str:
    """Takes the address for a server.

    Args:
        server: Not yet started.
        listen: The address.
        credentials: With which it encrypts; None where it does not.

    Returns:
        The address, with the port that was chosen where port 0 was asked for.

    Raises:
        ListenError: It is taken, not of this machine, or malformed.
    """
    try:
        if credentials is None:
            port = server.add_insecure_port(listen)
        else:
            port = server.add_secure_port(listen, credentials)
    except RuntimeError as error:
        unreadable = (
            " (is STAGELINE_TLS_KEY the key of STAGELINE_TLS_CERT, and are both PEM?)" if credentials else ""
        )
        reason = _why_not(listen) or f"the address could not be bound{unreadable}"
        raise ListenError(f"cannot listen on {listen}: {reason}") from error
    if listen.startswith("unix:"):
        return listen
    return f"{listen.rpartition(':')[0]}:{port}"


def check_free(listen: str) -> None:
    """Tells early, before slow things begin, that an address cannot be listened on.

    Raises:
        ListenError: It is taken, not of this machine, or malformed.
    """
    reason = _why_not(listen)
    if reason:
        raise ListenError(f"cannot listen on {listen}: {reason}")


def _why_not(listen: str) -> str:
    """Asks the operating system for the reason that gRPC keeps to itself; empty where it knows none."""
    if listen.startswith("unix:"):
        return ""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > PORT_MAX:
        return f"the address must be host:port, with a port of 0 to {PORT_MAX}"
    try:
        with socket.create_server((host.strip("[]"), int(port)), family=_family(host)):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if host.startswith("[") else socket.AF_INET


def _options() -> Sequence[tuple[str, int]]:
    ping_interval = KEEPALIVE_INTERVAL_MIN - KEEPALIVE_TOLERANCE
    return (
        ("grpc.so_reuseport", 0),  # else a second server would share the port, and take half of the calls
        ("grpc.max_receive_message_length", limits.UNARY_BYTES_MAX),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(ping_interval)),
        ("grpc.keepalive_time_ms", _milliseconds(KEEPALIVE_INTERVAL)),
        ("grpc.keepalive_timeout_ms", _milliseconds(KEEPALIVE_LIMIT)),
    )


def _milliseconds(value: timedelta) -> int:
    return round(value.total_seconds() * 1000)
