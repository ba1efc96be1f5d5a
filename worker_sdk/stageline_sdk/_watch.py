"""Following a run's events over a stream that may break."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import grpc

from stageline.v1 import run_service_pb2, run_service_pb2_grpc
from stageline_sdk._backoff import Backoff
from stageline_sdk._connection import Connection
from stageline_sdk._decode import decode_event
from stageline_sdk._rpc_errors import api_error
from stageline_sdk.errors import AbortedError, ApiError, DeadlineExceededError, UnavailableError
from stageline_sdk.runs import Event

FIRST_WAIT = timedelta(milliseconds=100)
LONGEST_WAIT = timedelta(seconds=5)


class RunWatch:
    """Follows a run: every event once, in order, whatever becomes of the connection in between."""

    def __init__(
        self,
        stub: "run_service_pb2_grpc.RunServiceAsyncStub",
        connection: Connection,
        *,
        namespace: str,
        outage_max: timedelta,
    ) -> None:
        """Make a watch.

        Args:
            stub: The service.
            connection: Gives the metadata, and the address for messages.
            namespace: The run's namespace.
            outage_max: How long the server may be unreachable before the watch gives up.
        """
        self._stub = stub
        self._connection = connection
        self._namespace = namespace
        self._outage_max_seconds = outage_max.total_seconds()

    async def events(self, run_id: str, after_sequence: int) -> AsyncGenerator[Event]:
        """Yield the events after a sequence until the run has ended.

        Raises:
            ApiError: The server refused, or could not be reached for as long as `outage_max`.
        """
        loop = asyncio.get_running_loop()
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        good_at = loop.time()
        while True:
            request = run_service_pb2.WatchRunRequest(
                namespace=self._namespace, run_id=run_id, after_sequence=after_sequence
            )
            call = self._stub.WatchRun(request, metadata=self._connection.metadata)
            try:
                async for response in call:
                    good_at = loop.time()
                    backoff.reset()
                    if response.event.sequence <= after_sequence:
                        continue  # A server that repeats itself after a resumption.
                    after_sequence = response.event.sequence
                    yield decode_event(response.event)
                return
            except grpc.aio.AioRpcError as failure:
                error = api_error(failure, self._connection.target)
                wait_seconds = backoff.next_seconds()
                if not is_outage(error) or loop.time() + wait_seconds > good_at + self._outage_max_seconds:
                    raise error from None
            finally:
                call.cancel()
            await asyncio.sleep(wait_seconds)


def is_outage(error: ApiError) -> bool:
    """Whether the stream broke for a reason that passes. A slow reader is told LIMIT_EXCEEDED, and goes on likewise."""
    return (
        isinstance(error, UnavailableError | AbortedError | DeadlineExceededError)
        or error.retryable
        or error.reason in ("LIMIT_EXCEEDED", "INTERNAL")
        or (not error.reason and "Stream removed" in error.message)
    )
