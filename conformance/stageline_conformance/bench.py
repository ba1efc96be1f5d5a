"""Where a case works: a scripted server, a worker at it, and offers that the worker can do."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from stageline.v1 import error_pb2, job_pb2, report_pb2
from stageline_conformance.messages import an_offer, ending, value_of
from stageline_conformance.process import WorkerProcess, wait_until
from stageline_conformance.server import Abort, ScriptedServer, refusal
from stageline_conformance.stream import PATIENCE, ServerStream
from stageline_conformance.violations import ViolationError, expect, expect_equal

SLOTS = 4
"""The slots of a worker under test."""

DRAIN_TIME = timedelta(seconds=3)
"""The drain time of a worker under test."""

_NUMBERS = itertools.count(1)


class Gate:
    """Where a `wait` stage waits: a file that does not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        """Let the stage end."""
        self.path.touch()

    async def entered(self) -> None:
        """Wait until the stage's code runs."""
        mark = self.path.with_name(f"{self.path.name}.entered")
        await wait_until(mark.exists, "the start of the stage's code", PATIENCE)

    @property
    def input(self) -> dict[str, Any]:
        """The input of the stage that waits here."""
        return {"path": str(self.path)}


class Bench:
    """A server and a worker, for one case after the other. A worker that is left in order serves the next case too.

    Attributes:
        server: The server.
        workers_seen: What the workers said of themselves: SDK, version and language.
    """

    def __init__(self, command: str, folder: Path, name: str) -> None:
        """Make a bench; nothing runs yet.

        Args:
            command: Starts the worker.
            folder: For gates and logs.
            name: Its name among all that use the folder.
        """
        self.server = ScriptedServer()
        self._command = command
        self._path_prefix = f"{folder / name}-"
        self.workers_seen: set[str] = set()
        self._worker: WorkerProcess | None = None
        self._streams: list[ServerStream] = []
        self._gates: list[Gate] = []

    async def __aenter__(self) -> "Bench":
        await self.server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        await self.discard_worker()
        await self.server.stop()

    # For cases

    @property
    def worker(self) -> WorkerProcess:
        """The worker's process."""
        assert self._worker is not None
        return self._worker

    async def connected(self, **welcome: Any) -> ServerStream:
        """Return the worker's next stream, welcomed. For the arguments see `ServerStream.welcome`."""
        stream = await self.opened()
        await stream.welcome(**welcome)
        return stream

    async def started(self) -> WorkerProcess:
        """Start a worker, unless one runs."""
        if self._worker is None:
            log_file = Path(f"{self._path_prefix}worker-{next(_NUMBERS)}.log")
            self._worker = await WorkerProcess.start(self._command, self.server.address, log_file)
        return self._worker

    async def ended_worker(self) -> int:
        """Start a worker that is to end by itself; return its exit code."""
        return await (await self.started()).ended()

    async def until(self, is_so: Callable[[], bool], what: str, within: timedelta = PATIENCE) -> None:
        """Wait until something is so that no stream tells.

        Raises:
            ViolationError: It was not so in time.
        """
        await wait_until(is_so, what, within)

    def now(self) -> float:
        """Return the time of the clock that streams use, in seconds."""
        return time.monotonic()

    def refuse_streams(
        self,
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
        reason: "error_pb2.ErrorReason.ValueType" = error_pb2.ERROR_REASON_UNAVAILABLE,
    ) -> list[float]:
        """Refuse streams from now on; return the list to which the time of each try is added."""
        tries: list[float] = []

        def refuse() -> Abort:
            tries.append(time.monotonic())
            return refusal(code, reason)

        self.server.refuse_work = refuse
        return tries

    @asynccontextmanager
    async def another_server(self) -> AsyncIterator[ScriptedServer]:
        """Start a second server for a while."""
        other = ScriptedServer()
        await other.start()
        try:
            yield other
        finally:
            await other.stop()

    async def pause(self, length: timedelta) -> None:
        """Give the worker time for what it must not do."""
        await asyncio.sleep(length.total_seconds())

    async def opened(self) -> ServerStream:
        """Return the worker's next stream, before Welcome; a worker is started if none runs.

        Raises:
            ViolationError: The worker opens none.
        """
        worker = await self.started()
        opening = asyncio.create_task(self.server.next_stream())
        ended = asyncio.create_task(worker.ended_at_all())
        await asyncio.wait({opening, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not opening.done():
            opening.cancel()
            worker.check_running()
        stream = await opening
        if (
            not self._streams and stream.hello.held_leases
        ):  # What a case before left, and could not be seen then.
            await self.discard_worker()
            return await self.opened()
        self._streams.append(stream)
        identity = stream.hello.identity
        self.workers_seen.add(f"{identity.sdk_name} {identity.sdk_version} ({identity.runtime})")
        return stream

    async def reconnected(self, stream: ServerStream, **welcome: Any) -> ServerStream:
        """Break a stream, and return the one that the worker opens next, welcomed as resumed."""
        again = await self.broken(stream)
        await again.welcome(**{"resumed": True, **welcome})
        return again

    async def broken(self, stream: ServerStream) -> ServerStream:
        """Break a stream, and return the one that the worker opens next, before Welcome."""
        await stream.end(grpc.StatusCode.UNAVAILABLE, "broken by the suite")
        return await self.opened()

    def job(self, stage_id: str, run_input: Any = None, **fields: Any) -> job_pb2.JobOffer:
        """Return an offer with a lease of its own. For the arguments see `messages.an_offer`."""
        return an_offer(stage_id, number=next(_NUMBERS), run_input=run_input, **fields)

    def gate(self) -> Gate:
        """Return a gate that is closed; it is opened when the case is over."""
        gate = Gate(Path(f"{self._path_prefix}gate-{next(_NUMBERS)}"))
        self._gates.append(gate)
        return gate

    async def do(self, stream: ServerStream, offer: job_pb2.JobOffer) -> report_pb2.Report:
        """Offer a job, wait for its report, and acknowledge it."""
        await stream.offer(offer)
        report = await stream.report(offer.lease_token)
        await stream.acknowledge(offer.lease_token)
        return report

    async def output_of(self, stream: ServerStream, offer: job_pb2.JobOffer) -> Any:
        """Do a job, and return its output.

        Raises:
            ViolationError: It did not complete.
        """
        return completed(await self.do(stream, offer))

    # For the suite

    async def begin_case(self, *, is_fresh: bool) -> None:
        """Make ready for a case.

        Args:
            is_fresh: Whether the case needs a worker that has just been started.
        """
        if is_fresh:
            await self.discard_worker()
        if self._worker is not None and self._worker.exit_code is not None:
            await self.discard_worker()

    async def has_stage(self, stage_id: str) -> bool:
        """Whether the worker's workflow has a stage; a worker is started if none runs."""
        await self.started()
        await self.until(lambda: bool(self.server.registered), "a registration")
        groups = self.server.registered[-1].definition.groups
        return any(stage.id == stage_id for group in groups for stage in group.stages)

    def last_words(self) -> str:
        """Return the end of what the worker has printed."""
        return "" if self._worker is None else self._worker.last_words()

    async def end_case(self, *, failed: bool) -> None:
        """Tidy up behind a case: keep the worker if it is in order, else let the next case start another.

        Raises:
            ViolationError: A stream's framing was broken and the case did not notice.
        """
        for gate in self._gates:
            gate.open()
        self._gates.clear()
        streams, self._streams = self._streams, []
        if failed or not await self._settled(streams):
            await self.discard_worker()
        self.server.outputs.clear()
        self.server.fetched.clear()
        self.server.refuse_registration = None
        self.server.refused_count = 0
        self.server.stored = None
        self.server.stored_under.clear()
        self.server.refuse_work = lambda: None
        for stream in streams:
            stream.check()

    async def _settled(self, streams: list[ServerStream]) -> bool:
        """End the open stream in peace; return whether the worker is fit for another case."""
        if self._worker is None or self._worker.exit_code is not None or not streams:
            return False
        stream = streams[-1]
        if stream.is_over or stream.closed_by_worker or stream.sent == 0 or self.server.streams_waiting:
            return False
        with suppress(ViolationError):
            await stream.until(lambda: stream.credits == SLOTS, "all slots", timedelta(seconds=5))
            await stream.send(session_end=ending(reconnect_after=timedelta(0)))
            await stream.end()
            return True
        return False

    async def discard_worker(self) -> None:
        """End the worker at once."""
        if self._worker is not None:
            await self._worker.kill()
            self._worker = None
        self.server.forget_streams()


def completed(report: report_pb2.Report) -> Any:
    """Return the output of a report.

    Raises:
        ViolationError: It has another outcome.
    """
    told = report.failed.error.message if report.HasField("failed") else ""
    outcome = report.WhichOneof("outcome")
    expect(outcome == "completed", f"the report says {outcome} instead of completed {told}".rstrip())
    return value_of(report.completed.output)


def expect_returned(report: report_pb2.Report, reason: "report_pb2.ReturnReason.ValueType") -> None:
    """Go on if a report hands its job back for a reason."""
    expect_equal(report.WhichOneof("outcome"), "returned", "the outcome")
    names = report_pb2.ReturnReason
    expect_equal(names.Name(report.returned.reason), names.Name(reason), "the reason of the return")
