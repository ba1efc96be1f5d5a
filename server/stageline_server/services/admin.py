"""AdminService: what the server is and allows, who is connected, and maintenance by hand."""

import importlib.metadata
from datetime import timedelta
from typing import Any

import grpc

from stageline.v1 import admin_service_pb2 as messages
from stageline.v1 import admin_service_pb2_grpc
from stageline_engine import limits
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import answering, invalid_field
from stageline_server.mapping.definitions import duration_of
from stageline_server.mapping.fields import namespace_of, out_of_range, timestamp_of
from stageline_server.mapping.to_protos import (
    CAPABILITIES,
    PROTOCOL_VERSION_MAX,
    PROTOCOL_VERSION_MIN,
    limits_message,
)
from stageline_server.services.workers import WorkerReader

Context = grpc.aio.ServicerContext[Any, Any]

KEEPALIVE_INTERVAL_MIN = timedelta(seconds=20)
"""Clients may ping this often, also without a call: often enough for any NAT, seldom enough for many clients."""


class AdminService(admin_service_pb2_grpc.AdminServiceServicer):
    """Tells about the server."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane to tell of."""
        self._plane = plane
        self._workers = WorkerReader(plane)

    @answering
    async def GetServerInfo(
        self, request: messages.GetServerInfoRequest, context: Context
    ) -> messages.GetServerInfoResponse:
        """Tells what the server is and allows."""
        return messages.GetServerInfoResponse(
            version=server_version(),
            server_id=self._plane.server_id,
            limits=limits_message(),
            protocol_version_min=PROTOCOL_VERSION_MIN,
            protocol_version_max=PROTOCOL_VERSION_MAX,
            keepalive_interval_min=duration_of(KEEPALIVE_INTERVAL_MIN),
            server_time=timestamp_of(self._plane.ports.clock.now()),
            capabilities=CAPABILITIES,
        )

    @answering
    async def ListWorkers(
        self, request: messages.ListWorkersRequest, context: Context
    ) -> messages.ListWorkersResponse:
        """Lists the live sessions of a namespace, by worker name."""
        return await self._workers.page(request)

    @answering
    async def GetStats(
        self, request: messages.GetStatsRequest, context: Context
    ) -> messages.GetStatsResponse:
        """Counts what a namespace holds."""
        now, queries = self._plane.ports.clock.now(), self._plane.ports.queries
        counted = await queries.statistics(namespace_of(request.namespace))
        oldest_at = counted.work.oldest_ready_at
        return messages.GetStatsResponse(
            runs_by_state={state.value: count for state, count in counted.runs.items()},
            ready_jobs=counted.work.ready,
            leased_jobs=counted.work.leased,
            delayed_jobs=counted.work.delayed,
            oldest_ready_age=duration_of(max(now - oldest_at, timedelta(0)) if oldest_at else timedelta(0)),
            sessions=counted.sessions,
            slots=counted.slots,
            undelivered_events=counted.undelivered,
            dead_letters=counted.work.dead_letters,
        )

    @answering
    async def MaintenanceTick(
        self, request: messages.MaintenanceTickRequest, context: Context
    ) -> messages.MaintenanceTickResponse:
        """Does now, once, what the server does by its timers."""
        if request.namespace:
            raise invalid_field("namespace", "must be empty: this server maintains all namespaces together")
        if len(request.request_id) > limits.REQUEST_ID_LENGTH_MAX:
            allowed = f"at most {limits.REQUEST_ID_LENGTH_MAX} characters"
            raise out_of_range("request_id", allowed, len(request.request_id))
        done = await self._plane.maintenance.tick()
        purged = done.purged
        return messages.MaintenanceTickResponse(
            reaped_lease_count=done.reaped_leases,
            reaped_run_count=done.settled_runs,
            expired_stage_count=done.expired_stages,
            flushed_event_count=done.published,
            more=done.more,
            refused_event_count=done.refused,
            promoted_job_count=done.promoted_jobs,
            started_run_count=done.started_runs,
            purged_run_count=len(purged.run_ids),
            purged_record_count=purged.keys + purged.log + purged.sessions,
        )


def server_version() -> str:
    """The version of the installed distribution."""
    return importlib.metadata.version("stageline")
