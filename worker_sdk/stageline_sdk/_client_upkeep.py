"""What a client may ask of the server itself: who is connected, what could not be delivered."""

import uuid
from collections.abc import AsyncGenerator, Sequence

from stageline.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
)
from stageline_sdk._client_base import ClientBase
from stageline_sdk._decode_upkeep import decode_dead_letter, decode_worker
from stageline_sdk.runs import DeadLetter, WorkerSession


class Upkeep(ClientBase):
    """The calls of `Client` that look after a server."""

    @property
    def _admin(self) -> "admin_service_pb2_grpc.AdminServiceAsyncStub":
        return admin_service_pb2_grpc.AdminServiceStub(self._open())

    @property
    def _events(self) -> "event_service_pb2_grpc.EventServiceAsyncStub":
        return event_service_pb2_grpc.EventServiceStub(self._open())

    async def list_workers(self) -> AsyncGenerator[WorkerSession]:
        """Yield the workers that are connected, by name.

        Raises:
            UnavailableError: The server could not be reached.
        """
        request = admin_service_pb2.ListWorkersRequest(namespace=self._namespace)
        while True:
            response = await self._call(self._admin.ListWorkers, request)
            for message in response.workers:
                yield decode_worker(message)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

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
        self, dead_letter_ids: Sequence[str] = (), *, plugin: str = "", request_id: str | None = None
    ) -> int:
        """Have events delivered again, and return how many. Give ids, or a plugin for all of its.

        Args:
            dead_letter_ids: At most 1,000.
            plugin: All of this plugin.
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
        )
        count = 0
        while True:
            response = await self._call(self._events.ReplayDeadLetters, request)
            count += response.replayed_count
            if not response.more:
                return count
            request.request_id = str(uuid.uuid4())
