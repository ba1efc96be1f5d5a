"""Every method of every service, found by descriptor: nobody without a token, without its scope, or of another tenant."""

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from stageline_engine.model.access import Scope
from stageline_server.app import SERVICES
from stageline_server.auth.rules import RULES
from stageline_server.dispatch.ports import Ports
from tests.integration.auth.serving import DENIED, UNAUTHENTICATED, bearer, secret
from tests.integration.server.running import Server, refusal
from tests.support.wire_methods import METHODS, WireMethod

SERVED = [method for method in METHODS if method.descriptor.containing_service.full_name in SERVICES]
each_method = pytest.mark.parametrize("method", SERVED, ids=lambda method: method.path)
GATE_REASONS = {"UNAUTHENTICATED", "PERMISSION_DENIED"}


async def answer(server: Server, method: WireMethod, namespace: str, token: str = "") -> tuple[object, str]:
    """Code and reason of what a call with a bare request is answered with; OK where it is served."""
    try:
        await method.call(server.channel, method.request(namespace), token)
    except grpc.aio.AioRpcError as error:
        told = refusal(error)
        return told.code, told.reason
    return grpc.StatusCode.OK, ""


@each_method
async def test_nobody_calls_it_without_a_token(server: Server, method: WireMethod) -> None:
    assert await answer(server, method, "default") == UNAUTHENTICATED
    assert await answer(server, method, "default", "stl_guessed") == UNAUTHENTICATED


@each_method
async def test_nobody_calls_it_with_another_scope(server: Server, method: WireMethod) -> None:
    rule = RULES[method.path]
    for scope in set(Scope) - rule.scopes:
        token = await secret(server.ports, scope)
        assert await answer(server, method, "default", token) == DENIED


@each_method
async def test_nobody_calls_it_for_another_tenant(server: Server, method: WireMethod) -> None:
    if method.path.endswith("/GetServerInfo"):
        return  # it tells of no tenant
    for scope in RULES[method.path].scopes:
        token = await secret(server.ports, scope, namespace="acme")
        for namespace in ("default", ""):
            told = await answer(server, method, namespace, token)
            assert told == DENIED or told[1] == "METHOD_NOT_SERVED"


@each_method
async def test_its_own_scope_is_let_in(server: Server, method: WireMethod) -> None:
    rule = RULES[method.path]
    for scope in rule.scopes:
        if rule.needs_lease and scope is Scope.WORKER:
            continue
        token = await secret(server.ports, scope, namespace="*" if rule.whole_deployment else "acme")
        namespace = "" if rule.whole_deployment else "acme"
        code, reason = await answer(server, method, namespace, token)
        assert reason not in GATE_REASONS, (scope, code, reason)


async def test_health_is_open(server: Server) -> None:
    stub: Any = health_pb2_grpc.HealthStub(server.channel)
    response = await stub.Check(health_pb2.HealthCheckRequest())
    assert response.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_is_for_whoever_is_known(server: Server, ports: Ports) -> None:
    channel: Any = server.channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.ServerReflectionInfo(iter(asked)).read()
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    call = stub.ServerReflectionInfo(iter(asked), metadata=bearer(await secret(ports)))
    response = await call.read()
    assert response.list_services_response.service
