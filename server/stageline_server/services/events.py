"""EventService: reading the events of all runs, and those that could not be delivered."""

from collections.abc import AsyncGenerator
from typing import Any

import grpc

from stageline.v1 import event_service_pb2 as messages
from stageline.v1 import event_service_pb2_grpc
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import answering, streaming
from stageline_server.services.dead_letters import DeadLetters
from stageline_server.services.event_stream import EventStream
from stageline_server.shutdown import Shutdown

Context = grpc.aio.ServicerContext[Any, Any]


class EventService(event_service_pb2_grpc.EventServiceServicer):
    """Serves consumers of all events."""

    def __init__(self, plane: ControlPlane, shutdown: Shutdown) -> None:
        """Takes the plane to work with, and what says that the server drains."""
        self._dead_letters = DeadLetters(plane)
        self._stream = EventStream(plane, shutdown)

    @streaming
    async def StreamEvents(
        self, request: messages.StreamEventsRequest, context: Context
    ) -> AsyncGenerator[messages.StreamEventsResponse, None]:
        """Streams the events of a namespace."""
        async for response in self._stream.follow(request):
            yield response

    @answering
    async def ListDeadLetters(
        self, request: messages.ListDeadLettersRequest, context: Context
    ) -> messages.ListDeadLettersResponse:
        """Lists deliveries that failed for good."""
        return await self._dead_letters.page(request)

    @answering
    async def ReplayDeadLetters(
        self, request: messages.ReplayDeadLettersRequest, context: Context
    ) -> messages.ReplayDeadLettersResponse:
        """Makes deliveries due again, or passes over them."""
        return await self._dead_letters.replay(request)
