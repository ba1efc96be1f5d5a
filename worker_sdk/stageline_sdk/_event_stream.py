"""Following the events of all runs over a stream that may break."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import grpc

from stageline.v1 import event_service_pb2, event_service_pb2_grpc
from stageline_sdk._backoff import Backoff
from stageline_sdk._connection import Connection
from stageline_sdk._decode import decode_event
from stageline_sdk._rpc_errors import api_error
from stageline_sdk._watch import FIRST_WAIT, LONGEST_WAIT, is_outage
from stageline_sdk.upkeep import EventBatch


class EventStream:
    """Follows all events: each at least once, in order per run, whatever becomes of the connection in between."""

    def __init__(
        self,
        stub: "event_service_pb2_grpc.EventServiceAsyncStub",
        connection: Connection,
        outage_max: timedelta,
    ) -> None:
        """Take the service, what gives the metadata, and how long the server may be unreachable."""
        self._stub = stub
        self._connection = connection
        self._outage_max_seconds = outage_max.total_seconds()

    async def batches(self, request: event_service_pb2.StreamEventsRequest) -> AsyncGenerator[EventBatch]:
        """Yield what the server sends, for ever; the cursor of the request is moved on.

        Raises:
            ApiError: The server refused, or could not be reached for as long as `outage_max`.
        """
        loop = asyncio.get_running_loop()
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        good_at = loop.time()
        while True:
            call = self._stub.StreamEvents(request, metadata=self._connection.metadata)
            wait_seconds = 0.0
            try:
                async for response in call:
                    good_at = loop.time()
                    backoff.reset()
                    request.cursor, request.from_now = response.cursor, False
                    yield EventBatch(events=tuple(map(decode_event, response.events)), cursor=response.cursor)
            except grpc.aio.AioRpcError as failure:
                error = api_error(failure, self._connection.target)
                wait_seconds = backoff.next_seconds()
                if not is_outage(error) or loop.time() + wait_seconds > good_at + self._outage_max_seconds:
                    raise error from None
            finally:
                call.cancel()
            await asyncio.sleep(wait_seconds)
