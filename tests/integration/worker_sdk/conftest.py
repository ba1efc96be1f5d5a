"""A scripted server, and workers that are stopped at the end of their test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from stageline_sdk import Worker
from tests.integration.worker_sdk.stages import Gates, new_gates
from tests.support.scripted_server import ScriptedServer

StartWorker = Callable[[Worker], "asyncio.Task[None]"]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def start(server: ScriptedServer) -> AsyncIterator[StartWorker]:
    """Starts workers at the scripted server, and ends them after the test."""
    running: list[tuple[Worker, asyncio.Task[None]]] = []

    def start_worker(worker: Worker) -> "asyncio.Task[None]":
        task = asyncio.create_task(worker.run(server.address))
        running.append((worker, task))
        return task

    yield start_worker
    for worker, task in running:
        worker.stop(timedelta(0))
        with suppress(Exception):
            await task


@pytest.fixture(autouse=True)
async def gates() -> AsyncIterator[Gates]:
    """Where stages of this test wait."""
    gates = new_gates()
    yield gates
    gates.open.set()
    gates.thread.set()
