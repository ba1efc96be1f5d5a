"""A token that ends takes what lives by it along, on every server, with a typed reason."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest

from stageline.v1 import run_service_pb2, session_pb2, worker_pb2, worker_service_pb2_grpc
from stageline.v1.run_service_pb2_grpc import RunServiceStub
from stageline_engine.model.access import Scope
from stageline_engine.testing.definitions import digest_of, workflow
from stageline_migrations import upgrade
from stageline_server.auth.office import TokenOffice
from stageline_server.auth.tokens import Issued
from stageline_server.dispatch.ports import Ports
from stageline_server.settings import Settings
from stageline_server.stores import memory_ports, postgres_ports
from tests.integration.auth.serving import UNAUTHENTICATED, asking, bearer, issued
from tests.integration.server.running import Server, refusal
from tests.support.fixtures import CreateDatabase
from tests.support.raw_worker import RawWorker

PATIENCE_SECONDS = 20


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
async def two_servers(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Server, Server]]:
    """Two servers on one state, each with adapters of its own where there is a database."""
    if request.param == "memory":
        ports = memory_ports()
        async with asking(ports) as one, asking(ports) as other:
            yield one, other
        return
    create: CreateDatabase = request.getfixturevalue("create_database")
    url = create(upgrade)
    async with (
        postgres_ports(Settings(), url) as first,
        postgres_ports(Settings(), url) as second,
        asking(first) as one,
        asking(second) as other,
    ):
        yield one, other


async def register(ports: Ports, *names: str) -> None:
    for name in names:
        definition = workflow(name, "only")
        await ports.registry.register("default", definition, digest_of(definition), ports.clock.now())


async def revoke(ports: Ports, made: Issued) -> None:
    office = TokenOffice(ports.tokens, ports.transport, ports.clock, ports.ids)
    assert await office.revoke(made.token.id, made.token.namespace) is not None


def stages_of(*names: str) -> list[session_pb2.WorkerStages]:
    return [session_pb2.WorkerStages(workflow_name=name, workflow_version=1) for name in names]


def open_stream(server: Server, token: str) -> RawWorker:
    stub: Any = worker_service_pb2_grpc.WorkerServiceStub(server.channel)
    return RawWorker(stub.Work(metadata=bearer(token)))


async def test_a_workers_stream_ends_with_its_token_whatever_server_hears_of_it(
    two_servers: tuple[Server, Server],
) -> None:
    one, other = two_servers
    await register(one.ports, "one")
    made = await issued(one.ports, Scope.WORKER)
    worker = open_stream(other, made.secret)
    await worker.greet(1, stages=stages_of("one"), slots=1)
    await revoke(one.ports, made)
    ending = await worker.ended()
    assert (ending.code, ending.reason) == UNAUTHENTICATED
    assert ending.item is not None
    assert ending.item.reason == session_pb2.DISCONNECT_REASON_UNAUTHENTICATED
    assert not ending.item.reconnect
    again = await open_stream(other, made.secret).ended()
    assert (again.code, again.reason, again.item) == (*UNAUTHENTICATED, None)


async def test_a_watch_ends_with_its_token(two_servers: tuple[Server, Server]) -> None:
    one, other = two_servers
    await register(one.ports, "one")
    made = await issued(one.ports)
    runs: Any = RunServiceStub(other.channel)
    request = run_service_pb2.CreateRunRequest(workflow_name="one")
    request.input.json = b"{}"
    run = (await runs.CreateRun(request, metadata=bearer(made.secret))).run
    watch = runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=run.run_id), metadata=bearer(made.secret))
    types = [(await watch.read()).event.type for _ in range(2)]
    assert types == ["workflow:created", "workflow:started"]
    await revoke(one.ports, made)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await asyncio.wait_for(watch.read(), PATIENCE_SECONDS)
    told = refusal(raised.value)
    assert (told.code, told.reason) == UNAUTHENTICATED
    assert "revoked or has expired" in told.message


async def test_a_stream_ends_when_its_token_expires(server: Server, ports: Ports) -> None:
    await register(ports, "one")
    made = await issued(ports, Scope.WORKER, expire_after=timedelta(seconds=0.5))
    ending = await open_stream(server, made.secret).ended()
    assert (ending.code, ending.reason) == UNAUTHENTICATED


async def test_others_live_on(server: Server, ports: Ports) -> None:
    await register(ports, "one")
    made, kept = await issued(ports, Scope.WORKER), await issued(ports, Scope.WORKER)
    worker = open_stream(server, kept.secret)
    await worker.greet(1, stages=stages_of("one"), slots=1)
    await revoke(ports, made)
    assert (await open_stream(server, made.secret).ended()).reason == "UNAUTHENTICATED"
    await worker.ping_pong()
    worker.break_off()


async def test_a_worker_is_offered_what_its_token_names(server: Server, ports: Ports) -> None:
    await register(ports, "one", "two")
    made = await issued(ports, Scope.WORKER, workflows=("one",))
    worker = open_stream(server, made.secret)
    await worker.greet(2, stages=stages_of("two", "one"), slots=2)
    error = (await worker.next("error")).error.error
    assert dict(error.metadata) == {"namespace": "default", "permission": "workflow"}
    worker.break_off()
    refused = await ended_after_hello(server, made.secret, stages=stages_of("two"), slots=1)
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    foreign = await ended_after_hello(server, made.secret, namespace="acme", stages=stages_of("one"), slots=1)
    assert foreign.metadata == {"namespace": "acme", "permission": "namespace"}


async def ended_after_hello(server: Server, token: str, **hello: Any) -> Any:
    worker = open_stream(server, token)
    said = session_pb2.Hello(protocol_version=1, **hello)
    await worker.send(worker_pb2.WorkerItem(hello=said))
    return await worker.ended()
