"""Runs the jobs of a worker on the user's loop, for a session that lives on another thread."""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from stageline.v1 import job_pb2, report_pb2
from stageline_sdk._execute import StageRunner
from stageline_sdk._job import Cancelled, Outcome, StageFailure
from stageline_sdk._mailbox import Mailbox
from stageline_sdk._offers import job_of, missing_inputs, refers
from stageline_sdk._reports import payload_size, report_of
from stageline_sdk._session_messages import Finished, Message
from stageline_sdk._sink import SessionSink
from stageline_sdk._storage_requests import StorageRequest
from stageline_sdk.built_workflow import BuiltWorkflow
from stageline_sdk.cancellation import CancelSource
from stageline_sdk.errors import ApiError
from stageline_sdk.stage import Stage
from stageline_sdk.submissions import Submission

OFFLOAD_ABOVE_BYTES = 4 * 1024
"""Reports with less go into a message whatever the server's limit is: no need to ask the session."""

_log = logging.getLogger("stageline.worker")


class SessionPort(Protocol):
    """What a job host needs of the session. Its methods may be called from any thread."""

    def post(self, *messages: Message) -> None:
        """Tell the session something; returns at once."""

    def fetch(self, lease_token: bytes, stage_ids: Sequence[str]) -> Future[Mapping[str, bytes]]:
        """Fetch outputs of earlier stages; the future raises ApiError when the server refuses or cannot be reached."""

    def resolve(self, offer: job_pb2.JobOffer) -> Future[job_pb2.JobOffer]:
        """Fetch what an offer refers to; as `fetch`."""

    def store(self, lease_token: bytes, run_id: str, request: StorageRequest) -> Future[Any]:
        """Carry out what a stage asks of its run's storage; as `fetch`."""

    def submit(self, lease_token: bytes, submission: Submission) -> Future[None]:
        """Put on record how far a submission is; as `fetch`."""

    def offload(self, report: report_pb2.Report) -> Future[report_pb2.Report]:
        """Store a report's payload apart where it is too large for a message; as `fetch`."""


class JobHost:
    """Runs jobs. `start` and `stop` are called from the session's thread, everything else is on the user's loop."""

    def __init__(self, workflows: Sequence[BuiltWorkflow[Any, Any]], runner: StageRunner) -> None:
        """Make a host; to be called on the user's loop.

        Args:
            workflows: What the worker can run.
            runner: Runs the stages' code.
        """
        self._workflows = {workflow.name: workflow for workflow in workflows}
        self._runner = runner
        self._mailbox: Mailbox[tuple[job_pb2.JobOffer, CancelSource]] = Mailbox(
            asyncio.get_running_loop(), self._start_all
        )
        self._cancels: dict[bytes, CancelSource] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished: list[Finished] = []
        self._session: SessionPort | None = None

    def attach(self, session: SessionPort) -> None:
        """Say which session the jobs are of; to be called before the first one starts."""
        self._session = session

    @property
    def is_busy(self) -> bool:
        """Whether there is any job; may be asked from any thread."""
        return bool(self._cancels)

    def start(self, offer: job_pb2.JobOffer) -> None:
        """Begin a job, from the session's thread."""
        cancel = self._cancels[offer.lease_token] = CancelSource()
        self._mailbox.post((offer, cancel))

    def stop(self, lease_token: bytes, reason: str) -> None:
        """Stop a job, from the session's thread: also when code of the user blocks the loop."""
        cancel = self._cancels.get(lease_token)
        if cancel is not None:
            cancel.cancel(reason)

    async def close(self) -> None:
        """Cancel what still runs, and let `async def` stages tidy up."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._post_finished()

    def _start_all(self, jobs: list[tuple[job_pb2.JobOffer, CancelSource]]) -> None:
        loop = asyncio.get_running_loop()
        for offer, cancel in jobs:
            task = loop.create_task(self._run(offer, cancel))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, offer: job_pb2.JobOffer, cancel: CancelSource) -> None:
        assert self._session is not None
        session = self._session
        sink = SessionSink(
            offer.lease_token,
            session.post,
            _blocking_fetch(session),
            _blocking_store(session, offer),
            lambda submission: session.submit(offer.lease_token, submission).result(),
        )
        began = time.monotonic()
        outcome: Outcome = Cancelled("the worker stops")
        try:
            outcome = await self._outcome(offer, sink, cancel, session)
        except Exception as error:  # noqa: BLE001 - a defect here must not leave the server waiting for a report
            _log.exception("stage %r of run %s could not be run", offer.stage_id, offer.run_id)
            outcome = _internal_failure(error)
        finally:
            active_time = timedelta(seconds=time.monotonic() - began)
            self._cancels.pop(offer.lease_token, None)
            report = report_of(offer.lease_token, outcome, active_time=active_time)
            if report is not None and payload_size(report) > OFFLOAD_ABOVE_BYTES:
                report = await _offloaded(report, session)
            self._finish(Finished(offer.lease_token, report))

    def _finish(self, finished: Finished) -> None:
        """Tell the session of all jobs together that end in one turn of the loop: each word to it wakes its thread."""
        self._finished.append(finished)
        if len(self._finished) == 1:
            asyncio.get_running_loop().call_soon(self._post_finished)

    def _post_finished(self) -> None:
        finished, self._finished = self._finished, []
        if self._session is not None:
            self._session.post(*finished)

    async def _outcome(
        self, offer: job_pb2.JobOffer, sink: SessionSink, cancel: CancelSource, session: SessionPort
    ) -> Outcome:
        if cancel.is_set():
            return Cancelled(cancel.reason)
        stage: Stage[Any, Any, Any] = self._workflows[offer.workflow_name].get_stage(offer.stage_id)
        try:
            if refers(offer):
                offer = await asyncio.wrap_future(session.resolve(offer))
            missing = missing_inputs(offer, accepts_any_input=stage.accepts_any_input)
            fetched = await asyncio.wrap_future(session.fetch(offer.lease_token, missing)) if missing else {}
            job = job_of(offer, fetched, accepts_any_input=stage.accepts_any_input, now=datetime.now(UTC))
        except ApiError as error:
            if error.reason == "LEASE_SUPERSEDED":
                return Cancelled("the lease is not live any more")
            return _internal_failure(error)
        return await self._runner.run(stage, job, sink, cancel)


async def _offloaded(report: report_pb2.Report, session: SessionPort) -> report_pb2.Report | None:
    """Return a report that goes into a message; None where its lease has ended."""
    try:
        return await asyncio.wrap_future(session.offload(report))
    except ApiError as error:
        if error.reason == "LEASE_SUPERSEDED":
            return None
        return report_of(report.lease_token, _internal_failure(error))


def _blocking_fetch(session: SessionPort) -> Callable[[bytes, str], bytes]:
    def fetch(lease_token: bytes, stage_id: str) -> bytes:
        return session.fetch(lease_token, [stage_id]).result()[stage_id]

    return fetch


def _blocking_store(session: SessionPort, offer: job_pb2.JobOffer) -> Callable[[StorageRequest], Any]:
    def store(request: StorageRequest) -> Any:
        return session.store(offer.lease_token, offer.run_id, request).result()

    return store


def _internal_failure(error: Exception) -> StageFailure:
    retryable = error.retryable if isinstance(error, ApiError) else None
    return StageFailure(
        "INTERNAL",
        type(error).__qualname__,
        str(error),
        stack="".join(traceback.format_exception(error)),
        retryable=None if retryable else retryable,
    )
