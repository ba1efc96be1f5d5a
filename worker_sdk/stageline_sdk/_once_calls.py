"""The calls of a worker without a stream."""

from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import grpc

from stageline.v1 import session_pb2, worker_pb2, worker_service_pb2
from stageline_sdk._calls import Caller
from stageline_sdk._connection import Connection
from stageline_sdk._session_rpc import FatalError, WorkerCalls
from stageline_sdk.built_workflow import BuiltWorkflow

_CALL_TIMEOUT = timedelta(seconds=90)
"""Longer than a lease may wait for a job."""

_LEASE_RETRY_FOR = timedelta(seconds=10)
_ITEMS_MAX = 1000
_CALL_BYTES_MAX = 4 * 1024 * 1024
"""What one call carries; the server takes twice as many bytes."""

_REPORT_RETRY_FOR = timedelta(seconds=60)
"""A report is worth more patience: what it tells of is done already."""


class OnceCalls(WorkerCalls):
    """Unary calls that lease, report and extend; each is safe to repeat."""

    def __init__(self, channel: grpc.aio.Channel, connection: Connection, namespace: str) -> None:
        super().__init__(channel, connection, namespace)
        self._leasing = Caller(connection, call_timeout=_CALL_TIMEOUT, retry_for=_LEASE_RETRY_FOR)
        self._reporting = Caller(connection, call_timeout=_CALL_TIMEOUT, retry_for=_REPORT_RETRY_FOR)

    async def register_or_refuse(self, workflow: BuiltWorkflow[Any, Any]) -> session_pb2.WorkerStages:
        """As `register`.

        Raises:
            ApiError: The server refused the definition, or cannot be reached.
        """
        try:
            return await self.register(workflow)
        except FatalError as fatal:
            raise fatal.error from fatal

    async def lease(
        self, request: worker_service_pb2.LeaseJobsRequest
    ) -> worker_service_pb2.LeaseJobsResponse:
        """Lease jobs.

        Raises:
            ApiError: The server refused, or could not be reached for ten seconds.
        """
        return await self._leasing(self._workers.LeaseJobs, request)

    async def report(
        self, items: Sequence[worker_pb2.WorkerItem], *, persistent: bool = True
    ) -> worker_service_pb2.ReportJobsResponse:
        """Send items of jobs.

        Args:
            items: At most 1,000.
            persistent: Whether to go on trying for a minute while the server is away.

        Raises:
            ApiError: The server refused, or could not be reached.
        """
        request = worker_service_pb2.ReportJobsRequest(namespace=self._namespace, items=items)
        caller = self._reporting if persistent else self._once
        return await caller(self._workers.ReportJobs, request)

    async def report_all(
        self, items: Sequence[worker_pb2.WorkerItem]
    ) -> worker_service_pb2.ReportJobsResponse:
        """Send any number of items, in calls of a size that the server takes; return the last answer.

        Raises:
            ApiError: The server refused, or could not be reached for a minute.
        """
        waiting = deque(items)
        while True:
            part = [waiting.popleft()]
            size_bytes = part[0].ByteSize()
            while waiting and len(part) < _ITEMS_MAX:
                size_bytes += waiting[0].ByteSize()
                if size_bytes > _CALL_BYTES_MAX:
                    break
                part.append(waiting.popleft())
            response = await self.report(part)
            if not waiting:
                return response

    async def extend(self, tokens: Sequence[bytes]) -> worker_service_pb2.ExtendLeasesResponse:
        """Extend leases.

        Raises:
            ApiError: The server refused, or cannot be reached now.
        """
        request = worker_service_pb2.ExtendLeasesRequest(
            namespace=self._namespace, lease_tokens=tokens[:1000]
        )
        return await self._once(self._workers.ExtendLeases, request)
