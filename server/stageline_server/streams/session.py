"""One worker's stream from its first frame to its last: a reader that deals with items in order, a writer that frames.

The reader never waits for the writer, and neither for a commit: what a commit brings about comes back by callback.
"""

import asyncio
import logging
import time
from typing import Any, Protocol

from stageline.v1 import error_pb2, limits_pb2, session_pb2, worker_pb2
from stageline_engine import limits
from stageline_engine.commands import JobOffer, LeaseReference
from stageline_server import __version__
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.sessions import LocalSession
from stageline_server.streams.frames import Outbox
from stageline_server.streams.hello import PROTOCOL_VERSION, HelloRefusedError, Opened, open_session
from stageline_server.streams.inbox import Inbox
from stageline_server.streams.items import Reason, duration, offer_item, stop_item

_log = logging.getLogger(__name__)

DRAIN_MESSAGE = "The server shuts down; connect again."


class Transport(Protocol):
    """The two directions of a stream."""

    async def read(self) -> worker_pb2.WorkerFrame | None:
        """Returns the next frame, or None when the worker has closed its side."""
        ...

    async def write(self, frame: worker_pb2.ServerFrame) -> None:
        """Sends a frame."""
        ...


class StreamEndedError(Exception):
    """The server ends the stream, for a reason of the closed list."""

    def __init__(
        self,
        reason: "session_pb2.DisconnectReason.ValueType",
        detail: error_pb2.ErrorDetail,
        *,
        reconnect: bool = True,
    ) -> None:
        """Takes what the worker is told in SessionEnd and in the stream's status."""
        super().__init__(detail.message)
        self.detail = detail
        self.item = session_pb2.SessionEnd(reason=reason, error=detail, reconnect=reconnect)


class WorkSession:
    """One stream of one worker. Also the ``Outlet`` by which the plane reaches the worker."""

    def __init__(self, plane: ControlPlane, transport: Transport) -> None:
        """Takes the plane to work with and the stream's two directions."""
        self._plane = plane
        self._transport = transport
        self._outbox = Outbox()
        self._local: LocalSession | None = None
        self._end: asyncio.Future[StreamEndedError] = asyncio.get_running_loop().create_future()

    async def run(self) -> StreamEndedError | None:
        """Serves the stream until one side ends it.

        Returns:
            Why the server ended it; None where the worker closed its side or the connection broke.
        """
        try:
            first = await self._first_frame()
            opened = await self._open(first)
        except StreamEndedError as ended:
            await self._say_goodbye(ended)
            return ended
        local = self._admit(first.items[0].hello, opened)
        reader = asyncio.create_task(self._read(local, opened, first), name="stream-reader")
        writer = asyncio.create_task(self._write(), name="stream-writer")
        parts: set[asyncio.Future[Any]] = {reader, writer, self._end}
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            end = self._end.result() if self._end.done() else _outcome(reader, writer)
        finally:
            self._plane.sessions.remove(local)
            closed = reader.done() and not reader.cancelled() and reader.exception() is None
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
        if end is not None:
            await self._say_goodbye(end)
        elif closed:
            await self._closed_by_worker(local)
        return end

    async def _first_frame(self) -> worker_pb2.WorkerFrame:
        timeout = self._plane.settings.session_timeout.total_seconds()
        try:
            frame = await asyncio.wait_for(self._transport.read(), timeout)
        except TimeoutError:
            raise _timed_out() from None
        if frame is None or not frame.items or frame.items[0].WhichOneof("item") != "hello":
            raise _invalid("The first frame must begin with Hello.", expected=1, actual=0)
        check_frame(frame, 1)
        return frame

    async def _open(self, first: worker_pb2.WorkerFrame) -> Opened:
        try:
            return await open_session(self._plane, first.items[0].hello)
        except HelloRefusedError as refused:
            raise StreamEndedError(refused.reason, refused.detail, reconnect=False) from None

    def _admit(self, hello: session_pb2.Hello, opened: Opened) -> LocalSession:
        """Makes the session known to the plane and answers Hello."""
        local = LocalSession(opened.session_id, opened.namespace, opened.route_ids, hello.slots, self)
        local.last_heard = time.monotonic()
        local.draining = self._plane.draining
        for lease in opened.kept:
            local.keep(lease)
        before = self._plane.sessions.add(local)
        if before is not None:
            before.outlet.close("SESSION_SUPERSEDED")
        self._local = local
        self._outbox.put(worker_pb2.ServerItem(welcome=self._welcome(opened)))
        for verdict in opened.verdicts:
            self._outbox.put(worker_pb2.ServerItem(held_lease_verdict=verdict))
        for error in opened.errors:
            self._outbox.put(worker_pb2.ServerItem(error=error))
        self._plane.leaser.jobs_may_wait(opened.route_ids)
        return local

    def _welcome(self, opened: Opened) -> session_pb2.Welcome:
        settings = self._plane.settings
        message = session_pb2.Welcome(
            session_id=str(opened.session_id),
            resumed=opened.resumed,
            server_id=self._plane.server_id,
            server_version=__version__,
            protocol_version=PROTOCOL_VERSION,
            heartbeat_interval=duration(settings.heartbeat_interval),
            session_timeout=duration(settings.session_timeout),
            progress_interval=duration(settings.progress_interval),
            limits=wire_limits(),
        )
        message.server_time.FromDatetime(self._plane.ports.clock.now())
        return message

    async def _read(self, local: LocalSession, opened: Opened, first: worker_pb2.WorkerFrame) -> None:
        """Deals with frames until the worker closes its side."""
        inbox = Inbox(self._plane, local, self._outbox)
        inbox.hand_on(opened.unlisted)
        inbox.take(first, skip_first=True)
        expected = 2
        timeout = self._plane.settings.session_timeout.total_seconds()
        while True:
            try:
                frame = await asyncio.wait_for(self._transport.read(), timeout)
            except TimeoutError:
                raise _timed_out() from None
            if frame is None:
                return
            local.last_heard = time.monotonic()
            check_frame(frame, expected)
            inbox.take(frame)
            expected += 1

    async def _write(self) -> None:
        interval = self._plane.settings.heartbeat_interval.total_seconds()
        while True:
            await self._transport.write(await self._outbox.next_frame(interval))

    async def _say_goodbye(self, end: StreamEndedError) -> None:
        """Sends what still waits, acknowledgements above all, and then why the stream ends."""
        self._outbox.put(worker_pb2.ServerItem(session_end=end.item))
        try:
            while not self._outbox.empty:
                await asyncio.wait_for(self._transport.write(await self._outbox.next_frame(0)), 2)
        except Exception:  # noqa: BLE001 - the connection may be gone; its status tells the worker as much
            _log.debug("a goodbye did not reach its worker", exc_info=True)

    async def _closed_by_worker(self, local: LocalSession) -> None:
        """The worker has closed its side in peace: what it still holds is handed on, and the session ends."""
        inbox = Inbox(self._plane, local, self._outbox)
        await asyncio.gather(*inbox.hand_on(tuple(local.held.values())), return_exceptions=True)
        now = self._plane.ports.clock.now()
        await self._plane.ports.sessions.end(local.id, self._plane.server_id, now, "DRAINED")

    def send_offer(self, offer: JobOffer) -> None:
        """Sends a leased job."""
        self._outbox.put(offer_item(offer), offered=offer.lease.lease_token)

    def send_stop(self, lease: LeaseReference) -> None:
        """Tells the worker to stop a job, before it is given anything else."""
        self._outbox.put_first(stop_item(lease, worker_pb2.STOP_REASON_RUN_ENDED))

    def send_drain(self) -> None:
        """Asks the worker to connect elsewhere."""
        self._outbox.put(worker_pb2.ServerItem(drain=session_pb2.Drain(reason=DRAIN_MESSAGE)))

    def close(self, reason: str) -> None:
        """Ends the stream for a reason of the closed list."""
        if not self._end.done():
            self._end.set_result(_ENDS[reason]())


def _outcome(reader: "asyncio.Task[None]", writer: "asyncio.Task[None]") -> StreamEndedError | None:
    """Why the reader or the writer stopped; a broken connection is no fault of the server's."""
    for task in (reader, writer):
        if task.done() and not task.cancelled():
            error = task.exception()
            if isinstance(error, StreamEndedError):
                return error
            if isinstance(error, Exception) and task is reader:
                _log.error("a stream failed", exc_info=error)
                detail = error_pb2.ErrorDetail(
                    reason=Reason.ERROR_REASON_INTERNAL, message="The server failed."
                )
                return StreamEndedError(session_pb2.DISCONNECT_REASON_INTERNAL, detail)
    return None


def check_frame(frame: worker_pb2.WorkerFrame, expected: int) -> None:
    """Checks the framing.

    Raises:
        StreamEndedError: The sequence does not follow, or the frame is over its limits.
    """
    if frame.sequence != expected:
        message = f"The frame has sequence {frame.sequence}, expected {expected}."
        raise _invalid(message, expected, frame.sequence)
    size, count = frame.ByteSize(), len(frame.items)
    if size > limits.FRAME_BYTES_MAX:
        facts = {"limit_bytes": str(limits.FRAME_BYTES_MAX), "actual_bytes": str(size)}
        message = f"The frame has {size} bytes, limit {limits.FRAME_BYTES_MAX}."
        detail = error_pb2.ErrorDetail(
            reason=Reason.ERROR_REASON_FRAME_TOO_LARGE, message=message, metadata=facts
        )
        raise StreamEndedError(session_pb2.DISCONNECT_REASON_FRAME_INVALID, detail)
    if count > limits.FRAME_ITEMS_MAX:
        raise _invalid(
            f"The frame has {count} items, limit {limits.FRAME_ITEMS_MAX}.", expected, frame.sequence
        )


def _invalid(message: str, expected: int, actual: int) -> StreamEndedError:
    facts = {"expected_sequence": str(expected), "actual_sequence": str(actual)}
    detail = error_pb2.ErrorDetail(reason=Reason.ERROR_REASON_FRAME_INVALID, message=message, metadata=facts)
    return StreamEndedError(session_pb2.DISCONNECT_REASON_FRAME_INVALID, detail)


def _timed_out() -> StreamEndedError:
    detail = error_pb2.ErrorDetail(
        reason=Reason.ERROR_REASON_SESSION_TIMED_OUT,
        message="Nothing was heard of the worker for the session timeout.",
    )
    return StreamEndedError(session_pb2.DISCONNECT_REASON_TIMED_OUT, detail)


def _superseded() -> StreamEndedError:
    detail = error_pb2.ErrorDetail(
        reason=Reason.ERROR_REASON_SESSION_SUPERSEDED, message="The session goes on with a newer stream."
    )
    return StreamEndedError(session_pb2.DISCONNECT_REASON_SUPERSEDED, detail, reconnect=False)


def _not_found() -> StreamEndedError:
    detail = error_pb2.ErrorDetail(
        reason=Reason.ERROR_REASON_SESSION_NOT_FOUND,
        message="The session has ended or moved to another server.",
    )
    return StreamEndedError(session_pb2.DISCONNECT_REASON_TIMED_OUT, detail)


def _shutdown() -> StreamEndedError:
    detail = error_pb2.ErrorDetail(reason=Reason.ERROR_REASON_SHUTTING_DOWN, message=DRAIN_MESSAGE)
    return StreamEndedError(session_pb2.DISCONNECT_REASON_SERVER_SHUTDOWN, detail)


_ENDS = {
    "SESSION_SUPERSEDED": _superseded,
    "SESSION_NOT_FOUND": _not_found,
    "SERVER_SHUTDOWN": _shutdown,
}


def wire_limits() -> limits_pb2.Limits:
    """The limits as the wire tells them."""
    return limits_pb2.Limits(
        frame_bytes_max=limits.FRAME_BYTES_MAX,
        inline_payload_bytes_max=limits.PAYLOAD_INLINE_BYTES_MAX,
        payload_bytes_max=limits.PAYLOAD_BYTES_MAX,
        workflow_stages_max=limits.STAGES_PER_WORKFLOW_MAX,
        group_stages_max=limits.STAGES_PER_GROUP_MAX,
        schema_bytes_max=limits.SCHEMA_BYTES_MAX,
        request_id_characters_max=limits.REQUEST_ID_LENGTH_MAX,
        page_size_max=limits.PAGE_SIZE_MAX,
        labels_max=limits.LABELS_MAX,
        session_slots_max=limits.SLOTS_PER_SESSION_MAX,
        log_message_bytes_max=limits.LOG_MESSAGE_LENGTH_MAX,
        log_entries_per_second_max=limits.LOG_LINES_PER_SECOND_MAX,
        deliveries_max=limits.DELIVERIES_PER_ATTEMPT_MAX,
        wait_max=duration(limits.WAIT_MAX),
        frame_items_max=limits.FRAME_ITEMS_MAX,
    )
