"""LeaseJobs: leases for workers without a stream, functions and cron jobs, which live for one call.

A session without a stream owns the leases of a call. It ends when its last job is reported, or when nobody extends it.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from stageline.v1 import error_pb2, job_pb2, worker_service_pb2
from stageline_engine import limits
from stageline_engine.commands import (
    ExtendLeases,
    JobOffer,
    LeaseDemand,
    LeasedOnce,
    LeaseName,
    LeaseOnce,
    ReportJob,
    Returned,
)
from stageline_engine.model.session import NO_SERVER
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError, accepted, invalid_field
from stageline_server.mapping.failures import timedelta_of
from stageline_server.mapping.fields import optional_name, out_of_range, run_id_of
from stageline_server.streams.endings import DRAIN_MESSAGE
from stageline_server.streams.hello import HelloRefusedError, Opened, open_session_once
from stageline_server.streams.items import duration, offer_item
from stageline_server.streams.session import welcome

CONTENTION_PAUSE_SECONDS = 0.01
"""Wait before asking again when ready jobs were locked: about as long as the transaction that holds them."""


class OneShotLeases:
    """Gives jobs to callers."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane to work with."""
        self._plane = plane

    async def lease(
        self, request: worker_service_pb2.LeaseJobsRequest
    ) -> worker_service_pb2.LeaseJobsResponse:
        """Opens a session and leases jobs to it; waits for the first one as long as the request says.

        Raises:
            RefusedError: The request breaks a rule of its comments, or the server drains.
        """
        wait = _wait_of(request)
        run_id, stage_id = _target_of(request)
        check_request_id(request.request_id)
        if self._plane.draining:
            raise RefusedError(Refusal("SHUTTING_DOWN", DRAIN_MESSAGE))
        opened = await self._open(request, wait)
        command = LeaseOnce(
            opened.namespace,
            LeaseDemand(opened.session_id, opened.route_ids, request.hello.slots),
            run_id,
            stage_id,
            request.request_id,
        )
        leased: LeasedOnce | None = None
        offers: Sequence[JobOffer] = ()
        try:
            leased, offers = await self._lease_within(command, wait)
        finally:
            if leased is None or not offers or leased.session_id != opened.session_id:
                await self.end_idle([opened.session_id])
        if wait and offers and not leased.replayed:
            await self._last_from_now(opened.namespace, offers)
        return self._response(opened, leased.session_id, offers)

    async def _open(self, request: worker_service_pb2.LeaseJobsRequest, wait: timedelta) -> Opened:
        try:
            return await open_session_once(
                self._plane, request.hello, wait + self._plane.settings.lease_duration
            )
        except HelloRefusedError as refused:
            detail = refused.detail
            reason = error_pb2.ErrorReason.Name(detail.reason).removeprefix("ERROR_REASON_")
            raise RefusedError(Refusal(reason, detail.message, dict(detail.metadata))) from None

    async def _lease_within(
        self, command: LeaseOnce, wait: timedelta
    ) -> tuple[LeasedOnce, Sequence[JobOffer]]:
        """Asks at once, and again whenever a job may have become ready, until there is one or the time is over."""
        loop = asyncio.get_running_loop()
        over_at = loop.time() + wait.total_seconds()
        with self._plane.queues.watch(*command.demand.route_ids) as queue:
            while True:
                leased, offers = await self._lease_now(command)
                left_seconds = over_at - loop.time()
                if offers or leased.replayed or (left_seconds <= 0 and not leased.contended):
                    return leased, offers
                with contextlib.suppress(TimeoutError):
                    limit = CONTENTION_PAUSE_SECONDS if leased.contended else left_seconds
                    await asyncio.wait_for(queue.changed(), limit)
                if self._plane.draining:
                    return leased, offers

    async def _lease_now(self, command: LeaseOnce) -> tuple[LeasedOnce, Sequence[JobOffer]]:
        dispatched = await self._plane.kernel.dispatch_many([command])
        self._plane.carry_out(dispatched.effects)
        return accepted(dispatched.results[0]), dispatched.effects.offers

    async def _last_from_now(self, namespace: str, offers: Sequence[JobOffer]) -> None:
        """A session that waited was opened for longer than its leases are to last."""
        leases = tuple(
            LeaseName(offer.lease.run_id, offer.lease.stage_number, offer.lease.lease_token)
            for offer in offers
        )
        await self._plane.kernel.dispatch(
            ExtendLeases(namespace, leases, self._plane.settings.lease_duration)
        )

    def _response(
        self, opened: Opened, session_id: UUID, offers: Sequence[JobOffer]
    ) -> worker_service_pb2.LeaseJobsResponse:
        """Answers with as many offers as fit into a frame; the others are handed on."""
        response = worker_service_pb2.LeaseJobsResponse(
            welcome=welcome(self._plane, opened),
            lease_duration=duration(self._plane.settings.lease_duration),
            errors=opened.errors,
        )
        response.welcome.session_id = str(session_id)
        room = limits.FRAME_BYTES_MAX
        for offer in offers:
            message: job_pb2.JobOffer = offer_item(offer).offer
            room -= message.ByteSize()
            if room >= 0 or not response.offers:
                response.offers.append(message)
            else:
                self._take_back(offer)
        return response

    def _take_back(self, offer: JobOffer) -> None:
        lease = offer.lease
        outcome = Returned(started=False)
        command = ReportJob(offer.namespace, lease.run_id, lease.stage_number, lease.lease_token, outcome)
        self._plane.report(command, lambda _: None)

    async def end_idle(self, session_ids: Sequence[UUID]) -> None:
        """Ends sessions without a stream that hold nothing any more. Others are left alone."""
        now = self._plane.ports.clock.now()
        for session_id in dict.fromkeys(session_ids):
            await self._plane.ports.sessions.end(session_id, NO_SERVER, now, "DRAINED")


def check_request_id(request_id: str) -> None:
    """Checks an id that names a call.

    Raises:
        RefusedError: It is too long. INVALID_FIELD.
    """
    if len(request_id) > limits.REQUEST_ID_LENGTH_MAX:
        allowed = f"at most {limits.REQUEST_ID_LENGTH_MAX} characters"
        raise out_of_range("request_id", allowed, len(request_id))


def _wait_of(request: worker_service_pb2.LeaseJobsRequest) -> timedelta:
    wait = timedelta_of(request.wait, limits.WAIT_MAX)
    if wait > limits.LEASE_WAIT_MAX:
        allowed, actual = limits.LEASE_WAIT_MAX.total_seconds(), wait.total_seconds()
        facts = {"limit_name": "lease_wait_max", "limit": f"{allowed:g}", "actual": f"{actual:g}"}
        raise RefusedError(Refusal("LIMIT_EXCEEDED", f"wait is {actual:g} s, limit {allowed:g} s.", facts))
    return max(wait, timedelta())


def _target_of(request: worker_service_pb2.LeaseJobsRequest) -> tuple[UUID | None, str]:
    """The run, and the stage, that jobs are wanted of."""
    stage_id = optional_name(request.stage_id, "stage_id")
    if stage_id and not request.run_id:
        raise invalid_field("stage_id", "needs run_id: a stage is one of a run")
    return (run_id_of(request.run_id) if request.run_id else None), stage_id
