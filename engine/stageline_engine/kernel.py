"""The kernel: a command goes in, state changes and events come out.

This is the one place where loading, deciding, applying and committing meet. Everything is a batch; one command is a
batch of one. There are no timers, signals or threads in here, and nothing of the outside but the ports.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from stageline_engine import commands
from stageline_engine.errors import BatchSizeError, ConcurrentChangeError, InvariantError
from stageline_engine.execution import Execution, Site, execute_job, poll_suspended
from stageline_engine.handlers.annotate import annotate_runs
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.create import create_runs
from stageline_engine.handlers.extend import extend_leases
from stageline_engine.handlers.lease import hand_over, input_request, lease_jobs, leased_now, offer
from stageline_engine.handlers.lease_once import lease_once
from stageline_engine.handlers.maintenance import (
    claim_pending_runs,
    expire_deadlines,
    promote_jobs,
    purge_history,
    reap_stale_leases,
    reap_stuck_runs,
    replay_dead_letters,
    sequence_events,
)
from stageline_engine.handlers.outbox import flush_outbox, keep_consumers
from stageline_engine.handlers.report import report_jobs, report_progress
from stageline_engine.handlers.rerun import rerun_runs
from stageline_engine.handlers.resume import resume_stages
from stageline_engine.handlers.runs import cancel_runs, transition_runs
from stageline_engine.handlers.submissions import record_submissions
from stageline_engine.handlers.usage import record_ai_calls
from stageline_engine.limits import COMMANDS_PER_BATCH_MAX
from stageline_engine.payload_store import PayloadStore
from stageline_engine.ports import (
    Clock,
    EventSink,
    IdSource,
    Persistence,
    SessionStore,
    WorkflowRegistry,
)
from stageline_engine.rejections import Rejection
from stageline_engine.settling import unchecked
from stageline_engine.workspace import Workspace

Handler = Callable[[Batch, Sequence[Any]], Awaitable[Sequence[Any]]]
Result = TypeVar("Result")

HANDLERS: Mapping[type, Handler] = {
    commands.CreateRun: create_runs,
    commands.CancelRun: cancel_runs,
    commands.TransitionRun: transition_runs,
    commands.LeaseJobs: lease_jobs,
    commands.LeaseOnce: lease_once,
    commands.ReportJob: report_jobs,
    commands.ReportProgress: report_progress,
    commands.ReapStaleLeases: reap_stale_leases,
    commands.PromoteJobs: promote_jobs,
    commands.ClaimPendingRuns: claim_pending_runs,
    commands.ExpireDeadlines: expire_deadlines,
    commands.ReapStuckRuns: reap_stuck_runs,
    commands.ReplayDeadLetters: replay_dead_letters,
    commands.SequenceEvents: sequence_events,
    commands.PurgeHistory: purge_history,
    commands.RerunRun: rerun_runs,
    commands.ResumeStage: resume_stages,
    commands.AnnotateRun: annotate_runs,
    commands.RecordAiCall: record_ai_calls,
    commands.RecordSubmission: record_submissions,
}

CONFLICT_RETRIES_MAX = 5
"""Times that a batch is tried again after a concurrent change. Locks make one rare; more than a few are a bug."""


@dataclass(frozen=True, slots=True)
class Dispatched(Generic[Result]):
    """A committed batch.

    Attributes:
        results: One for each command, in order: its result, or why it was refused.
        effects: What the commit means for sessions, watchers and timers.
    """

    results: Sequence[Result | Rejection]
    effects: commands.Effects


class Kernel:
    """The command dispatcher. Safe to use from many tasks at once: each batch is a transaction of its own."""

    def __init__(
        self,
        persistence: Persistence,
        registry: WorkflowRegistry,
        clock: Clock,
        ids: IdSource,
        sinks: Mapping[str, EventSink] | None = None,
        payloads: PayloadStore | None = None,
        *,
        sessions: SessionStore | None = None,
        execution: Execution | None = None,
    ) -> None:
        """Takes the ports.

        Args:
            persistence: The transactional state.
            registry: Stored definitions; may cache, as they never change.
            clock: The one source of time.
            ids: The source of ids, secrets and chance.
            sinks: The consumers of events by name, to which ``outbox.flush`` gives them; each has its own order, retries
                and dead letters. A name must mean the same consumer on every server of a deployment.
            payloads: Where payloads over the inline limit go, and what references are looked up in; without it both are
                refused.
            sessions: Whose leases ``lease.extend`` renews.
            execution: What ``job.execute`` and ``stage.pollSuspended`` run stages with, in this process.
        """
        self._persistence = persistence
        self._registry = registry
        self._clock = clock
        self._ids = ids
        self._sinks = dict(sinks or {})
        self._payloads = payloads
        self._sessions = sessions
        self._site = None
        if execution is not None:
            self._site = Site(self, execution, registry, clock, ids, payloads)

    async def dispatch_many(
        self, batch: Sequence[commands.Command[Result]], demands: Sequence[commands.LeaseDemand] = ()
    ) -> Dispatched[Result]:
        """Carries out commands of one kind in one transaction. A refused one does not hurt its neighbours.

        Args:
            batch: Commands of one kind, at least one, at most ``COMMANDS_PER_BATCH_MAX``.
            demands: Sessions with free slots: jobs that the batch makes ready are leased to them in the same
                transaction where no more urgent job waits.

        Returns:
            The results and the effects, after the commit.

        Raises:
            StorageUnavailableError: The database, or the store of a large payload, is away. The batch may or may not have been committed; every command
                is safe to send again with its key or token.
            ConcurrentChangeError: Rows kept changing under the batch; nothing was written.
            BatchSizeError: The batch is empty or too large.
        """
        if not 0 < len(batch) <= COMMANDS_PER_BATCH_MAX:
            raise BatchSizeError(len(batch), COMMANDS_PER_BATCH_MAX)
        for tries_left in reversed(range(CONFLICT_RETRIES_MAX)):
            try:
                if self._payloads is not None:
                    batch = await self._payloads.settle_many(batch)
                return await self._dispatch(batch, demands)
            except ConcurrentChangeError:
                if not tries_left:
                    raise
                batch = [unchecked(command) for command in batch]
        raise AssertionError("unreachable")

    async def _dispatch(
        self, batch: Sequence[Any], demands: Sequence[commands.LeaseDemand]
    ) -> Dispatched[Any]:
        async with self._persistence.begin() as work:
            space = Workspace(self._clock.now(), self._ids.new_id())
            context = Batch(work, space, self._registry, self._ids)
            results = await HANDLERS[type(batch[0])](context, batch)
            await hand_over(context, demands)
            leased = [*leased_now(context), *space.offered_again]
            inputs = await work.commit(space.changes(), [input_request(context, job) for job in leased])
        offers = tuple(offer(context, job, given) for job, given in zip(leased, inputs, strict=True))
        return Dispatched(results, _effects(space, offers))

    @overload
    async def dispatch(self, command: commands.FlushOutbox) -> commands.OutboxFlushed: ...
    @overload
    async def dispatch(self, command: commands.ExtendLeases) -> commands.LeasesExtended: ...
    @overload
    async def dispatch(self, command: commands.PollSuspended) -> commands.SuspendedPolled: ...
    @overload
    async def dispatch(self, command: commands.Command[Result]) -> Result | Rejection: ...

    async def dispatch(self, command: commands.Command[Any]) -> Any:
        """Carries out one command: a batch of one. See ``dispatch_many``.

        Some are taken here only, since they are not one transaction: ``FlushOutbox`` is several short ones, and none while
        the sink works; ``ExtendLeases`` is a single write; ``ExecuteJob`` and ``PollSuspended`` hold none while stages run.
        """
        if isinstance(command, commands.FlushOutbox):
            return await flush_outbox(command, self._persistence, self._sinks, self._clock)
        if isinstance(command, commands.ExtendLeases):
            return await extend_leases(command, self._sessions, self._clock)
        if isinstance(command, commands.ExecuteJob):
            return await execute_job(command, self._in_process())
        if isinstance(command, commands.PollSuspended):
            return await poll_suspended(command, self._in_process())
        return (await self.dispatch_many([command])).results[0]

    async def keep_consumers(self) -> None:
        """Notes that the consumers of events live: each is told of every event that gets its place in the log from now on.

        ``outbox.flush`` does so too; call this before anything happens that they must not miss.

        Raises:
            StorageUnavailableError: The database is away.
        """
        await keep_consumers(self._persistence, self._sinks, self._clock)

    def _in_process(self) -> Site:
        if self._site is None:
            raise InvariantError("this kernel has no executor: give it an Execution to run stages in process")
        return self._site


def _effects(space: Workspace, offers: tuple[commands.JobOffer, ...]) -> commands.Effects:
    return commands.Effects(
        offers=offers,
        ready_routes=frozenset({job.route_id for job in space.ready_jobs()} | space.promoted_routes),
        stopped=tuple(space.stopped()),
        touched_runs=space.touched_runs(),
        wake_at=space.wake_at(),
    )
