"""The server itself: health, reflection, what it is, what it cannot read, and its end."""

import asyncio
import socket
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from stageline.v1 import admin_service_pb2
from stageline.v1.admin_service_pb2_grpc import (
    AdminServiceServicer,
    AdminServiceStub,
    add_AdminServiceServicer_to_server,
)
from stageline_engine import limits
from stageline_engine.errors import StorageUnavailableError
from stageline_server.app import SERVICES, Application, ListenError, check_free
from stageline_server.dispatch.ports import Ports
from stageline_server.health import HealthMonitor
from stageline_server.registration import register
from stageline_server.settings import Settings
from stageline_server.shutdown import Shutdown
from tests.integration.server.running import ANY_PORT, Server, documents, refused, running

WITHIN_SECONDS = 20
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_it_says_what_it_is_and_allows(server: Server) -> None:
    info = await server.admin.GetServerInfo(admin_service_pb2.GetServerInfoRequest())
    assert info.server_id == server.application.plane.server_id
    assert info.limits.inline_payload_bytes_max == limits.PAYLOAD_INLINE_BYTES_MAX
    assert info.limits.definition_bytes_max == limits.DEFINITION_BYTES_MAX
    assert all(value for _, value in info.limits.ListFields())
    assert (info.protocol_version_min, info.protocol_version_max) == (1, 1)


async def test_health_is_told_for_the_server_and_each_service(server: Server) -> None:
    stub: Any = health_pb2_grpc.HealthStub(server.channel)
    for service in ("", *SERVICES):
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Check(health_pb2.HealthCheckRequest(service="no.Such"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


class AwayQueries:
    """Queries whose database is away."""

    async def lease_is_live(self, *_: object) -> None:
        raise StorageUnavailableError("away")


async def test_without_its_database_it_is_not_serving(memory: Ports) -> None:
    away: Any = AwayQueries()
    monitor = HealthMonitor(away, Shutdown(), SERVICES, timedelta(seconds=5))
    await monitor.look()
    service: Any = monitor.service
    assert set(service._server_status.values()) == {NOT_SERVING}


async def test_a_drain_is_told_to_health_watchers_and_does_not_wait_for_them(memory: Ports) -> None:
    async with running(memory) as server:
        stub: Any = health_pb2_grpc.HealthStub(server.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        await asyncio.wait_for(server.application.stop(timedelta(hours=1)), WITHIN_SECONDS)
        service: Any = server.application.health.service
        assert set(service._server_status.values()) == {NOT_SERVING}


async def test_reflection_lists_the_services(server: Server) -> None:
    channel: Any = server.channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    response = await call.read()
    assert {service.name for service in response.list_services_response.service} >= set(SERVICES)


@pytest.mark.parametrize("raw", [b"\x12\x02\xff\xfe", b"\xff\xff\xff"], ids=["bad UTF-8", "no message"])
@pytest.mark.parametrize("method", ["GetRun", "CreateRun", "WatchRun"])
async def test_what_is_no_message_is_refused(server: Server, method: str, raw: bytes) -> None:
    path = f"/stageline.v1.RunService/{method}"
    call: Any = server.channel.unary_unary(path)
    if method == "WatchRun":
        call = server.channel.unary_stream(path)
        told = await refused(call(raw).read())
    else:
        told = await refused(call(raw))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


class _Bare(AdminServiceServicer):
    """Serves none of the methods that its protos have."""


async def test_a_method_of_the_protos_that_a_server_does_not_serve_is_named() -> None:
    server = grpc.aio.server()
    register(server, _Bare(), add_AdminServiceServicer_to_server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        told = await refused(AdminServiceStub(channel).GetStats(admin_service_pb2.GetStatsRequest()))
    await server.stop(None)
    assert (told.code, told.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_SERVED")
    assert told.metadata == {"method": "/stageline.v1.AdminService/GetStats"}


async def test_what_a_namespace_holds_is_counted(server: Server) -> None:
    await server.register(documents())
    await server.create()
    admin = AdminServiceStub(server.channel)
    told = await admin.GetStats(admin_service_pb2.GetStatsRequest())
    assert (dict(told.runs_by_state), told.ready_jobs) == ({"RUNNING": 1}, 1)
    assert told.oldest_ready_age.ToTimedelta() >= timedelta(0)
    elsewhere = await admin.GetStats(admin_service_pb2.GetStatsRequest(namespace="elsewhere"))
    assert elsewhere == admin_service_pb2.GetStatsResponse(oldest_ready_age=elsewhere.oldest_ready_age)


async def test_a_request_over_the_limit_is_cut_off(server: Server) -> None:
    await server.register(documents())
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await server.create(b"x" * (limits.UNARY_BYTES_MAX + 1))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await server.run_count() == 0


async def test_a_taken_port_is_told_with_its_address(memory: Ports) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        application = Application(Settings(listen=address), memory)
        with pytest.raises(ListenError, match=f"cannot listen on {address}: Address already in use"):
            await application.start()
        await application.end()
        with pytest.raises(ListenError, match="Address already in use"):
            check_free(address)


async def test_two_servers_never_share_a_port(memory: Ports) -> None:
    async with running(memory) as server:
        second = Application(Settings(listen=server.application.address), memory)
        with pytest.raises(ListenError):
            await second.start()
        await second.end()


@pytest.mark.parametrize("listen", ["", "here", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", ":7460"])
def test_a_malformed_address_is_refused(listen: str) -> None:
    with pytest.raises(ListenError, match="cannot listen on"):
        check_free(listen)


async def test_it_can_be_ended_before_it_began_and_twice(memory: Ports) -> None:
    application = Application(Settings(listen=ANY_PORT), memory)
    await application.end()
    await application.end()
