"""What a client may ask of the server itself: who is connected, what could not be delivered."""

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from stageline.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
)
from stageline_sdk._client_base import ClientBase
from stageline_sdk._decode_upkeep import decode_dead_letter, decode_stats, decode_tick, decode_worker
from stageline_sdk._event_stream import EventStream
from stageline_sdk.upkeep import DeadLetter, EventBatch, MaintenanceTick, Stats, WorkerSession


class Upkeep(ClientBase):
    """The calls of `Client` that look after a server."""

    @property
    def _admin(self) -> "admin_service_pb2_grpc.AdminServiceAsyncStub":
        return admin_service_pb2_grpc.AdminServiceStub(self._open())

    @property
    def _events(self) -> "event_service_pb2_grpc.EventServiceAsyncStub":
        return event_service_pb2_grpc.EventServiceStub(self._open())

    async def list_workers(self, *, include_ended: bool = False) -> AsyncGenerator[WorkerSession]:
        """Yield the workers that are connected, by name.

        Args:
            include_ended: Those, too, whose sessions have ended in the last seven days. Default: living ones only.

        Raises:
            UnavailableError: The server could not be reached.
        """
        request = admin_service_pb2.ListWorkersRequest(namespace=self._namespace, include_ended=include_ended)
        while True:
            response = await self._call(self._admin.ListWorkers, request)
            for message in response.workers:
                yield decode_worker(message)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    async def stats(self) -> Stats:
        """Count what the namespace holds: runs by state, jobs, workers, events that wait.

        Raises:
            UnavailableError: The server could not be reached.
        """
        request = admin_service_pb2.GetStatsRequest(namespace=self._namespace)
        return decode_stats(await self._call(self._admin.GetStats, request))

    async def list_dead_letters(self, *, plugin: str = "") -> AsyncGenerator[DeadLetter]:
        """Yield events that could not be delivered, one for each run whose stream they hold up.

        Args:
            plugin: Only of this plugin. Default: of any.

        Raises:
            UnavailableError: The server could not be reached.
        """
        request = event_service_pb2.ListDeadLettersRequest(namespace=self._namespace, plugin=plugin)
        while True:
            response = await self._call(self._events.ListDeadLetters, request)
            for message in response.dead_letters:
                yield decode_dead_letter(message)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    async def replay_dead_letters(
        self,
        dead_letter_ids: Sequence[str] = (),
        *,
        plugin: str = "",
        skip: bool = False,
        request_id: str | None = None,
    ) -> int:
        """Have events delivered again, or passed over, and return how many. Give ids, or a plugin for all of its.

        Args:
            dead_letter_ids: At most 1,000.
            plugin: All of this plugin.
            skip: Pass over them for good, instead of trying them again: the later events of their runs go on.
            request_id: For your records and the server's. Default: a new one.

        Raises:
            NotFoundError: One of the ids is unknown. Nothing was replayed.
            InvalidArgumentError: Neither ids nor a plugin are given, or both.
            UnavailableError: The server could not be reached.
        """
        request = event_service_pb2.ReplayDeadLettersRequest(
            namespace=self._namespace,
            request_id=request_id or str(uuid.uuid4()),
            dead_letter_ids=dead_letter_ids,
            plugin=plugin,
            skip=skip,
        )
        count = 0
        while True:
            response = await self._call(self._events.ReplayDeadLetters, request)
            count += response.replayed_count
            if not response.more:
                return count
            request.request_id = str(uuid.uuid4())

    async def stream_events(
        self,
        *,
        cursor: bytes = b"",
        from_now: bool = False,
        types: Sequence[str] = (),
        workflow_name: str = "",
    ) -> AsyncGenerator[EventBatch]:
        """Yield the events of all runs of the namespace, those that are kept first and then new ones live, for ever.

        When the connection breaks, it goes on where it was. Keep the cursor of the last batch that you have dealt with, and
        pass it to go on after a restart: nothing is missed. Events of one run come in their order.

        Args:
            cursor: Of the last batch that was dealt with. Default: from the oldest that is kept.
            from_now: Only what is committed after the call; `cursor` is passed over.
            types: Only these, each whole or with `*` at its end: `stage:*`. At most 50. Default: all.
            workflow_name: Only of this workflow.

        Raises:
            InvalidArgumentError: The cursor is none, or events after it are not kept any more; then `metadata` of the error
                has the `oldest_cursor`, in base64.
            UnavailableError: The server could not be reached for as long as `outage_max`.
        """
        request = event_service_pb2.StreamEventsRequest(
            namespace=self._namespace,
            cursor=cursor,
            from_now=from_now,
            types=types,
            workflow_name=workflow_name,
        )
        stream = EventStream(self._events, self._connection, self._outage_max)
        async with aclosing(stream.batches(request)) as batches:
            async for batch in batches:
                yield batch

    async def maintenance_tick(self) -> MaintenanceTick:
        """Do now, once, what the server does by its timers, and return what was done.

        Safe at any time and from several places at once. While `more` is true there is more to do at once.

        Raises:
            UnavailableError: The server could not be reached.
        """
        request = admin_service_pb2.MaintenanceTickRequest(request_id=str(uuid.uuid4()))
        return decode_tick(await self._call(self._admin.MaintenanceTick, request))
