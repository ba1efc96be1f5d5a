"""Running stages in this process: lease, execute outside any transaction, report."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from stageline_engine.commands import (
    Command,
    Completed,
    Disposition,
    ExecuteJob,
    ExpireDeadlines,
    Failed,
    JobExecuted,
    JobOffer,
    JobReportRecorded,
    LeaseDemand,
    LeaseName,
    LeaseOnce,
    Outcome,
    PollSuspended,
    PromoteJobs,
    ReportJob,
    ReportProgress,
    Returned,
    StillWaiting,
    SuspendedPolled,
)
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.limits import LEASE_DURATION
from stageline_engine.model.job import JobKind
from stageline_engine.model.session import NO_SERVER, SessionRow
from stageline_engine.payload_store import PayloadStore
from stageline_engine.ports import (
    Clock,
    DueCheck,
    IdSource,
    LogLine,
    LogStore,
    RunQueries,
    Scheduler,
    SessionStore,
    StageExecutor,
    WorkflowRegistry,
)
from stageline_engine.rejections import Rejection

WORKER_NAME = "in-process"


@dataclass(frozen=True, slots=True)
class Execution:
    """What running stages in this process needs beside the kernel's own ports.

    Attributes:
        executor: Runs the stages.
        sessions: Own the leases.
        queries: Reading.
        logs: Log lines.
        scheduler: Wakes when a lease is to be extended, or a check has taken too long. One that never wakes makes each lease
            last for ``LEASE_DURATION`` and no longer.
    """

    executor: StageExecutor
    sessions: SessionStore
    queries: RunQueries
    logs: LogStore
    scheduler: Scheduler


class Dispatcher(Protocol):
    """The kernel, as far as it is needed here."""

    async def dispatch(self, command: Command[Any]) -> Any:
        """Carries out one command."""
        ...

    async def dispatch_many(self, batch: Sequence[Command[Any]]) -> Any:
        """Carries out a batch."""
        ...


class Site:
    """Where stages run: the kernel with what it needs for that."""

    def __init__(
        self,
        kernel: Dispatcher,
        execution: Execution,
        registry: WorkflowRegistry,
        clock: Clock,
        ids: IdSource,
        payloads: PayloadStore | None,
    ) -> None:
        """Takes the kernel, the ports of execution, and what of the kernel's own is needed too."""
        self.kernel = kernel
        self.ports = execution
        self.registry = registry
        self.clock = clock
        self.ids = ids
        self.payloads = payloads

    async def lease(
        self, namespace: str, run_id: UUID, stage_id: str, route_id: int
    ) -> JobOffer | Rejection | None:
        """Leases the ready job of a stage to a session of its own; None where none is ready."""
        now, session_id = self.clock.now(), self.ids.new_id()
        row = SessionRow(
            id=session_id,
            namespace=namespace,
            worker_name=WORKER_NAME,
            server_id=NO_SERVER,
            slots=1,
            sdk="",
            connected_at=now,
            expires_at=now + LEASE_DURATION,
        )
        await self.ports.sessions.open(row)
        demand = LeaseDemand(session_id, (route_id,), 1)
        dispatched = await self.kernel.dispatch_many([LeaseOnce(namespace, demand, run_id, stage_id)])
        offers: Sequence[JobOffer] = dispatched.effects.offers
        if offers:
            return offers[0]
        await self.end(session_id)
        result = dispatched.results[0]
        return result if isinstance(result, Rejection) else None

    async def report(self, offer: JobOffer, outcome: Outcome) -> JobReportRecorded:
        """Reports on a leased job, and ends its session."""
        lease = offer.lease
        command = ReportJob(offer.namespace, lease.run_id, lease.stage_number, lease.lease_token, outcome)
        recorded: JobReportRecorded = await self.kernel.dispatch(command)
        await self.end(lease.session_id)
        return recorded

    async def end(self, session_id: UUID) -> None:
        """Ends a session that holds nothing any more."""
        await self.ports.sessions.end(session_id, NO_SERVER, self.clock.now(), "DRAINED")

    async def until_lost(self, offer: JobOffer) -> None:
        """Extends a lease for as long as it is live; returns when it is not."""
        lease = offer.lease
        name = LeaseName(lease.run_id, lease.stage_number, lease.lease_token)
        while True:
            await self.ports.scheduler.wait_until(self.clock.now() + LEASE_DURATION / 3)
            expires_at = self.clock.now() + LEASE_DURATION
            if not await self.ports.sessions.extend(offer.namespace, [name], NO_SERVER, expires_at):
                return

    async def run(self, offer: JobOffer, within: timedelta | None = None) -> tuple[Outcome | None, bool]:
        """Has a leased job executed.

        Args:
            offer: The job.
            within: How long it may take; None for as long as its lease holds.

        Returns:
            What the executor said, None where the lease was lost or the time was over; and whether the time was over.

        Raises:
            Exception: The executor failed. The job was handed back.
        """
        work = asyncio.ensure_future(self._execute(offer))
        lost = asyncio.ensure_future(self.until_lost(offer))
        ends: list[asyncio.Future[Any]] = [work, lost]
        late = None
        if within is not None:
            late = asyncio.ensure_future(self.ports.scheduler.wait_until(self.clock.now() + within))
            ends.append(late)
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result(), False
            return None, late is not None and late.done()
        except Exception:
            await self.report(offer, Returned(started=True))
            raise
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def _execute(self, offer: JobOffer) -> Outcome:
        """Executors are given payloads, wherever they are stored, never references."""
        whole = offer if self.payloads is None else await self.payloads.resolved(offer)
        return await self.ports.executor.execute(whole, _Voice(self, offer))

    async def text(self, namespace: str, text: str) -> str:
        """Returns a payload as it was given."""
        return text if self.payloads is None else await self.payloads.text(namespace, text)


class _Voice:
    """What one job says."""

    def __init__(self, site: Site, offer: JobOffer) -> None:
        self._site = site
        self._offer = offer

    async def log(self, level: str, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        lease, now = self._offer.lease, self._site.clock.now()
        line = LogLine(
            lease.run_id, lease.stage_number, self._offer.attempt, level, message, metadata or {}, now
        )
        await self._site.ports.logs.append([line])

    async def progress(self, fraction: float | None, message: str = "") -> None:
        lease = self._offer.lease
        await self._site.kernel.dispatch(
            ReportProgress(
                self._offer.namespace,
                lease.run_id,
                lease.stage_number,
                lease.lease_token,
                fraction,
                message,
            )
        )

    async def fetch_outputs(self, stage_ids: Sequence[str]) -> Mapping[str, str]:
        site, offer = self._site, self._offer
        workflow = await site.registry.get(offer.namespace, offer.workflow_name, offer.workflow_version)
        known = workflow.definition.number_by_id if workflow else {}
        numbers = {known[id_]: id_ for id_ in stage_ids if id_ in offer.completed_stage_ids}
        found = await site.ports.queries.read_outputs(offer.namespace, offer.lease.run_id, list(numbers))
        return {numbers[number]: await site.text(offer.namespace, text) for number, text in found.items()}


async def execute_job(command: ExecuteJob, site: Site) -> JobExecuted | Rejection:
    """Leases the job of a stage, runs it, and reports it."""
    namespace, run_id = command.namespace, command.run_id
    found = await site.ports.queries.get_run(namespace, run_id, with_outputs=True)
    if found is None:
        return run_not_found(namespace, str(run_id))
    for each in found.stages:
        output = each.result.output if each.result else None
        if each.stage.stage_id == command.stage_id and output is not None:
            whole = await site.text(namespace, output)
            return JobExecuted(Completed(whole.encode()), Disposition.ALREADY_RECORDED)
    if found.run.state.terminal:
        return JobExecuted(ghost=True)
    run = found.run
    workflow = await site.registry.get(namespace, run.workflow_name, run.workflow_version)
    number = workflow.definition.number_by_id.get(command.stage_id, 1) if workflow else 1
    await site.kernel.dispatch(PromoteJobs())
    route_id = workflow.route_ids[number - 1] if workflow else 0
    offer = await site.lease(namespace, run_id, command.stage_id, route_id)
    if offer is None:
        return JobExecuted()
    if isinstance(offer, Rejection):
        return offer
    outcome, _ = await site.run(offer)
    if outcome is None:
        await site.end(offer.lease.session_id)
        return JobExecuted(ghost=True)
    recorded = await site.report(offer, outcome)
    ghost = recorded.disposition is not Disposition.RECORDED
    return JobExecuted(outcome, recorded.disposition, recorded.note, ghost)


async def poll_suspended(command: PollSuspended, site: Site) -> SuspendedPolled:
    """Makes the checks that are due, side by side."""
    await site.kernel.dispatch(ExpireDeadlines())
    await site.kernel.dispatch(PromoteJobs())
    due = await site.ports.queries.list_due_checks(limit=command.limit)
    slots = asyncio.Semaphore(command.concurrency)

    async def check(one: DueCheck) -> str:
        async with slots:
            return await _check(site, one, command.check_timeout)

    said = await asyncio.gather(*(check(one) for one in due))
    counts = Counter(said)
    resumed = [one.run_id for one, what in zip(due, said, strict=True) if what == "resumed"]
    return SuspendedPolled(
        checked=len(said) - counts["gone"],
        resumed=counts["resumed"],
        failed=counts["failed"],
        waiting=counts["waiting"] + counts["timed out"],
        timed_out=counts["timed out"],
        resumed_run_ids=tuple(dict.fromkeys(resumed)),
    )


async def _check(site: Site, due: DueCheck, within: timedelta) -> str:
    """Makes one check; says what came of it in a word."""
    offer = await site.lease(due.namespace, due.run_id, due.stage_id, due.route_id)
    if not isinstance(offer, JobOffer):
        return "gone"
    if offer.kind is not JobKind.CHECK:
        await site.report(offer, Returned(started=False))
        return "gone"
    try:
        outcome, late = await site.run(offer, within)
    except Exception as error:  # noqa: BLE001 - the job was handed back; the other checks must be made
        await _Voice(site, offer).log("ERROR", f"the check could not be made: {error}")
        return "gone"
    if outcome is None and not late:
        await site.end(offer.lease.session_id)
        return "gone"
    recorded = await site.report(offer, StillWaiting() if outcome is None else outcome)
    if recorded.disposition is not Disposition.RECORDED:
        return "gone"
    if late:
        return "timed out"
    if isinstance(outcome, Failed) or recorded.note:
        return "failed"
    return "resumed" if isinstance(outcome, Completed) else "waiting"
