"""What SIGINT and SIGTERM do to a worker's process."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.integration.worker_sdk.offers import an_offer, recorded
from tests.support.scripted_server import ScriptedServer, ServerStream

WORKER = """
import asyncio, sys, threading
from stageline_sdk import Context, NoInput, Worker, Workflow, stage

@stage("waits")
async def waits(ctx: Context[NoInput]) -> None:
    ctx.progress(0)
    await asyncio.Event().wait()

@stage("blocks")
async def blocks(ctx: Context[NoInput]) -> None:
    ctx.progress(0)
    threading.Event().wait()

Worker(Workflow("pipeline", input=NoInput).parallel(waits, blocks).build()).run_forever(sys.argv[1])
"""


class WorkerProcess:
    """A worker in a process, at work on one stage."""

    def __init__(self, process: asyncio.subprocess.Process, stream: ServerStream) -> None:
        self.process = process
        self.stream = stream

    async def exit_code(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()


@pytest.fixture
async def at_work(server: ScriptedServer, request: pytest.FixtureRequest) -> AsyncIterator[WorkerProcess]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, server.address)
    try:
        stream = await server.next_stream()
        await stream.welcome()
        await stream.send(offer=an_offer(request.param))
        await stream.next("progress")
        yield WorkerProcess(process, stream)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("at_work", ["waits"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_second_signal_hands_back_what_the_first_let_finish(
    at_work: WorkerProcess, number: signal.Signals
) -> None:
    at_work.process.send_signal(number)
    await at_work.stream.next("drain")
    at_work.process.send_signal(number)
    report = (await at_work.stream.next("report")).report
    assert report.returned.started
    await at_work.stream.send(report_acknowledgement=recorded(report))
    assert await at_work.exit_code() == 0


@pytest.mark.parametrize("at_work", ["blocks"], indirect=True)
async def test_a_blocked_loop_keeps_a_worker_neither_from_draining_nor_from_ending(
    at_work: WorkerProcess,
) -> None:
    at_work.process.send_signal(signal.SIGTERM)
    await at_work.stream.next("drain")
    at_work.process.send_signal(signal.SIGTERM)
    assert (await at_work.stream.next("report")).report.returned.started
    await at_work.stream.is_over()
    at_work.process.send_signal(signal.SIGTERM)
    assert await at_work.exit_code() == -signal.SIGTERM
