"""A real server in this process, over memory, with workers that end with their test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from stageline_sdk import Client, Worker
from stageline_server.stores import memory_ports
from tests.integration.server.running import Server, running
from tests.waiting import eventually

Serve = Callable[[Worker], Awaitable[None]]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A running server."""
    async with running(memory_ports()) as started:
        yield started


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A client of it."""
    async with Client(server.application.address) as connected:
        yield connected


@pytest.fixture
async def serve(server: Server, client: Client) -> AsyncIterator[Serve]:
    """Starts workers and waits until they are connected."""
    started: list[tuple[Worker, asyncio.Task[None]]] = []

    async def serve_worker(worker: Worker) -> None:
        before = len(started)
        started.append((worker, asyncio.create_task(worker.run(server.application.address))))

        async def is_connected() -> bool:
            return len([each async for each in client.list_workers()]) > before

        await eventually(is_connected, what="a worker's session")

    yield serve_worker
    for worker, task in started:
        worker.stop(timedelta(0))
        with suppress(Exception):
            await task
