"""The control plane of one server: commands go in as they come, commits come out in batches, effects reach whom they concern.

Several planes work on one database; they share nothing but it, and tell each other by hints that may be lost.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from stageline_engine.commands import (
    CancelRun,
    CreateRun,
    Effects,
    JobReportRecorded,
    LeasedJobs,
    LeaseJobs,
    LeaseReference,
    ProgressRecorded,
    PromoteJobs,
    ReportJob,
    ReportProgress,
    RunCancellation,
    RunCreation,
)
from stageline_engine.errors import EngineError, StorageUnavailableError
from stageline_engine.kernel import Kernel
from stageline_engine.ports import Hint
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.announcer import Announcer
from stageline_server.dispatch.background import Background
from stageline_server.dispatch.batcher import Batcher, Done
from stageline_server.dispatch.housekeeping import Housekeeping
from stageline_server.dispatch.hub import WatchHub
from stageline_server.dispatch.leaser import Leaser
from stageline_server.dispatch.log_writer import LogWriter
from stageline_server.dispatch.ports import Ports
from stageline_server.dispatch.sessions import Reservation, SessionTable
from stageline_server.dispatch.settings import PlaneSettings
from stageline_server.dispatch.timers import Alarm

_log = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS_MAX = 2.0
"""The longest wait before reports that could not be committed are tried again."""

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
        self.server_id = server_id
        self.settings = settings or PlaneSettings()
        self.kernel = Kernel(ports.persistence, ports.registry, ports.clock, ports.ids)
        self.hub = WatchHub()
        self.sessions = SessionTable()
        self.logs = LogWriter(ports.logs)
        self.draining = False
        self.leaser = Leaser(self.sessions, self._lease, batch_max=self.settings.batch_max)
        self._announcer = Announcer(ports.transport)
        self._promoter = Alarm(self._promote, ports.clock, name="promote")
        self._housekeeping = Housekeeping(self)
        self._listener: asyncio.Task[None] | None = None
        self._creates = self._batcher("create", self._commit_creates)
        self._cancels = self._batcher("cancel", self._commit_cancels)
        self._progress = self._batcher("progress", self._commit_progress)
        self._reports = [
            self._batcher(f"report-{number}", self._commit_reports)
            for number in range(self.settings.committers)
        ]

    def _batcher(
        self, name: str, commit: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
    ) -> Batcher[Any, Any]:
        return Batcher(commit, batch_max=self.settings.batch_max, name=name)

    @property
    def _parts(self) -> list[Background]:
        """Everything that works by itself, in the order in which it starts and stops."""
        slow = [*self._housekeeping.loops, self._promoter, self.leaser]
        return [*slow, *self._batchers, self._announcer, self.logs]

    @property
    def _batchers(self) -> list[Batcher[Any, Any]]:
        return [self._creates, self._cancels, self._progress, *self._reports]

    async def start(self) -> None:
        """Begins to work."""
        self._listener = asyncio.create_task(self._listen(), name="hints")
        for part in self._parts:
            part.start()

    async def drain(self) -> None:
        """Leases nothing more, asks every worker to connect elsewhere, and commits what has been reported."""
        self.draining = True
        await self.leaser.stop()
        for session in self.sessions.all():
            session.draining = True
            session.outlet.send_drain()
        await self.flushed()

    async def flushed(self) -> None:
        """Waits until every command that has been taken is answered."""
        await asyncio.gather(*(batcher.flushed() for batcher in self._batchers))

    async def stop(self) -> None:
        """Ends all work at once. Leases and runs live on in the database."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        for part in self._parts:
            await part.stop()

    async def create_run(self, command: CreateRun) -> RunCreation | Rejection:
        """Creates a run with the next batch.

        Raises:
            StorageUnavailableError: The database is away; the call may be repeated with its key.
        """
        result: RunCreation | Rejection = await self._creates.call(command)
        return result

    async def cancel_run(self, command: CancelRun) -> RunCancellation | Rejection:
        """Cancels a run with the next batch; workers are told at once.

        Raises:
            StorageUnavailableError: The database is away; the call may be repeated.
        """
        result: RunCancellation | Rejection = await self._cancels.call(command)
        return result

    def report(self, command: ReportJob, done: Done[JobReportRecorded]) -> None:
        """Records a report with the next batch of its run's committer; ``done`` is called after the commit."""
        self._reports[command.run_id.int % len(self._reports)].submit(command, done)

    def progress(self, command: ReportProgress, done: Done[ProgressRecorded]) -> None:
        """Records progress with the next batch."""
        self._progress.submit(command, done)

    async def _commit_creates(self, batch: Sequence[CreateRun]) -> Sequence[RunCreation | Rejection]:
        reservation = self._reserve_for(len(batch))
        try:
            dispatched = await self.kernel.dispatch_many(batch, reservation.demands)
            self._carry_out(dispatched.effects)
        except StorageUnavailableError:
            self._housekeeping.suspect_lost_offers()
            raise
        finally:
            reservation.release()
        return dispatched.results

    async def _commit_cancels(self, batch: Sequence[CancelRun]) -> Sequence[RunCancellation | Rejection]:
        dispatched = await self.kernel.dispatch_many(batch)
        self._carry_out(dispatched.effects)
        return dispatched.results

    async def _commit_progress(
        self, batch: Sequence[ReportProgress]
    ) -> Sequence[ProgressRecorded | Rejection]:
        dispatched = await self.kernel.dispatch_many(batch)
        self._carry_out(dispatched.effects)
        return dispatched.results

    async def _commit_reports(self, batch: Sequence[ReportJob]) -> Sequence[JobReportRecorded | Rejection]:
        """Commits reports, however long the database is away: their workers wait for the acknowledgement.

        A commit whose fate is unknown is repeated: reports are idempotent by token.
        """
        pause = 0.05
        while True:
            reservation = self._reserve_for(len(batch))
            try:
                dispatched = await self.kernel.dispatch_many(batch, reservation.demands)
                self._carry_out(dispatched.effects)
                return dispatched.results
            except StorageUnavailableError:
                self._housekeeping.suspect_lost_offers()
                _log.warning("%d reports could not be committed; trying again", len(batch), exc_info=True)
            finally:
                reservation.release()
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_PAUSE_SECONDS_MAX)

    def _reserve_for(self, commands: int) -> Reservation:
        """Slots for jobs that a batch may make ready: one for each command. Wider groups are left to the leaser."""
        return Reservation() if self.draining else self.sessions.reserve(commands)

    async def _lease(self, command: LeaseJobs) -> LeasedJobs:
        try:
            dispatched = await self.kernel.dispatch_many([command])
        except StorageUnavailableError:
            self._housekeeping.suspect_lost_offers()
            raise
        self._carry_out(dispatched.effects)
        result = dispatched.results[0]
        assert not isinstance(result, Rejection)
        return result

    async def _promote(self) -> datetime | None:
        dispatched = await self.kernel.dispatch_many([PromoteJobs(self.settings.batch_max)])
        self._carry_out(dispatched.effects)
        result = dispatched.results[0]
        assert not isinstance(result, Rejection)
        return (
            self.ports.clock.now() if result.promoted == self.settings.batch_max else result.next_available_at
        )

    def _carry_out(self, effects: Effects) -> None:
        """Tells sessions, watchers, timers and other servers what a commit means for them."""
        for offer in effects.offers:
            if session := self.sessions.get(offer.lease.session_id):
                session.hold(offer)
                session.outlet.send_offer(offer)
        elsewhere = tuple(lease for lease in effects.stopped if not self._stop_here(lease))
        if effects.ready_routes:
            self.leaser.jobs_may_wait(effects.ready_routes)
        if effects.wake_at is not None:
            self._promoter.set_no_later_than(effects.wake_at)
        self.hub.ring(effects.touched_runs)
        self._announcer.announce(effects, elsewhere)

    def carry_out(self, effects: Effects) -> None:
        """As after a commit of its own; for commits that others of this server make."""
        self._carry_out(effects)

    def _stop_here(self, lease: LeaseReference) -> bool:
        """Tells the worker of a lease to stop, if its stream is here."""
        session = self.sessions.get(lease.session_id)
        if session is None:
            return False
        if session.drop(lease.lease_token):
            session.outlet.send_stop(lease)
        return True

    async def _listen(self) -> None:
        """Takes the hints of other servers. The transport reconnects by itself."""
        async for hint in self.ports.transport.listen():
            try:
                self._take(hint)
            except EngineError:
                _log.exception("a hint could not be taken")

    def _take(self, hint: Hint) -> None:
        for lease in hint.stopped:
            self._stop_here(lease)
        if hint.routes:
            self.leaser.jobs_may_wait(hint.routes)
        if hint.wake_at is not None:
            self._promoter.set_no_later_than(hint.wake_at)
        if hint.all_runs:
            self.hub.ring_all()
            self.recheck()
        else:
            self.hub.ring(hint.runs)

    def recheck(self) -> None:
        """Matches every session with the queue again, as if hints had been lost."""
        routes = {
            route_id
            for session in self.sessions.all()
            if session.free_slots
            for route_id in session.route_ids
        }
        if routes:
            self.leaser.jobs_may_wait(routes)
        self._promoter.set_no_later_than(self.ports.clock.now())

    def forget(self, session_id: UUID, lease_token: UUID) -> None:
        """Notes that a lease of a local session has ended."""
        if session := self.sessions.get(session_id):
            session.drop(lease_token)
