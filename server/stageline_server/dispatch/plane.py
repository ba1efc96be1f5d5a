"""The control plane of one server: commands go in as they come, commits come out in batches, effects reach whom they concern.

Several planes work on one database; they share nothing but it, and tell each other by hints that may be lost.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from stageline_engine.commands import (
    AiCallRecorded,
    AnnotateRun,
    CancelRun,
    Command,
    CreateRun,
    Effects,
    JobOffer,
    JobReportRecorded,
    LeasedJobs,
    LeaseJobs,
    LeaseReference,
    ProgressRecorded,
    RecordAiCall,
    ReportJob,
    ReportProgress,
    RerunRun,
    ResumeStage,
    Returned,
    RunAnnotated,
    RunCancellation,
    RunCreation,
    RunRerunResult,
    StageResumed,
)
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.kernel import Kernel
from stageline_engine.payload_store import PayloadStore
from stageline_engine.ports import Hint
from stageline_engine.rejections import Rejection
from stageline_engine.settling import unsettled
from stageline_server.dispatch.announcer import Announcer
from stageline_server.dispatch.background import Background
from stageline_server.dispatch.batcher import Batcher, Done
from stageline_server.dispatch.counts import Counts
from stageline_server.dispatch.disconnects import Disconnects
from stageline_server.dispatch.due import CONTENTION_PAUSE_SECONDS, DueWork
from stageline_server.dispatch.event_flow import EventFlow
from stageline_server.dispatch.housekeeping import Housekeeping
from stageline_server.dispatch.hub import WatchHub
from stageline_server.dispatch.large_reports import LargeReports
from stageline_server.dispatch.leaser import Leaser
from stageline_server.dispatch.listener import Listener
from stageline_server.dispatch.log_writer import LogWriter
from stageline_server.dispatch.maintenance import Maintenance
from stageline_server.dispatch.ports import Ports
from stageline_server.dispatch.report_commits import ReportCommits
from stageline_server.dispatch.sessions import LocalSession, Reservation, SessionTable
from stageline_server.dispatch.settings import PlaneSettings
from stageline_server.dispatch.timers import Alarm
from stageline_server.dispatch.usage_commits import UsageCommits

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


class ControlPlane:
    """What the services of one server work with. All methods belong to one event loop."""

    def __init__(self, ports: Ports, *, server_id: str, settings: PlaneSettings | None = None) -> None:
        """Takes the adapters.

        Args:
            ports: The adapters.
            server_id: Names this server in its sessions; unlike that of any other server on the same state.
            settings: Paces and sizes.
        """
        self.ports = ports
        self.server_id, self.settings = server_id, settings or PlaneSettings()
        self.payloads = PayloadStore(ports.blobs, ports.blob_index, ports.registry, ports.clock, ports.ids)
        self.kernel = Kernel(
            ports.persistence,
            ports.registry,
            ports.clock,
            ports.ids,
            ports.sinks,
            payloads=self.payloads,
            sessions=ports.sessions,
        )
        self._large_reports = LargeReports(self.payloads)
        self.hub: WatchHub[UUID] = WatchHub()
        self.queues: WatchHub[int] = WatchHub()
        self.events = EventFlow(self.kernel, ports.clock, ports.scheduler, ports.sinks)
        self.hint_takers: list[Callable[[Hint], None]] = []
        self.sessions = SessionTable()
        self.counts = Counts()
        self.logs = LogWriter(ports.logs, self.hub.ring)
        self.draining = False
        batch_max = self.settings.batch_max
        self.disconnects = Disconnects(ports.sessions, ports.clock, self.counts, server_id, batch_max)
        self.leaser = Leaser(self.sessions, self._lease, batch_max=batch_max, promised=self._reports_waiting)
        self.due_work = DueWork(self.kernel, ports.clock, self.carry_out, batch_max=batch_max)
        self._announcer = Announcer(ports.transport)
        self._alarm = Alarm(self._take_what_is_due, ports.clock, ports.scheduler, name="what is due")
        self.housekeeping = Housekeeping(self)
        self.maintenance = Maintenance(self)
        self._listener = Listener(ports.transport, self.take_hint)
        reports = ReportCommits(self._commit_reports_once, self._look_at_everything, self.counts)
        self._creates = self._batcher("create", self._commit_leasing)
        self._cancels, self._progress = (self._batcher(name, self._commit) for name in ("cancel", "progress"))
        self._reruns = self._batcher("rerun", self._commit_leasing)
        self._resumes = self._batcher("resume", self._commit_leasing)
        self._annotations, self.submissions, self._usage = (
            self._batcher(name, self._commit) for name in ("annotate", "submissions", "usage")
        )
        self._leased_usage = self._batcher("leased-usage", UsageCommits(self._commit).commit)
        names = [f"report-{number}" for number in range(self.settings.committers)]
        self._reports = [self._batcher(name, reports.commit) for name in names]

    def _batcher(
        self, name: str, commit: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
    ) -> Batcher[Any, Any]:
        return Batcher(commit, batch_max=self.settings.batch_max, name=name)

    @property
    def _parts(self) -> list[Background]:
        """Everything that works by itself, in the order in which it starts and stops."""
        upkeep = [*self.housekeeping.alarms, *self.maintenance.alarms, *self.events.alarms.values()]
        paced = [*upkeep, self._alarm, self.leaser, *self.batchers]
        return [self._listener, *paced, self._announcer, self.logs]

    @property
    def batchers(self) -> list[Batcher[Any, Any]]:
        """Whatever gathers commands."""
        changes = [self._creates, self._cancels, self._reruns, self._resumes, self._progress, *self._reports]
        said = [self._annotations, self.submissions, self._usage, self._leased_usage]
        return [*changes, *said, self.disconnects.batcher]

    async def start(self) -> None:
        """Begins to work. Plugins are told of all that happens from now on, whichever server places it in the log.

        Raises:
            StorageUnavailableError: The database is away.
        """
        await self.events.register()
        for part in self._parts:
            part.start()

    async def drain(self) -> None:
        """Leases nothing more, asks workers to connect elsewhere, commits what was reported. The caller sets a time limit."""
        self.draining = True
        for session in self.sessions.all():
            session.draining = True
            session.outlet.send_drain()
        await self.flushed()
        await self.logs.flushed()

    async def flushed(self) -> None:
        """Waits until every command that has been taken is answered."""
        await self._large_reports.flushed()
        await asyncio.gather(*(batcher.flushed() for batcher in self.batchers))

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is done and nothing can be, until time passes or somebody asks for something."""
        works = any(session.held for session in self.sessions.all()) or not self.leaser.is_idle
        commits = not (self._large_reports.is_idle and all(batcher.is_idle for batcher in self.batchers))
        return self._alarm.is_settled and not works and not commits

    async def stop(self) -> None:
        """Ends all work at once. Leases and runs live on in the database."""
        await self._large_reports.stop()
        for part in self._parts:
            await part.stop()

    async def create_run(self, command: CreateRun) -> RunCreation | Rejection:
        """Creates a run with the next batch.

        Raises:
            StorageUnavailableError: The database is away; the call may be repeated with its key.
        """
        result: RunCreation | Rejection = await self._creates.call(await self.payloads.settle(command))
        return result

    async def cancel_run(self, command: CancelRun) -> RunCancellation | Rejection:
        """Cancels a run with the next batch; workers are told at once.

        Raises:
            StorageUnavailableError: The database is away; the call may be repeated.
        """
        result: RunCancellation | Rejection = await self._cancels.call(command)
        return result

    async def rerun_run(self, command: RerunRun) -> RunRerunResult | Rejection:
        """Runs an ended run again with the next batch.

        Raises:
            StorageUnavailableError: The database is away; the call may be repeated with its key.
        """
        result: RunRerunResult | Rejection = await self._reruns.call(command)
        return result

    async def resume_stage(self, command: ResumeStage) -> StageResumed | Rejection:
        """Ends a wait from outside with the next batch.

        Raises:
            StorageUnavailableError: The database is away; the call may be repeated: its token allows one outcome.
        """
        result: StageResumed | Rejection = await self._resumes.call(await self.payloads.settle(command))
        return result

    def annotate(self, command: AnnotateRun, done: Done[RunAnnotated | Rejection]) -> None:
        """Keeps annotations with the next batch; ``done`` is called after the commit."""
        self._annotations.submit(command, done)

    async def record_ai_call(self, command: RecordAiCall) -> AiCallRecorded | Rejection:
        """Books an AI call with the next batch.

        Raises:
            StorageUnavailableError: The database is away; the call may be repeated.
        """
        result: AiCallRecorded | Rejection = await self._usage.call(command)
        return result

    def book_leased_call(self, command: RecordAiCall, done: Done[AiCallRecorded | Rejection]) -> None:
        """Books an AI call of a worker, however long the database is away; ``done`` is called after the commit."""
        self._leased_usage.submit(command, done)

    async def annotate_now(self, command: AnnotateRun) -> RunAnnotated | Rejection:
        """Keeps annotations with the next batch, and waits for it; as ``create_run``, and each is kept once."""
        result: RunAnnotated | Rejection = await self._annotations.call(command)
        return result

    def report(self, command: ReportJob, done: Done[JobReportRecorded]) -> None:
        """Records a report with the next batch of its run's committer; ``done`` is called after the commit."""
        if unsettled(command) is None:
            self._submit_report(command, done)
        else:
            self._large_reports.take(command, lambda settled: self._submit_report(settled, done))

    def _submit_report(self, command: ReportJob, done: Done[JobReportRecorded]) -> None:
        self._reports[command.run_id.int % len(self._reports)].submit(command, done)

    def progress(self, command: ReportProgress, done: Done[ProgressRecorded]) -> None:
        """Records progress with the next batch."""
        self._progress.submit(command, done)

    async def _commit_leasing(self, batch: Sequence[Command[Result]]) -> Sequence[Result | Rejection]:
        """Commits what makes jobs ready; they are leased in the same transaction where a slot is free."""
        with self._reserved(len(batch), promised=self._reports_waiting()) as reservation:
            dispatched = await self.kernel.dispatch_many(batch, reservation.demands)
            self.carry_out(dispatched.effects, reservation)
            return dispatched.results

    async def _commit_reports_once(self, batch: Sequence[ReportJob]) -> Sequence[JobReportRecorded]:
        with self._reserved(len(batch)) as reservation:
            dispatched = await self.kernel.dispatch_many(batch, reservation.demands)
            self.carry_out(dispatched.effects, reservation)
            return [result for result in dispatched.results if not isinstance(result, Rejection)]

    async def _commit(self, batch: Sequence[Command[Result]]) -> Sequence[Result | Rejection]:
        dispatched = await self.kernel.dispatch_many(batch)
        self.carry_out(dispatched.effects)
        return dispatched.results

    @contextmanager
    def _reserved(self, commands: int, promised: int = 0) -> Iterator[Reservation]:
        """Slots for jobs that a batch may make ready: one for each command. Wider groups are left to the leaser."""
        free = Reservation() if self.draining else self.sessions.reserve(commands, promised=promised)
        with self._settling(free) as taken:
            yield taken

    def _reports_waiting(self) -> int:
        """Reports that wait for their batch; each has freed a slot for the job that it makes ready, in its own transaction."""
        return sum(batcher.waiting for batcher in self._reports)

    @contextmanager
    def _settling(self, reservation: Reservation) -> Iterator[Reservation]:
        """Gives slots back in the end; where a commit's fate is unknown, has lost offers looked for."""
        try:
            yield reservation
        except StorageUnavailableError:
            self.suspect_lost_offers(reservation.sessions)
            raise
        finally:
            reservation.release()
            # Slots were set aside, or promised, while the leaser looked for free ones; it would not look again by itself.
            self.leaser.slots_freed()

    async def _lease(self, reservation: Reservation) -> LeasedJobs:
        with self._settling(reservation):
            dispatched = await self.kernel.dispatch_many([LeaseJobs(reservation.demands)])
            self.carry_out(dispatched.effects, reservation)
        result = dispatched.results[0]
        assert not isinstance(result, Rejection)
        return result

    async def _take_what_is_due(self) -> datetime | None:
        step = await self.due_work.step()
        if step.contended:
            await asyncio.sleep(CONTENTION_PAUSE_SECONDS)
        return step.again_at

    def carry_out(self, effects: Effects, reservation: Reservation | None = None) -> None:
        """Tells sessions, watchers, timers and other servers what a commit means for them.

        Never fails: what is committed must not be committed again since the world could not be told.
        """
        try:
            self._carry_out(effects, reservation or Reservation())
        except Exception:  # noqa: BLE001 - logged; the net under lost hints and offers is called for
            _log.exception("the effects of a commit could not be carried out")
            self.suspect_lost_offers(session.id for session in self.sessions.all())

    def _carry_out(self, effects: Effects, reservation: Reservation) -> None:
        for offer in effects.offers:
            if session := reservation.sessions.get(offer.lease.session_id):
                self._deliver(offer, session)
        elsewhere = tuple(lease for lease in effects.stopped if not self._stop_here(lease))
        if effects.ready_routes:
            self._jobs_may_wait(effects.ready_routes)
        if effects.wake_at is not None:
            self._alarm.set_no_later_than(effects.wake_at)
        self._told(effects.touched_runs)
        self._announcer.announce(effects, elsewhere)

    def _deliver(self, offer: JobOffer, session: LocalSession) -> None:
        """Sends a leased job to the very stream whose slot was reserved; takes it back where that has gone since."""
        if self.sessions.get(session.id) is session and not session.draining:
            session.hold(offer)
            session.outlet.send_offer(offer)
        else:
            self.take_back(session, offer.lease)

    def take_back(self, session: LocalSession, lease: LeaseReference) -> None:
        """Hands on a job that its worker was never given, at no attempt's and no delivery's cost."""
        self.counts.offers_returned += 1
        outcome = Returned(started=False)
        command = ReportJob(session.namespace, lease.run_id, lease.stage_number, lease.lease_token, outcome)
        self.report(command, lambda _: None)

    def suspect_lost_offers(self, session_ids: Iterable[UUID]) -> None:
        """Has sessions looked at, which may own leases that no worker was told of."""
        self.housekeeping.lost_offers.suspect(session_ids)

    def wake_at(self, moment: datetime) -> None:
        """Has what is due looked at no later than this."""
        self._alarm.set_no_later_than(moment)

    def _stop_here(self, lease: LeaseReference) -> bool:
        """Tells the worker of a lease to stop, if its stream is here."""
        session = self.sessions.get(lease.session_id)
        if session is None:
            return False
        if session.drop(lease.lease_token):
            session.outlet.send_stop(lease)
        return True

    def take_hint(self, hint: Hint) -> None:
        """Takes a hint: of another server, or of this one's own."""
        for take in self.hint_takers:
            take(hint)
        for lease in hint.stopped:
            self._stop_here(lease)
        if hint.routes:
            self._jobs_may_wait(hint.routes)
        if hint.wake_at is not None:
            self._alarm.set_no_later_than(hint.wake_at)
        if hint.all_runs:
            self._look_at_everything()
        else:
            self._told(hint.runs)

    def _told(self, run_ids: Collection[UUID]) -> None:
        """Wakes whoever follows the events of these runs."""
        if run_ids:
            self.hub.ring(run_ids)
            self.events.ring()

    def _jobs_may_wait(self, routes: Iterable[int]) -> None:
        self.leaser.jobs_may_wait(routes)
        self.queues.ring(routes)

    def _look_at_everything(self) -> None:
        """Makes up for hints and effects that were lost."""
        self.hub.ring_all()
        self.events.ring()
        self.recheck()

    def recheck(self) -> None:
        """Matches every session with the queue again, as if hints had been lost; full ones as soon as they have room."""
        routes = {route_id for session in self.sessions.all() for route_id in session.route_ids}
        if routes:
            self.leaser.jobs_may_wait(routes)
        self.queues.ring_all()
        self._alarm.set_no_later_than(self.ports.clock.now())
