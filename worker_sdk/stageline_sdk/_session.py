"""The I/O around a session's state machine: connects, keeps time, connects again, until the worker has drained."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol

import grpc

from stageline.v1 import job_pb2, report_pb2, session_pb2, worker_pb2, worker_service_pb2_grpc
from stageline_sdk._alarm import Alarm
from stageline_sdk._backoff import Backoff
from stageline_sdk._connection import Connection
from stageline_sdk._mailbox import Mailbox
from stageline_sdk._rpc_errors import api_error
from stageline_sdk._session_actions import Action, LeaveStream, Notice, StartJob, StopJob
from stageline_sdk._session_core import SessionCore, SessionProfile
from stageline_sdk._session_messages import Annotated, Finished, Logged, Message, Spent
from stageline_sdk._session_pump import StreamPump
from stageline_sdk._session_rpc import FatalError, WorkerCalls, is_fatal, narrowed, raise_for_end
from stageline_sdk._session_stream import FramingError
from stageline_sdk._storage_calls import perform
from stageline_sdk._storage_requests import StorageRequest
from stageline_sdk.built_workflow import BuiltWorkflow
from stageline_sdk.errors import ApiError
from stageline_sdk.submissions import Submission

_log = logging.getLogger("stageline.worker")

_RECONNECT_FIRST = timedelta(milliseconds=200)
_RECONNECT_LONGEST = timedelta(seconds=30)

LEASES_HELD_SHARE = 0.2
"""The longest wait between two tries while leases are held, as a share of the session's timeout."""


class Jobs(Protocol):
    """Whoever does the jobs. Called from the session's loop."""

    def start(self, offer: job_pb2.JobOffer) -> None:
        """Begin a job; returns at once."""

    def stop(self, lease_token: bytes, reason: str) -> None:
        """Stop a job; returns at once."""


class Session:
    """A worker's session, from the first connection to the end of the drain. Everything here is on one loop."""

    def __init__(
        self,
        connection: Connection,
        profile: SessionProfile,
        workflows: Sequence[BuiltWorkflow[Any, Any]],
        jobs: Jobs,
    ) -> None:
        """Make a session; to be called on its loop.

        Args:
            connection: Where the server is.
            profile: What the worker says of itself.
            workflows: What it can run.
            jobs: Does the jobs.
        """
        self._core = SessionCore(profile, self._knows)
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._namespace = profile.namespace
        self._stage_ids = profile.stage_ids
        self._workflows = {workflow.name: workflow for workflow in workflows}
        self._jobs = jobs
        self._mailbox: Mailbox[Message] = Mailbox(self._loop, self._take_messages)
        self._versions: dict[str, int] = {}
        self._backoff = Backoff(_RECONNECT_FIRST, _RECONNECT_LONGEST)
        self._trouble = ""
        self._clock = Alarm()
        self._pausing = Alarm()
        self._pump: StreamPump | None = None
        self._channel: grpc.aio.Channel | None = None

    # From any thread

    def post(self, *messages: Message) -> None:
        """Take messages of jobs; from any thread."""
        self._mailbox.post(*messages)

    def fetch(self, lease_token: bytes, stage_ids: Sequence[str]) -> Future[Mapping[str, bytes]]:
        """Fetch outputs of earlier stages; from any thread but the session's own."""
        return asyncio.run_coroutine_threadsafe(self._fetch(lease_token, stage_ids), self._loop)

    def resolve(self, offer: job_pb2.JobOffer) -> Future[job_pb2.JobOffer]:
        """Fetch the input and state of an offer that are stored apart; from any thread but the session's own."""
        return asyncio.run_coroutine_threadsafe(self._resolve(offer), self._loop)

    def store(self, lease_token: bytes, run_id: str, request: StorageRequest) -> Future[Any]:
        """Carry out what a stage asks of its run's storage; from any thread but the session's own."""
        return asyncio.run_coroutine_threadsafe(self._store(lease_token, run_id, request), self._loop)

    def submit(self, lease_token: bytes, submission: Submission) -> Future[None]:
        """Put on record how far a submission of a stage is; from any thread but the session's own."""
        return asyncio.run_coroutine_threadsafe(self._submit(lease_token, submission), self._loop)

    def offload(self, report: report_pb2.Report) -> Future[report_pb2.Report]:
        """Store a report's payload apart where it is too large; from any thread but the session's own."""
        return asyncio.run_coroutine_threadsafe(self._offload(report), self._loop)

    def drain(self, within: timedelta) -> None:
        """Begin to end; from any thread, and from a signal handler."""
        with suppress(RuntimeError):  # The loop is closed: it has ended already.
            self._loop.call_soon_threadsafe(self._drain, within)

    # On the session's loop

    async def run(self) -> None:
        """Serve until the worker has drained.

        Raises:
            FatalError: The server refused the worker, and trying again would not help.
        """
        clock = asyncio.create_task(self._keep_time())
        try:
            while not self._is_drained():
                await self._pause(await self._serve_once())
        finally:
            clock.cancel()
            await asyncio.gather(clock, return_exceptions=True)
            await self._close_channel()
        if len(self._core.jobs):
            titles = ", ".join(job.title for job in self._core.jobs)
            _log.warning("ended with work that the server does not know the end of: %s", titles)
        if len(self._core.jobs.usage):
            _log.error("ended with %d AI call(s) that the server did not book", len(self._core.jobs.usage))

    async def _serve_once(self) -> float:
        """Serve over one connection, and return the seconds to wait before the next one."""
        after: timedelta | None = None
        try:
            after = await self._serve_stream()
        except ApiError as error:
            if is_fatal(error):
                raise FatalError(error) from error
            if error.reason == "SESSION_SUPERSEDED":
                self._perform(self._core.abandon_session())
            self._tell_trouble(str(error))
        except FramingError as error:
            _log.error("the server broke the protocol: %s", error)
        wait_seconds = self._wait_seconds() if after is None else after.total_seconds()
        if not self._is_drained():
            _log.info("connecting again in %.1f s", wait_seconds)
        return wait_seconds

    def _tell_trouble(self, text: str) -> None:
        """Log why there is no connection; in full once, as the tries may go on for hours."""
        _log.log(logging.DEBUG if text == self._trouble else logging.WARNING, "%s", text)
        self._trouble = text

    def _wait_seconds(self) -> float:
        """Return the wait before the next try: shorter while leases are held, which end with the session's timeout."""
        terms = self._core.jobs.terms
        if terms is None or len(self._core.jobs) == 0:
            return self._backoff.next_seconds()
        return self._backoff.next_seconds(at_most=terms.session_timeout * LEASES_HELD_SHARE)

    async def _serve_stream(self) -> timedelta | None:
        """Serve until the stream ends; return what was said about when to connect again."""
        channel = self._open_channel()
        stages = await self._register_all(channel)
        stub: worker_service_pb2_grpc.WorkerServiceAsyncStub = worker_service_pb2_grpc.WorkerServiceStub(
            channel
        )
        call = stub.Work(metadata=self._connection.metadata)
        pump = self._pump = StreamPump(call, self._core, self._perform, self._after_frame)
        end: session_pb2.SessionEnd | None = None
        try:
            with suppress(asyncio.InvalidStateError):  # It has ended already; the pump is told how.
                first = self._core.open_stream(stages, self._loop.time())
                self._clock.ring()  # A Welcome that does not come is to be noticed.
                await call.write(first)
            leaving = await pump.run()
            end = self._core.close_stream()
        except grpc.aio.AioRpcError as failure:
            raise_for_end(self._core.close_stream())
            raise api_error(failure, self._connection.target) from None
        finally:
            self._pump = None
            self._core.close_stream()
            call.cancel()
        raise_for_end(end)
        return await self._after_stream(leaving, end)

    async def _after_stream(
        self, leaving: LeaveStream | None, end: session_pb2.SessionEnd | None
    ) -> timedelta | None:
        if leaving is not None:
            _log.info("left the server at %s: %s", self._connection.target, leaving.reason)
            if leaving.address:
                self._connection = self._connection.moved_to(leaving.address)
                await self._close_channel()
            return leaving.reconnect_after
        if end is not None and end.HasField("reconnect_after"):
            return end.reconnect_after.ToTimedelta()
        return None

    def _after_frame(self, frame: worker_pb2.ServerFrame) -> None:
        self._clock.ring()
        if frame.sequence != 1 or frame.items[0].WhichOneof("item") != "welcome":
            return
        self._backoff.reset()
        self._trouble = ""
        welcome = frame.items[0].welcome
        served = ", ".join(f"{name} version {version}" for name, version in self._versions.items())
        how = "resumed" if welcome.resumed else "new"
        _log.info(
            "connected to %s: %s session %s, serving %s",
            self._connection.target,
            how,
            welcome.session_id,
            served,
        )

    async def _keep_time(self) -> None:
        while True:
            self._perform(self._core.tick(self._loop.time()))
            if self._pump is not None:
                self._pump.wake.ring()
            await self._clock.wait_until(self._core.next_tick_at())

    async def _pause(self, wait_seconds: float) -> None:
        """Wait before the next connection; no longer than a drain lasts."""
        until = self._loop.time() + wait_seconds
        while self._loop.time() < until and not self._is_drained():
            await self._pausing.wait_until(until)

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case StartJob():
                    self._jobs.start(action.offer)
                case StopJob():
                    self._jobs.stop(action.lease_token, action.reason)
                case LeaveStream():
                    if self._pump is not None:
                        self._pump.leave(action)
                case Notice():
                    _log.log(logging.getLevelNamesMapping()[action.level.upper()], "%s", action.text)

    def _take_messages(self, messages: list[Message]) -> None:
        now = self._loop.time()
        for message in messages:
            match message:
                case Finished():
                    self._core.finish(message.lease_token, message.report)
                case Logged():
                    self._core.log(message.lease_token, message.entry, now)
                case Spent():
                    self._core.record_usage(message.lease_token, message.record)
                case Annotated():
                    self._core.annotate(message.lease_token, message.entry)
                case _:
                    self._core.progress(message.lease_token, message.progress)
        self._ring()

    def _drain(self, within: timedelta) -> None:
        now = self._loop.time()
        self._core.drain(within, now)
        self._perform(self._core.tick(now))  # Before the writer looks: a drain without time is over at once.
        self._ring()
        self._clock.ring()

    def _ring(self) -> None:
        self._pausing.ring()
        if self._pump is not None:
            self._pump.wake.ring()

    def _is_drained(self) -> bool:
        return self._core.is_drained(self._loop.time())

    def _knows(self, offer: job_pb2.JobOffer) -> bool:
        workflow = self._workflows.get(offer.workflow_name)
        is_version = self._versions.get(offer.workflow_name) == offer.workflow_version
        is_ours = self._stage_ids is None or offer.stage_id in self._stage_ids
        return workflow is not None and is_version and is_ours and workflow.has_stage(offer.stage_id)

    async def _register_all(self, channel: grpc.aio.Channel) -> list[session_pb2.WorkerStages]:
        """Register what the worker serves: the server may be another one, or have another database, than before."""
        calls = WorkerCalls(channel, self._connection, self._namespace)
        stages = [await calls.register(workflow) for workflow in self._workflows.values()]
        self._versions = {entry.workflow_name: entry.workflow_version for entry in stages}
        return narrowed(stages, self._workflows.values(), self._stage_ids)

    async def _fetch(self, lease_token: bytes, stage_ids: Sequence[str]) -> Mapping[str, bytes]:
        return await self._calls().fetch_outputs(lease_token, stage_ids)

    async def _store(self, lease_token: bytes, run_id: str, request: StorageRequest) -> Any:
        return await perform(self._calls().artifacts(lease_token), run_id, request)

    async def _submit(self, lease_token: bytes, submission: Submission) -> None:
        await self._calls().submit(lease_token, submission)

    async def _resolve(self, offer: job_pb2.JobOffer) -> job_pb2.JobOffer:
        return await self._calls().resolve(offer)

    async def _offload(self, report: report_pb2.Report) -> report_pb2.Report:
        return await self._calls().offload(report, self._core.jobs.terms)

    def _calls(self) -> WorkerCalls:
        return WorkerCalls(self._open_channel(), self._connection, self._namespace)

    def _open_channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = self._connection.open()
        return self._channel

    async def _close_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
