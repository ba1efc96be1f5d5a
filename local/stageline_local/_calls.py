"""One call inside the process: two queues of messages between a caller, on whatever loop, and a handler on the host's loop.

Messages cross as bytes, as they would on a wire: neither side can change what the other holds, and what could not be sent
to a server cannot be sent here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

import grpc

T = TypeVar("T")

MESSAGES_WAITING_MAX = 64
"""Messages of one direction that wait to be read; beyond it the writer waits."""


class Status(NamedTuple):
    """How a call ended."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    trailers: tuple[tuple[str, str | bytes], ...] = ()

    def error(self) -> grpc.aio.AioRpcError:
        """Returns what a caller is raised."""
        trailers = grpc.aio.Metadata(*self.trailers)
        return grpc.aio.AioRpcError(self.code, grpc.aio.Metadata(), trailers, self.details)


class AbortedCallError(Exception):
    """Ends a handler with a status."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.details)
        self.status = status


class CallContext:
    """What a handler is given beside the request: as much of gRPC's context as our services use."""

    def __init__(self, call: "HostCall") -> None:
        self._call = call

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: tuple[tuple[str, str | bytes], ...] = (),
    ) -> None:
        """Ends the call.

        Raises:
            AbortedCallError: Always.
        """
        raise AbortedCallError(Status(code, details, tuple(trailing_metadata)))

    async def read(self) -> Any:
        """Returns the caller's next message; EOF when it has closed its side."""
        return await self._call.read_request()

    async def write(self, message: Any) -> None:
        """Sends a message to the caller."""
        await self._call.write_response(message)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns what was sent with the call."""
        return self._call.metadata


class HostCall:
    """The host's half of a call. Everything here is on the host's loop."""

    def __init__(
        self, handler: "grpc.RpcMethodHandler[Any, Any]", metadata: tuple[tuple[str, str], ...]
    ) -> None:
        self.metadata = metadata
        self.requests: asyncio.Queue[bytes | None] = asyncio.Queue(MESSAGES_WAITING_MAX)
        self.responses: asyncio.Queue[bytes | Status] = asyncio.Queue(MESSAGES_WAITING_MAX)
        self._handler: Any = handler
        self._task = asyncio.create_task(self._run(), name="call inside the process")

    def cancel(self) -> None:
        """Ends the handler, wherever it is."""
        self._task.cancel()

    async def read_request(self) -> Any:
        """Returns the next request; EOF when the caller has closed its side."""
        raw = await self.requests.get()
        return grpc.aio.EOF if raw is None else self._handler.request_deserializer(raw)

    async def write_response(self, message: Any) -> None:
        """Sends a response."""
        await self.responses.put(self._handler.response_serializer(message))

    async def _run(self) -> None:
        status = Status()
        try:
            await self._handle()
        except AbortedCallError as aborted:
            status = aborted.status
        except asyncio.CancelledError:
            status = Status(grpc.StatusCode.CANCELLED, "the call was cancelled")
            self._make_room()
        except Exception as error:  # noqa: BLE001 - as a server answers what no service foresaw
            status = Status(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")
        await self.responses.put(status)

    def _make_room(self) -> None:
        """The end of a cancelled call must not wait for a reader that has gone."""
        while self.responses.full():
            self.responses.get_nowait()

    async def _handle(self) -> None:
        context = CallContext(self)
        given = self._requests() if self._handler.request_streaming else await self.read_request()
        if self._handler.request_streaming and self._handler.response_streaming:
            await self._stream(self._handler.stream_stream(given, context))
        elif self._handler.request_streaming:
            await self.write_response(await self._handler.stream_unary(given, context))
        elif self._handler.response_streaming:
            await self._stream(self._handler.unary_stream(given, context))
        else:
            await self.write_response(await self._handler.unary_unary(given, context))

    async def _stream(self, responses: AsyncIterator[Any] | Awaitable[None]) -> None:
        """A handler that streams either yields its responses or writes them to its context."""
        if isinstance(responses, Awaitable):
            await responses
            return
        async for response in responses:
            await self.write_response(response)

    async def _requests(self) -> AsyncIterator[Any]:
        while (request := await self.read_request()) is not grpc.aio.EOF:
            yield request


async def across(loop: asyncio.AbstractEventLoop, step: Coroutine[Any, Any, T]) -> T:
    """Runs a step on another loop and waits for it here; cancelling the wait cancels the step.

    Raises:
        grpc.aio.AioRpcError: The other loop has ended.
    """
    if loop is asyncio.get_running_loop():
        return await step
    if loop.is_closed():
        step.close()
        raise Status(grpc.StatusCode.UNAVAILABLE, "the host is closed").error()
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(step, loop))


class CallerHalf:
    """The caller's half of a call, on the caller's loop: what gRPC's call objects are to the SDK."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        begin: Callable[[], HostCall],
        write: Callable[[Any], bytes],
        read: Callable[[bytes], Any],
    ) -> None:
        """Begins the call.

        Args:
            loop: The host's loop.
            begin: Makes the host's half; called there.
            write: Turns a request into bytes.
            read: Turns bytes into a response.
        """
        self._loop = loop
        self._serialize = write
        self._deserialize = read
        self._host = asyncio.ensure_future(across(loop, _called(begin)))
        self._end: Status | None = None

    async def write(self, request: Any) -> None:
        """Sends a request.

        Raises:
            asyncio.InvalidStateError: The call has ended.
        """
        if self._end is not None:
            raise asyncio.InvalidStateError("the call has ended")
        host = await self._half()
        await across(self._loop, host.requests.put(self._serialize(request)))

    async def done_writing(self) -> None:
        """Closes the caller's side."""
        host = await self._half()
        await across(self._loop, host.requests.put(None))

    async def read(self) -> Any:
        """Returns the next response, or EOF after the last.

        Raises:
            grpc.aio.AioRpcError: The call ended with an error.
        """
        if self._end is None:
            host = await self._half()
            answer = await across(self._loop, host.responses.get())
            if isinstance(answer, bytes):
                return self._deserialize(answer)
            self._end = answer
        if self._end.code is not grpc.StatusCode.OK:
            raise self._end.error()
        return grpc.aio.EOF

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (response := await self.read()) is not grpc.aio.EOF:
            yield response

    def cancel(self) -> bool:
        """Ends the call. False where it had ended."""
        if self._end is not None:
            return False
        self._end = Status(grpc.StatusCode.CANCELLED, "the call was cancelled")
        self._host.add_done_callback(self._cancel_host)
        return True

    def _cancel_host(self, half: "asyncio.Future[HostCall]") -> None:
        if not half.cancelled() and half.exception() is None:
            self._loop.call_soon_threadsafe(half.result().cancel)

    async def _half(self) -> HostCall:
        return await asyncio.shield(self._host)


async def _called(function: Callable[[], T]) -> T:
    return function()
