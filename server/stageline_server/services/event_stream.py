"""The log of all events of a namespace as a stream, from a cursor on."""

import base64
import struct
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta

from stageline.v1 import event_pb2
from stageline.v1 import event_service_pb2 as messages
from stageline_engine import limits
from stageline_engine.patterns import matches_any
from stageline_engine.ports import ENTRY_READ, LogCursor, LoggedEvent
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError
from stageline_server.mapping.fields import namespace_of, optional_name, out_of_range
from stageline_server.mapping.to_protos import event_message
from stageline_server.shutdown import Shutdown

EVENTS_PER_READ = 200
"""Events in memory at a time for one reader."""

MESSAGE_BYTES_MAX = 1024 * 1024
"""Payloads in one message of the stream, beside the last: gRPC clients take 4 MiB unless told else."""

RECHECK_INTERVAL = timedelta(seconds=30)
"""The net under lost hints; as often an idle stream tells its cursor."""

_CURSOR = struct.Struct(">Bqq")
_VERSION = 1


class EventStream:
    """Answers StreamEvents."""

    def __init__(self, plane: ControlPlane, shutdown: Shutdown) -> None:
        """Takes the plane whose log is read, and what says that the server drains."""
        self._plane = plane
        self._queries = plane.ports.queries
        self._shutdown = shutdown

    async def follow(
        self, request: messages.StreamEventsRequest
    ) -> AsyncGenerator[messages.StreamEventsResponse, None]:
        """Yields what was committed after the cursor, then what comes, for ever.

        Raises:
            RefusedError: A field breaks its rule, the cursor cannot be resumed from, or the server drains.
        """
        namespace, wanted = namespace_of(request.namespace), Wanted(request)
        with self._plane.events.watch() as watch:
            await self._plane.events.catch_up()
            cursor = await self._first_cursor(request)
            yield messages.StreamEventsResponse(cursor=encode_cursor(cursor))
            while True:
                page = await self._queries.read_log(namespace, cursor, EVENTS_PER_READ)
                shown = [logged for logged in page.events if wanted.includes(logged)]
                for part in _parts(shown):
                    is_last = part[-1] is shown[-1]
                    after = page.cursor if is_last else LogCursor(part[-1].position, part[-1].event.sequence)
                    told = [_message(each) for each in part]
                    yield messages.StreamEventsResponse(events=told, cursor=encode_cursor(after))
                if not shown and page.cursor != cursor:
                    yield messages.StreamEventsResponse(cursor=encode_cursor(page.cursor))
                cursor = page.cursor
                if not page.more:
                    self._shutdown.check()
                    await self._shutdown.first(watch.changed(), RECHECK_INTERVAL)
                    await self._plane.events.catch_up()

    async def _first_cursor(self, request: messages.StreamEventsRequest) -> LogCursor:
        oldest, newest = await self._queries.log_bounds()
        if request.from_now:
            return LogCursor(newest, ENTRY_READ)
        if not request.cursor:
            return LogCursor(max(oldest - 1, 0), ENTRY_READ)
        cursor = decode_cursor(request.cursor)
        if cursor is None or cursor.position > newest:
            raise RefusedError(Refusal("CURSOR_INVALID", "The cursor was not made by this method."))
        if cursor.position + 1 < oldest:
            first = encode_cursor(LogCursor(oldest - 1, ENTRY_READ))
            facts = {"oldest_cursor": base64.b64encode(first).decode()}
            message = "Events after the cursor are not kept any more. Resume from the oldest."
            raise RefusedError(Refusal("CURSOR_INVALID", message, facts))
        return cursor


class Wanted:
    """Which events a reader asks for."""

    def __init__(self, request: messages.StreamEventsRequest) -> None:
        """Takes the filters of a request.

        Raises:
            RefusedError: There are too many. INVALID_FIELD.
        """
        if len(request.types) > limits.EVENT_PATTERNS_MAX:
            raise out_of_range("types", f"at most {limits.EVENT_PATTERNS_MAX}", len(request.types))
        self._patterns = tuple(request.types)
        self._workflow_name = optional_name(request.workflow_name, "workflow_name")

    def includes(self, logged: LoggedEvent) -> bool:
        """Whether an event passes every filter."""
        if self._workflow_name not in ("", logged.source.workflow_name):
            return False
        return not self._patterns or matches_any(self._patterns, logged.event.type)


def _parts(events: Sequence[LoggedEvent]) -> list[list[LoggedEvent]]:
    """Events in messages that are not too large."""
    parts: list[list[LoggedEvent]] = []
    size_bytes = 0
    for logged in events:
        size_bytes += len(logged.event.payload)
        if not parts or size_bytes > MESSAGE_BYTES_MAX:
            parts.append([])
            size_bytes = len(logged.event.payload)
        parts[-1].append(logged)
    return parts


def _message(logged: LoggedEvent) -> event_pb2.Event:
    return event_message(logged.event, logged.source.namespace, logged.source.workflow_name)


def encode_cursor(cursor: LogCursor) -> bytes:
    """Returns a cursor as readers keep it."""
    return _CURSOR.pack(_VERSION, *cursor)


def decode_cursor(data: bytes) -> LogCursor | None:
    """Returns a reader's cursor; None where it is none."""
    if len(data) != _CURSOR.size or data[0] != _VERSION:
        return None
    _, position, sequence = _CURSOR.unpack(data)
    return LogCursor(position, sequence) if position >= 0 and sequence >= 0 else None
