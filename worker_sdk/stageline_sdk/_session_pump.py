"""Moves the frames of one stream between the wire and the session's state machine."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from stageline.v1 import worker_pb2
from stageline_sdk._alarm import Alarm
from stageline_sdk._session_actions import Action, LeaveStream
from stageline_sdk._session_core import SessionCore

WorkCall = grpc.aio.StreamStreamCall[worker_pb2.WorkerFrame, worker_pb2.ServerFrame]

# How long the server may take to end a stream that the worker has drained and closed.
_GOODBYE_SECONDS = 2.0


class StreamPump:
    """Reads and writes one stream until either side has had enough of it.

    Attributes:
        wake: Rung when there may be something to write.
    """

    def __init__(
        self,
        call: WorkCall,
        core: SessionCore,
        perform: Callable[[list[Action]], None],
        on_frame: Callable[[worker_pb2.ServerFrame], None],
    ) -> None:
        """Make a pump for a stream whose first frame was written.

        Args:
            call: The stream.
            core: The state machine.
            perform: Does what the state machine asks for.
            on_frame: Called after each frame of the server.
        """
        self.wake = Alarm()
        self._call = call
        self._core = core
        self._perform = perform
        self._on_frame = on_frame
        self._loop = asyncio.get_running_loop()
        self._leaving: asyncio.Future[LeaveStream] = self._loop.create_future()

    def leave(self, action: LeaveStream) -> None:
        """Give the stream up."""
        if not self._leaving.done():
            self._leaving.set_result(action)

    async def run(self) -> LeaveStream | None:
        """Read and write; return why the stream was given up, None if it ended otherwise.

        Raises:
            grpc.aio.AioRpcError: The server ended the stream with an error, or the connection broke.
            FramingError: The server broke the framing.
        """
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            ends_it: set[asyncio.Future[Any]] = {reader, writer, self._leaving}
            await asyncio.wait(ends_it, return_when=asyncio.FIRST_COMPLETED)
            if not self._leaving.done():
                # A writer that is done has drained, or met the end of the stream: the reader knows how it ended.
                await asyncio.wait({reader}, timeout=_GOODBYE_SECONDS)
        finally:
            reader.cancel()
            writer.cancel()
            ends = await asyncio.gather(reader, writer, return_exceptions=True)
        if self._leaving.done():
            return self._leaving.result()
        for end in ends:
            if isinstance(end, Exception):
                raise end
        return None

    async def _read(self) -> None:
        while True:
            frame = await self._call.read()
            if not isinstance(frame, worker_pb2.ServerFrame):
                return  # The end of the stream.
            self._perform(self._core.receive(frame, self._loop.time()))
            self._on_frame(frame)
            self.wake.ring()

    async def _write(self) -> None:
        """Write frames as there is something to say. While one is on its way, the next one gathers."""
        while True:
            now = self._loop.time()
            frame = self._core.next_frame(now)
            if frame is not None:
                try:
                    await self._call.write(frame)
                except asyncio.InvalidStateError:
                    return  # The stream has ended; the reader is told how.
            elif self._core.is_drained(now):
                await self._call.done_writing()
                return
            else:
                await self.wake.wait_until(self._core.next_frame_at())
