"""One worker's stream from its first frame to its last: a reader that deals with items in order, a writer that frames.

The reader never waits for the writer, and neither for a commit: what a commit brings about comes back by callback.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any, Protocol
from uuid import UUID

from stageline.v1 import error_pb2, limits_pb2, session_pb2, worker_pb2
from stageline_engine import limits
from stageline_engine.commands import JobOffer, LeaseReference
from stageline_server import __version__
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.sessions import LocalSession
from stageline_server.mapping.to_protos import CAPABILITIES
from stageline_server.streams.endings import (
    DRAIN_MESSAGE,
    ENDS,
    StreamEndedError,
    check_frame,
    invalid,
    shutdown,
    slow_reader,
    timed_out,
)
from stageline_server.streams.frames import Outbox
from stageline_server.streams.hello import PROTOCOL_VERSION, HelloRefusedError, Opened, open_session
from stageline_server.streams.inbox import Inbox
from stageline_server.streams.items import Reason, duration, offer_item, stop_item
from stageline_server.streams.stalls import StallWatch

_log = logging.getLogger(__name__)

GOODBYE_SECONDS = 2.0
"""How long a worker may take to read what is said last."""


class Transport(Protocol):
    """The two directions of a stream."""

    async def read(self) -> worker_pb2.WorkerFrame | None:
        """Returns the next frame, or None when the worker has closed its side or the connection is broken.

        Raises:
            StreamEndedError: What came is no frame.
        """
        ...

    async def write(self, frame: worker_pb2.ServerFrame) -> None:
        """Sends a frame."""
        ...


class WorkSession:
    """One stream of one worker. Also the ``Outlet`` by which the plane reaches the worker."""

    def __init__(self, plane: ControlPlane, transport: Transport) -> None:
        """Takes the plane to work with and the stream's two directions."""
        self._plane = plane
        self._transport = transport
        self._outbox = Outbox(overflow=lambda: self.close("SLOW_READER"))
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
            self._plane.disconnects.ended(ended.name)
            await self._say_goodbye(ended.item)
            return ended
        self._local = local = self._admit(first.items[0].hello, opened)
        why = "CONNECTION_LOST"
        inbox = Inbox(self._plane, local, self._outbox)
        inbox.hand_on(opened.unlisted, started=False)
        reader = asyncio.create_task(self._read(local, inbox, first), name="stream-reader")
        writer = asyncio.create_task(self._write(), name="stream-writer")
        watch = asyncio.create_task(self._watch(local), name="stream-watch")
        tasks: tuple[asyncio.Future[Any], ...] = (reader, writer, watch)
        try:
            await asyncio.wait({*tasks, self._end}, return_when=asyncio.FIRST_COMPLETED)
            end = self._end.result() if self._end.done() else _outcome(reader, writer, watch)
            self._plane.sessions.remove(local)
            if end is not None:
                why = end.name
                await self._end_stream(local, end, writer)
            elif (
                reader.done()
                and not reader.exception()
                and await self._closed_by_worker(local, inbox, writer)
            ):
                why = "DRAINED"
            return end
        except asyncio.CancelledError:
            if why == "CONNECTION_LOST" and self._plane.draining:
                why = "SERVER_SHUTDOWN"
            raise
        finally:
            self._plane.disconnects.ended(why, local.id)
            self._plane.sessions.remove(local)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._take_back_unsent(local)

    async def _first_frame(self) -> worker_pb2.WorkerFrame:
        if self._plane.draining:
            raise shutdown()
        reading = asyncio.ensure_future(self._transport.read())
        timeout = self._plane.settings.session_timeout.total_seconds()
        try:
            tasks: set[asyncio.Future[Any]] = {reading, self._end}
            await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
        if self._end.done():
            raise self._end.result()
        if not reading.done():
            raise timed_out()
        frame = reading.result()
        if frame is None or not frame.items or frame.items[0].WhichOneof("item") != "hello":
            raise invalid("The first frame must begin with Hello.", expected=1, actual=0)
        check_frame(frame, 1, 0)
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
            kept = opened.held[lease.lease_token]
            local.keep(lease, kept.attempt, kept.generation)
        before = self._plane.sessions.add(local)
        if before is not None:
            before.outlet.close("SESSION_SUPERSEDED")
        # Before all else: a directive to stop goes ahead of what waits, but not of Welcome.
        self._outbox.put_first(worker_pb2.ServerItem(welcome=welcome(self._plane, opened)))
        for verdict in opened.verdicts:
            self._outbox.put(worker_pb2.ServerItem(held_lease_verdict=verdict))
        for error in opened.errors:
            self._outbox.put(worker_pb2.ServerItem(error=error))
        if opened.resumed:
            # The server that it comes from may be leasing to it still.
            self._plane.suspect_lost_offers([local.id])
        if local.draining:
            self.send_drain()
        self._plane.leaser.jobs_may_wait(opened.route_ids)
        return local

    async def _read(self, local: LocalSession, inbox: Inbox, first: worker_pb2.WorkerFrame) -> None:
        """Deals with frames until the worker closes its side."""
        inbox.take(first, skip_first=True)
        expected = 2
        while (frame := await self._transport.read()) is not None:
            local.last_heard = time.monotonic()
            check_frame(frame, expected, self._outbox.last_sequence)
            inbox.take(frame)
            expected += 1

    async def _watch(self, local: LocalSession) -> None:
        """Ends the stream when nothing was heard, or nothing was read, for the session timeout."""
        timeout = self._plane.settings.session_timeout.total_seconds()
        stalls = StallWatch(self._outbox, time.monotonic())
        left = timeout
        while left > 0:
            await asyncio.sleep(min(left, timeout / 2))
            now = time.monotonic()
            left = local.last_heard + timeout - now
            if left > 0 and stalls.stalled_seconds(now) >= timeout:
                raise slow_reader()
        raise timed_out()

    async def _write(self) -> None:
        interval = self._plane.settings.heartbeat_interval.total_seconds()
        while not self._outbox.finished:
            frame = await self._outbox.next_frame(interval)
            self._relieve()
            await self._transport.write(frame)

    def _relieve(self) -> None:
        """Has jobs leased again to a worker that has caught up with what was sent."""
        local = self._local
        if local and local.congested and self._outbox.waiting_bytes <= limits.OUTBOX_LEASING_BYTES_MAX:
            local.congested = False
            self._plane.leaser.slots_freed()

    async def _end_stream(
        self, local: LocalSession, end: StreamEndedError, writer: "asyncio.Task[None]"
    ) -> None:
        """Sends what still waits, acknowledgements above all, and then why the stream ends."""
        self._take_back_unsent(local)
        if end.item.reason == session_pb2.DISCONNECT_REASON_SLOW_READER:
            self._take_back(local, self._outbox.withdraw_sent_offers())
        self._outbox.finish(worker_pb2.ServerItem(session_end=end.item))
        # A writer that is in the middle of a frame must come to its end: a stream takes one write at a time.
        await asyncio.wait({writer}, timeout=GOODBYE_SECONDS)
        if (
            end.detail.reason == Reason.ERROR_REASON_SESSION_TIMED_OUT
            and self._plane.sessions.get(local.id) is None
        ):
            await self._plane.housekeeping.give_up(local)

    async def _say_goodbye(self, last: session_pb2.SessionEnd) -> None:
        """Sends what still waits and then why the stream ends, where no other writer is at work."""
        self._outbox.finish(worker_pb2.ServerItem(session_end=last))
        try:
            await asyncio.wait_for(self._write(), GOODBYE_SECONDS)
        except Exception:  # noqa: BLE001 - the connection may be gone; its status tells the worker as much
            _log.debug("a goodbye did not reach its worker", exc_info=True)

    async def _closed_by_worker(
        self, local: LocalSession, inbox: Inbox, writer: "asyncio.Task[None]"
    ) -> bool:
        """Ends a session whose worker has closed its side in peace: what it still holds is handed on.

        A broken connection looks the same to the reader, and ends no lease: only where a write comes through is it peace.

        Returns:
            Whether it was peace.
        """
        self._outbox.finish()
        try:
            async with asyncio.timeout(self._plane.settings.session_timeout.total_seconds()):
                await writer
                await self._transport.write(self._outbox.build())
        except Exception:  # noqa: BLE001 - whatever it is, the worker is not at the other end; it may come back
            _log.debug("a stream broke", exc_info=True)
            return False
        inbox.hand_on(tuple(local.held.values()), started=True)
        await inbox.answered()
        now = self._plane.ports.clock.now()
        await self._plane.ports.sessions.end(local.id, self._plane.server_id, now, "DRAINED")
        reason = session_pb2.DISCONNECT_REASON_DRAINED
        await self._say_goodbye(session_pb2.SessionEnd(reason=reason, reconnect=self._plane.draining))
        return True

    def _take_back_unsent(self, local: LocalSession) -> None:
        """Hands on jobs that never left this server."""
        self._take_back(local, self._outbox.withdraw_offers())

    def _take_back(self, local: LocalSession, lease_tokens: Iterable[UUID]) -> None:
        for token in lease_tokens:
            if lease := local.drop(token):
                self._plane.take_back(local, lease)

    @property
    def waiting_bytes(self) -> int:
        """Size of what no frame has carried yet."""
        return self._outbox.waiting_bytes

    def send_offer(self, offer: JobOffer) -> None:
        """Sends a leased job; hands it on where so much waits for the worker already that there is no room for it."""
        item, token, local = offer_item(offer), offer.lease.lease_token, self._local
        assert local is not None, "the plane knows a session only once it is admitted"
        self._plane.counts.offers += 1
        waiting_bytes = self._outbox.waiting_bytes + item.ByteSize()
        local.congested |= waiting_bytes > limits.OUTBOX_LEASING_BYTES_MAX
        if waiting_bytes <= limits.OUTBOX_BYTES_MAX:
            self._outbox.put(item, offered=token)
        elif lease := local.give_back(token):
            self._plane.take_back(local, lease)

    def send_stop(self, lease: LeaseReference) -> None:
        """Tells the worker to stop a job, before it is given any other."""
        item = stop_item(lease, worker_pb2.StopReason.Value(f"STOP_REASON_{lease.stop_reason}"))
        self._outbox.put_stop(item, lease.lease_token)

    def send_drain(self) -> None:
        """Asks the worker to connect elsewhere."""
        self._outbox.put(worker_pb2.ServerItem(drain=session_pb2.Drain(reason=DRAIN_MESSAGE)))

    def close(self, reason: str) -> None:
        """Ends the stream for a reason of the closed list."""
        if not self._end.done():
            self._end.set_result(ENDS[reason]())


def _outcome(
    reader: "asyncio.Task[None]", writer: "asyncio.Task[None]", watch: "asyncio.Task[None]"
) -> StreamEndedError | None:
    """Why the server ends the stream; None where the worker closed its side or the connection broke."""
    for task in (reader, watch):
        if task.done() and isinstance(error := task.exception(), Exception):
            if isinstance(error, StreamEndedError):
                return error
            _log.error("a stream failed", exc_info=error)
            detail = error_pb2.ErrorDetail(reason=Reason.ERROR_REASON_INTERNAL, message="The server failed.")
            return StreamEndedError(session_pb2.DISCONNECT_REASON_INTERNAL, detail)
    if writer.done() and isinstance(error := writer.exception(), Exception):
        _log.warning("a stream broke: %s", error)
    return None


def welcome(plane: ControlPlane, opened: Opened) -> session_pb2.Welcome:
    """What a session is told of the server."""
    settings = plane.settings
    message = session_pb2.Welcome(
        session_id=str(opened.session_id),
        resumed=opened.resumed,
        server_id=plane.server_id,
        server_version=__version__,
        protocol_version=PROTOCOL_VERSION,
        heartbeat_interval=duration(settings.heartbeat_interval),
        session_timeout=duration(settings.session_timeout),
        progress_interval=duration(settings.progress_interval),
        limits=wire_limits(),
        capabilities=CAPABILITIES,
    )
    message.server_time.FromDatetime(plane.ports.clock.now())
    return message


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
