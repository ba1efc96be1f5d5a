"""A kernel on a backend with time and ids under control, and the few calls that most tests are made of."""

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from stageline_engine import commands
from stageline_engine.artifact_store import ArtifactStore
from stageline_engine.commands import (
    Completed,
    Failed,
    JobOffer,
    JobReportRecorded,
    LeaseDemand,
    Outcome,
    RunCreation,
)
from stageline_engine.events import StageError
from stageline_engine.execution import Execution
from stageline_engine.kernel import Dispatched, Kernel
from stageline_engine.limits import PAGE_SIZE_MAX, SESSION_TIMEOUT
from stageline_engine.model.ai_call import AiCall
from stageline_engine.model.definition import RegisteredWorkflow, WorkflowDefinition
from stageline_engine.model.session import SessionRow, served_routes
from stageline_engine.payload_store import PayloadStore
from stageline_engine.ports import EventSink, RunDetails, StageExecutor
from stageline_engine.records import EventRow
from stageline_engine.rejections import Rejection
from stageline_engine.testing.backend import Backend
from stageline_engine.testing.clock import VirtualClock
from stageline_engine.testing.definitions import digest_of
from stageline_engine.testing.ids import SequentialIds

SINK = "sink"
"""The name of a scene's consumer of events."""

SERVER = "server-1"
"""The server that a scene's sessions are on."""


class Scene:
    """One deployment under test.

    Attributes:
        backend: The stores.
        clock: The time; it moves only when told.
        ids: The source of ids.
        blobs: Where large bytes go.
        payloads: Payloads over the inline limit.
        artifacts: Artifacts of runs.
        kernel: The kernel over all that.
        executor: Runs stages in the kernel's own process; None where nothing does.
        namespace: Where everything happens unless said otherwise.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        sink: EventSink | None = None,
        namespace: str = "default",
        seed: int = 0,
        clock: VirtualClock | None = None,
        kernel_type: type[Kernel] = Kernel,
        executor: StageExecutor | None = None,
    ) -> None:
        """Takes a backend that is empty or was prepared.

        Args:
            backend: The stores.
            sink: Where ``outbox.flush`` puts events.
            namespace: Where everything happens.
            seed: Tells the ids of several scenes on one backend apart.
            clock: The time, for scenes that share it; None for one of this scene's own.
            kernel_type: Makes the kernel; a subclass may watch what it does.
            executor: Runs stages in the kernel's own process; without it none are run there.
        """
        self.backend = backend
        self.clock = clock or VirtualClock()
        self.ids = SequentialIds(seed)
        self.namespace = namespace
        self.blobs = backend.blobs
        index = backend.blob_index
        self.payloads = PayloadStore(self.blobs, index, backend.registry, self.clock, self.ids)
        self.artifacts = ArtifactStore(self.blobs, index, self.clock, self.ids)
        sinks = {SINK: sink} if sink else {}
        execution = None
        if executor is not None:
            execution = Execution(executor, backend.sessions, backend.queries, backend.logs, self.clock)
        self.executor = executor
        self.kernel = kernel_type(
            backend.persistence,
            backend.registry,
            self.clock,
            self.ids,
            sinks,
            self.payloads,
            sessions=backend.sessions,
            execution=execution,
        )

    def within(self, namespace: str) -> "Scene":
        """The same deployment as another tenant sees it."""
        other = copy(self)
        other.namespace = namespace
        return other

    async def register(self, definition: WorkflowDefinition) -> RegisteredWorkflow:
        """Stores a definition."""
        digest = digest_of(definition)
        return await self.backend.registry.register(self.namespace, definition, digest, self.clock.now())

    async def create(self, workflow_name: str, run_input: bytes = b"{}", **fields: Any) -> UUID:
        """Creates a run that must be accepted and returns its id."""
        result = await self.try_create(workflow_name, run_input, **fields)
        if isinstance(result, Rejection):
            raise AssertionError(f"refused: {result}")
        return result.run_id

    async def try_create(
        self, workflow_name: str, run_input: bytes = b"{}", **fields: Any
    ) -> RunCreation | Rejection:
        """Sends a creation and returns the answer, whatever it is."""
        return await self.kernel.dispatch(
            commands.CreateRun(self.namespace, workflow_name, run_input, **fields)
        )

    async def open_session(self, *, slots: int = 100, worker_name: str = "worker-1", **fields: Any) -> UUID:
        """Opens a session that lives for ``SESSION_TIMEOUT`` and returns its id."""
        now, session_id = self.clock.now(), self.ids.new_id()
        session = SessionRow(
            session_id,
            self.namespace,
            worker_name,
            SERVER,
            slots,
            "test/1",
            now,
            now + SESSION_TIMEOUT,
            **fields,
        )
        await self.backend.sessions.open(session)
        return session_id

    async def renew(self, *session_ids: UUID) -> frozenset[UUID]:
        """Keeps sessions alive for another ``SESSION_TIMEOUT``."""
        return await self.backend.sessions.renew(session_ids, SERVER, self.clock.now() + SESSION_TIMEOUT)

    def demand(
        self,
        session_id: UUID,
        *workflows: RegisteredWorkflow,
        slots: int = 100,
        labels: Mapping[str, str] | None = None,
    ) -> LeaseDemand:
        """Says that a session takes jobs of every stage of these workflows, or of those that its labels are enough for."""
        routes = [
            route_id
            for workflow in workflows
            for route_id in (workflow.route_ids if labels is None else served_routes(workflow, labels))
        ]
        return LeaseDemand(session_id, tuple(sorted(routes)), slots)

    async def lease(
        self, session_id: UUID, *workflows: RegisteredWorkflow, slots: int = 100
    ) -> Sequence[JobOffer]:
        """Leases what is ready to one session."""
        command = commands.LeaseJobs((self.demand(session_id, *workflows, slots=slots),))
        return (await self.kernel.dispatch_many([command])).effects.offers

    async def report(self, offer: JobOffer, outcome: Outcome) -> JobReportRecorded:
        """Reports on a leased job."""
        return (await self.report_many((offer, outcome))).results[0]  # type: ignore[return-value]

    async def report_many(
        self,
        *reports: tuple[JobOffer, Outcome],
        demands: Sequence[LeaseDemand] = (),
        ai_calls: Sequence[AiCall] = (),
    ) -> Dispatched[JobReportRecorded]:
        """Reports on several jobs in one batch; the first report comes with AI calls."""
        batch = [
            commands.ReportJob(
                offer.namespace,
                offer.lease.run_id,
                offer.lease.stage_number,
                offer.lease.lease_token,
                outcome,
                ai_calls=() if index else tuple(ai_calls),
            )
            for index, (offer, outcome) in enumerate(reports)
        ]
        return await self.kernel.dispatch_many(batch, demands)

    async def cancel(
        self, run_id: UUID, reason: str = "", **fields: Any
    ) -> commands.RunCancellation | Rejection:
        """Cancels a run."""
        return await self.kernel.dispatch(commands.CancelRun(self.namespace, run_id, reason, **fields))

    async def reap(self) -> commands.StaleLeasesReaped:
        """Hands on the jobs of dead sessions."""
        return await self.kernel.dispatch(commands.ReapStaleLeases())  # type: ignore[return-value]

    async def promote(self) -> commands.JobsPromoted:
        """Makes jobs ready whose time has come."""
        return await self.kernel.dispatch(commands.PromoteJobs())  # type: ignore[return-value]

    async def details(self, run_id: UUID) -> RunDetails:
        """Reads a run that must exist, with its outputs."""
        details = await self.backend.queries.get_run(self.namespace, run_id, with_outputs=True)
        if details is None:
            raise AssertionError(f"there is no run {run_id}")
        return details

    async def events(self, run_id: UUID) -> Sequence[EventRow]:
        """Reads the events of a run that must exist, from the first on."""
        answer = await self.backend.queries.list_events(
            self.namespace, run_id, after_sequence=0, limit=PAGE_SIZE_MAX
        )
        if answer is None:
            raise AssertionError(f"there is no run {run_id}")
        return answer[0]

    async def event_types(self, run_id: UUID) -> list[str]:
        """Reads the types of a run's events, in order."""
        return [event.type for event in await self.events(run_id)]


def completed(output: Any = None, **metrics: float) -> Completed:
    """An outcome: done, with a JSON value."""
    return Completed(orjson.dumps(output), metrics)


def failed(
    error_type: str = "ValueError",
    message: str = "it broke",
    *,
    retryable: bool | None = None,
    retry_after: timedelta | None = None,
) -> Failed:
    """An outcome: the try failed."""
    return Failed(StageError(error_type, message), retryable, retry_after)
