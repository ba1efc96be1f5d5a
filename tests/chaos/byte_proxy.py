"""A proxy that knows bytes only: it stalls a direction, cuts connections, and spreads them over several servers."""

import asyncio
from contextlib import suppress
from enum import StrEnum

from stageline_sdk._portal import LoopThread

CHUNK_BYTES = 64 * 1024


class Direction(StrEnum):
    """A way through the proxy."""

    TO_SERVER = "to the server"
    TO_WORKER = "to the worker"


class ByteProxy:
    """Listens on a port of its own; use as a context manager.

    A stalled direction loses nothing: bytes wait, as in a network that has died without a word. New connections are
    taken meanwhile, and stall as well.
    """

    def __init__(self, *upstreams: str) -> None:
        """Takes the servers' addresses; each connection goes to the next one that answers."""
        self.address = ""
        self._upstreams = list(upstreams)
        self._turn = 0
        self._loop = LoopThread("byte-proxy")
        self._open: dict[Direction, asyncio.Event] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> "ByteProxy":
        self._loop.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.close(self._stop)

    def stall(self, *directions: Direction) -> None:
        """Holds bytes up: in both directions, unless some are named."""
        self._loop.run(self._set(directions or tuple(Direction), flowing=False))

    def flow(self) -> None:
        """Lets all bytes go on."""
        self._loop.run(self._set(tuple(Direction), flowing=True))

    def cut(self) -> None:
        """Breaks every connection."""
        self._loop.run(self._cut())

    async def _start(self) -> None:
        for direction in Direction:
            self._open[direction] = asyncio.Event()
            self._open[direction].set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _set(self, directions: tuple[Direction, ...], *, flowing: bool) -> None:
        for direction in directions:
            event = self._open[direction]
            event.set() if flowing else event.clear()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._relay(reader, writer)
        except asyncio.CancelledError:
            return  # The proxy ends; asyncio would complain of a connection that was cancelled.
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await self._connect()
        if upstream is None:
            return
        up_reader, up_writer = upstream
        self._writers.add(up_writer)
        ways = [
            asyncio.create_task(self._pump(reader, up_writer, Direction.TO_SERVER)),
            asyncio.create_task(self._pump(up_reader, writer, Direction.TO_WORKER)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up_writer.transport.abort()
            self._writers.discard(up_writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connects to the next server that answers, if any does."""
        for _ in self._upstreams:
            self._turn += 1
            host, _, port = self._upstreams[self._turn % len(self._upstreams)].rpartition(":")
            with suppress(OSError):
                return await asyncio.open_connection(host, int(port))
        return None

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._open[direction].wait()
                writer.write(data)
                await writer.drain()
