"""EventService: what could not be delivered, and its replay."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import grpc

from stageline.v1 import event_service_pb2 as messages
from stageline.v1 import event_service_pb2_grpc
from stageline_engine import limits
from stageline_engine.commands import ReplayDeadLetters
from stageline_engine.ports import DeadLetter
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError, accepted, answering, invalid_field
from stageline_server.mapping.fields import namespace_of, optional_name, out_of_range, page_size_of
from stageline_server.mapping.page_tokens import page_token, position_of
from stageline_server.mapping.to_protos import event_message

Context = grpc.aio.ServicerContext[Any, Any]

SINK = "sink"
"""The name of the one sink that a server has, where the protocol speaks of plugins."""

_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9][0-9]{0,18})")


class EventService(event_service_pb2_grpc.EventServiceServicer):
    """Tells of deliveries that were given up, and takes them up again."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane to work with."""
        self._plane = plane
        self._queries = plane.ports.queries

    @answering
    async def ListDeadLetters(
        self, request: messages.ListDeadLettersRequest, context: Context
    ) -> messages.ListDeadLettersResponse:
        """Lists deliveries that failed for good, one for each run whose stream stands."""
        namespace, size = namespace_of(request.namespace), page_size_of(request.page_size)
        plugin = optional_name(request.plugin, "plugin")
        binding = ("ListDeadLetters", namespace, plugin)
        after = position_of(request.page_token, binding, UUID)
        if plugin not in ("", SINK):
            return messages.ListDeadLettersResponse()
        found = await self._queries.list_dead_letters(namespace, after=after, limit=size)
        return messages.ListDeadLettersResponse(
            dead_letters=await asyncio.gather(*(self._message(namespace, letter) for letter in found)),
            next_page_token=page_token(binding, found[-1].event.run_id) if len(found) == size else "",
        )

    @answering
    async def ReplayDeadLetters(
        self, request: messages.ReplayDeadLettersRequest, context: Context
    ) -> messages.ReplayDeadLettersResponse:
        """Makes deliveries due again."""
        namespace = namespace_of(request.namespace)
        plugin, ids = optional_name(request.plugin, "plugin"), request.dead_letter_ids
        if len(request.request_id) > limits.REQUEST_ID_LENGTH_MAX:
            allowed = f"at most {limits.REQUEST_ID_LENGTH_MAX} characters"
            raise out_of_range("request_id", allowed, len(request.request_id))
        if bool(ids) == bool(plugin):
            raise invalid_field("dead_letter_ids", "or plugin must be given, and not both")
        if len(ids) > limits.PAGE_SIZE_MAX:
            raise out_of_range("dead_letter_ids", f"at most {limits.PAGE_SIZE_MAX}", len(ids))
        more = False
        if ids:
            runs = await self._known(namespace, ids)
        else:
            runs = await self._runs_of(namespace, plugin)
            more = len(runs) > limits.PAGE_SIZE_MAX
            runs = runs[: limits.PAGE_SIZE_MAX]
        replayed = await self._replay(runs)
        return messages.ReplayDeadLettersResponse(replayed_count=replayed, more=more)

    async def _runs_of(self, namespace: str, plugin: str) -> Sequence[UUID]:
        if plugin != SINK:
            return ()
        found = await self._queries.list_dead_letters(namespace, limit=limits.PAGE_SIZE_MAX + 1)
        return [letter.event.run_id for letter in found]

    async def _known(self, namespace: str, ids: Iterable[str]) -> Sequence[UUID]:
        """The runs of dead letters that are all known.

        Raises:
            RefusedError: One is not. DEAD_LETTER_NOT_FOUND.
        """
        wanted = list(dict.fromkeys(ids))
        found = await asyncio.gather(*(self._find(namespace, letter_id) for letter_id in wanted))
        for letter_id, letter in zip(wanted, found, strict=True):
            if letter is None:
                told = letter_id[: limits.NAME_LENGTH_MAX]
                message = f"There is no dead letter {told!r} any more, or in this namespace. List them anew."
                raise RefusedError(Refusal("DEAD_LETTER_NOT_FOUND", message, {"dead_letter_id": told}))
        return [letter.event.run_id for letter in found if letter is not None]

    async def _find(self, namespace: str, letter_id: str) -> DeadLetter | None:
        match = _ID.fullmatch(letter_id)
        run_id = UUID(match[1]) if match else None
        if run_id is None or run_id.int == 0:
            return None
        before = UUID(int=run_id.int - 1)
        found = await self._queries.list_dead_letters(namespace, after=before, limit=1)
        return next((letter for letter in found if letter_id_of(letter) == letter_id), None)

    async def _replay(self, runs: Sequence[UUID]) -> int:
        if not runs:  # to the engine none means all
            return 0
        dispatched = await self._plane.kernel.dispatch_many([ReplayDeadLetters(tuple(runs), limit=len(runs))])
        self._plane.carry_out(dispatched.effects)
        return len(accepted(dispatched.results[0]).run_ids)

    async def _message(self, namespace: str, letter: DeadLetter) -> messages.DeadLetter:
        details = await self._queries.get_run(namespace, letter.event.run_id, with_outputs=False)
        workflow_name = details.run.workflow_name if details else ""
        return messages.DeadLetter(
            dead_letter_id=letter_id_of(letter),
            event=event_message(letter.event, namespace, workflow_name),
            plugin=SINK,
            attempts=letter.tries,
            last_error=letter.last_error,
        )


def letter_id_of(letter: DeadLetter) -> str:
    """Names a dead letter: its event's run and sequence."""
    return f"{letter.event.run_id}.{letter.event.sequence}"
