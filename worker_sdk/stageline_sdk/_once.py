"""A worker without a stream: leases jobs by calls, has them done, reports each, and ends.

Everything here is on a loop of its own, so that stages that block theirs lose no lease.
"""

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc

from stageline.v1 import job_pb2, report_pb2, session_pb2, worker_pb2, worker_service_pb2
from stageline_sdk._connection import Connection
from stageline_sdk._job_host import JobHost
from stageline_sdk._mailbox import Mailbox
from stageline_sdk._once_calls import OnceCalls
from stageline_sdk._once_jobs import OnceJob
from stageline_sdk._reports import fitted_report, returned
from stageline_sdk._session_core import SessionProfile
from stageline_sdk._session_messages import Finished, Message
from stageline_sdk._session_rpc import narrowed
from stageline_sdk._session_terms import Terms
from stageline_sdk._storage_calls import perform
from stageline_sdk._storage_requests import StorageRequest
from stageline_sdk.built_workflow import BuiltWorkflow
from stageline_sdk.errors import ApiError
from stageline_sdk.one_shot import OneShotJob, OneShotResult
from stageline_sdk.submissions import Submission

_log = logging.getLogger("stageline.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to lease.

    Attributes:
        jobs_max: Jobs at most, in all.
        wait: How long to wait for the first one.
        run_id: Only of this run; empty for any.
        stage_id: Only of this stage of it.
    """

    jobs_max: int
    wait: timedelta = timedelta(0)
    run_id: str = ""
    stage_id: str = ""


@dataclass
class _State:
    """What is under way."""

    held: dict[bytes, OnceJob] = field(default_factory=dict)
    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    done: list[OneShotJob] = field(default_factory=list)


class OneShot:
    """Leases, has done, reports. Also the `SessionPort` of the jobs; `post` and `fetch` may be called from any thread."""

    def __init__(
        self,
        connection: Connection,
        profile: SessionProfile,
        workflows: Sequence[BuiltWorkflow[Any, Any]],
        host: JobHost,
    ) -> None:
        """Make one; to be called on its loop."""
        self._loop = asyncio.get_running_loop()
        self._channel: grpc.aio.Channel = connection.open()
        self._calls = OnceCalls(self._channel, connection, profile.namespace)
        self._profile = profile
        self._workflows = workflows
        self._host = host
        self._mailbox: Mailbox[Message] = Mailbox(self._loop, self._take_messages)
        self._state = _State()
        self._changed = asyncio.Event()
        self._stop_at: float | None = None
        self._terms = Terms.of(session_pb2.Welcome())
        self._lease_seconds = 60.0
        host.attach(self)

    def post(self, *messages: Message) -> None:
        """Take messages of jobs; from any thread."""
        self._mailbox.post(*messages)

    def fetch(self, lease_token: bytes, stage_ids: Sequence[str]) -> Future[Mapping[str, bytes]]:
        """Fetch outputs of earlier stages; from any thread but this one's."""
        return asyncio.run_coroutine_threadsafe(self._calls.fetch_outputs(lease_token, stage_ids), self._loop)

    def resolve(self, offer: job_pb2.JobOffer) -> Future[job_pb2.JobOffer]:
        """Fetch the input and state of an offer that are stored apart; as `fetch`."""
        return asyncio.run_coroutine_threadsafe(self._calls.resolve(offer), self._loop)

    def store(self, lease_token: bytes, run_id: str, request: StorageRequest) -> Future[Any]:
        """Carry out what a stage asks of its run's storage; as `fetch`."""
        step = perform(self._calls.artifacts(lease_token), run_id, request)
        return asyncio.run_coroutine_threadsafe(step, self._loop)

    def submit(self, lease_token: bytes, submission: Submission) -> Future[None]:
        """Put on record how far a submission of a stage is; as `fetch`."""
        return asyncio.run_coroutine_threadsafe(self._calls.submit(lease_token, submission), self._loop)

    def offload(self, report: report_pb2.Report) -> Future[report_pb2.Report]:
        """Store a report's payload apart where it is too large; as `fetch`."""
        return asyncio.run_coroutine_threadsafe(self._calls.offload(report, self._terms), self._loop)

    def drain(self, within: timedelta) -> None:
        """Take nothing new, and hand back what is not done within a time; from any thread."""
        self._loop.call_soon_threadsafe(self._drain, within.total_seconds())

    def _drain(self, within_seconds: float) -> None:
        self._stop_at = min(self._stop_at or float("inf"), self._loop.time() + within_seconds)
        self._changed.set()

    async def run(self, wanted: Wanted) -> OneShotResult:
        """Do what is wanted, and return what was done.

        Raises:
            ApiError: The server refused the worker, or cannot be reached; raised before any job was begun.
        """
        upkeep = asyncio.create_task(self._keep_up())
        try:
            entries = [await self._calls.register_or_refuse(workflow) for workflow in self._workflows]
            stages = narrowed(entries, self._workflows, self._profile.stage_ids)
            await self._work_through(wanted, stages)
        finally:
            upkeep.cancel()
            await asyncio.gather(upkeep, *self._state.tasks, return_exceptions=True)
            await self._channel.close()
        return OneShotResult(tuple(self._state.done))

    async def _work_through(self, wanted: Wanted, stages: Sequence[session_pb2.WorkerStages]) -> None:
        state, left = self._state, wanted.jobs_max
        while True:
            self._changed.clear()  # before the look: what ends while jobs are leased may have made others ready
            free = min(self._profile.slots - len(state.held), left)
            if free > 0 and self._stop_at is None:
                offers = await self._lease(wanted, stages, free)
                left -= len(offers)
            if not state.held and not self._changed.is_set():
                return
            await self._changed.wait()

    async def _lease(
        self, wanted: Wanted, stages: Sequence[session_pb2.WorkerStages], free: int
    ) -> Sequence[job_pb2.JobOffer]:
        """Lease jobs and begin them. Once something was begun, that no more can be had ends the call in peace."""
        state = self._state
        has_begun = bool(state.held or state.done)
        request = worker_service_pb2.LeaseJobsRequest(
            request_id=str(uuid.uuid4()),
            hello=session_pb2.Hello(
                namespace=self._profile.namespace,
                identity=self._profile.identity,
                protocol_version=1,
                slots=free,
                stages=stages,
                labels=self._profile.labels,
            ),
            run_id=wanted.run_id,
            stage_id=wanted.stage_id,
        )
        request.wait.FromTimedelta(timedelta(0) if has_begun else wanted.wait)
        try:
            response = await self._calls.lease(request)
        except ApiError as error:
            if not has_begun:
                raise
            _log.warning("no further jobs could be leased: %s", error)
            return ()
        self._terms = Terms.of(response.welcome)
        self._lease_seconds = response.lease_duration.ToTimedelta().total_seconds() or self._lease_seconds
        for offer in response.offers:
            state.held[offer.lease_token] = OnceJob(offer, self._loop.time() + self._lease_seconds)
            self._host.start(offer)
        return response.offers

    def _take_messages(self, messages: list[Message]) -> None:
        for message in messages:
            job = self._state.held.get(message.lease_token)
            if job is None:
                continue
            if isinstance(message, Finished):
                task = self._loop.create_task(self._finish(job, message.report))
                self._state.tasks.add(task)
                task.add_done_callback(self._state.tasks.discard)
            else:
                job.take(message, self._terms)

    async def _finish(self, job: OnceJob, report: report_pb2.Report | None) -> None:
        """Report a job whose local work has ended, with what it said last."""
        answer: report_pb2.ReportAcknowledgement | None = None
        error = "the lease was lost"
        if report is None and not job.is_lost:
            report = returned(job.token, "DRAINING", "it was stopped before its end", started=True)
        if report is not None:
            report = fitted_report(report, self._terms)
            job.annotations.ride_in(report)
            items = [*job.items(), worker_pb2.WorkerItem(report=report)]
            try:
                (answer,) = (await self._calls.report_all(items)).report_acknowledgements
            except (ApiError, ValueError) as failure:
                error = str(failure)
        elif len(job.usage):
            await self._book_lost(job)
        self._state.done.append(job.told(report, answer, error))
        del self._state.held[job.token]
        self._changed.set()

    async def _book_lost(self, job: OnceJob) -> None:
        """What was spent under a lease that is lost was spent all the same."""
        try:
            await self._calls.report_all(list(job.items()))
        except ApiError as failure:
            _log.error("%d AI call(s) of a job that was lost are not booked: %s", len(job.usage), failure)

    async def _keep_up(self) -> None:
        """Send what jobs say, extend their leases, stop those that are lost or whose time is over."""
        extend_at = 0.0
        while True:
            await asyncio.sleep(min(self._terms.progress_interval.total_seconds(), self._lease_seconds / 6))
            now = self._loop.time()
            await self._send_what_jobs_say()
            if now >= extend_at:
                extend_at = now + self._lease_seconds / 3
                await self._extend()
            for job in list(self._state.held.values()):
                if now >= job.expires_at:
                    self._lose(job, "its lease could not be extended in time")
                elif self._stop_at is not None and now >= self._stop_at:
                    self._host.stop(job.token, "the worker ends")

    async def _send_what_jobs_say(self) -> None:
        items = [item for job in list(self._state.held.values()) for item in job.items()]
        if not items:
            return
        try:
            response = await self._calls.report(items[:1000], persistent=False)
        except ApiError as error:
            _log.debug("what jobs said could not be sent: %s", error)
            return
        for job in list(self._state.held.values()):
            job.annotations.acknowledge(response.record_acknowledgement.annotation_ids)
            job.usage.acknowledge(response.record_acknowledgement.usage_ids)
            job.usage.acknowledge(error.error.metadata.get("usage_id", "") for error in response.errors)

    async def _extend(self) -> None:
        tokens = list(self._state.held)
        if not tokens:
            return
        try:
            response = await self._calls.extend(tokens)
        except ApiError as error:
            _log.warning("leases could not be extended; trying again: %s", error)
            return
        for extension in response.extensions:
            job = self._state.held.get(extension.lease_token)
            if job is None:
                continue
            if extension.HasField("lease_duration"):
                lasts_seconds = extension.lease_duration.ToTimedelta().total_seconds()
                job.expires_at = self._loop.time() + lasts_seconds
            elif extension.HasField("directive"):
                reason = worker_pb2.StopReason.Name(extension.directive.reason).removeprefix("STOP_REASON_")
                self._lose(job, extension.directive.message or reason)

    def _lose(self, job: OnceJob, reason: str) -> None:
        job.is_lost = True
        self._host.stop(job.token, reason)
