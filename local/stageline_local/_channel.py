"""A gRPC channel without gRPC's wire: the generated stubs call the services of this process through it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import grpc

from stageline_local._calls import CallerHalf, HostCall, Status

Metadata = tuple[tuple[str, str], ...]


class CallDetails(NamedTuple):
    """What a handler is looked up by."""

    method: str
    invocation_metadata: Metadata = ()


class InProcessServices:
    """The services of a host. Registered like those of a server; all handlers run on the loop that made this."""

    def __init__(self) -> None:
        """Starts with no service; to be called on the host's loop."""
        self.loop = asyncio.get_running_loop()
        self._handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: tuple[grpc.GenericRpcHandler, ...]) -> None:
        """Adds the methods of a service."""
        self._handlers.extend(handlers)

    def begin(self, method: str, metadata: Metadata) -> HostCall:
        """Begins a call; to be called on the host's loop.

        Raises:
            grpc.aio.AioRpcError: No service has this method.
        """
        details: Any = CallDetails(method, metadata)
        for handlers in self._handlers:
            handler = handlers.service(details)
            if handler is not None:
                return HostCall(handler, metadata)
        raise Status(grpc.StatusCode.UNIMPLEMENTED, f"no service of this host has a method {method}").error()


class StreamedAnswer:
    """A call of one request and many answers."""

    def __init__(self, half: CallerHalf, request: Any) -> None:
        """Takes the call; the request is sent with the first look at the answers."""
        self._half = half
        self._request = request

    async def __aiter__(self) -> AsyncIterator[Any]:
        await self._half.write(self._request)
        async for response in self._half:
            yield response

    def cancel(self) -> bool:
        """Ends the call. False where it had ended."""
        return self._half.cancel()


async def _send(half: CallerHalf, requests: AsyncIterator[Any]) -> None:
    async for request in requests:
        await half.write(request)
    await half.done_writing()


class InProcessChannel(grpc.aio.Channel):
    """The channel to the services of a host; may be used on any loop, each call on the one that begins it."""

    def __init__(self, services: InProcessServices) -> None:
        """Takes the services."""
        self._services = services

    def unary_unary(self, method: str, *serializers: Any, **named: Any) -> Any:
        """Returns a method of one request and one answer."""
        begin = self._beginner(method, *serializers, **named)

        async def call(request: Any, *, metadata: Metadata = (), **options: Any) -> Any:
            limit_seconds: float | None = options.get("timeout")
            half = begin(metadata)
            try:
                async with asyncio.timeout(limit_seconds):
                    await half.write(request)
                    return await half.read()
            except TimeoutError:
                text = f"{method} took longer than {limit_seconds:g} s"
                raise Status(grpc.StatusCode.DEADLINE_EXCEEDED, text).error() from None
            finally:
                half.cancel()

        return call

    def unary_stream(self, method: str, *serializers: Any, **named: Any) -> Any:
        """Returns a method of one request and many answers."""
        begin = self._beginner(method, *serializers, **named)

        def call(request: Any, *, metadata: Metadata = (), **_: Any) -> StreamedAnswer:
            return StreamedAnswer(begin(metadata), request)

        return call

    def stream_unary(self, method: str, *serializers: Any, **named: Any) -> Any:
        """Returns a method of many requests and one answer."""
        begin = self._beginner(method, *serializers, **named)

        async def call(requests: Any, *, metadata: Metadata = (), **_: Any) -> Any:
            half = begin(metadata)
            sending, answer = asyncio.create_task(_send(half, requests)), asyncio.create_task(half.read())
            try:
                # A refusal comes in the middle of the requests, and nobody reads the others.
                await asyncio.wait({sending, answer}, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    await sending
                return await answer
            finally:
                half.cancel()
                sending.cancel()
                answer.cancel()
                await asyncio.gather(sending, answer, return_exceptions=True)

        return call

    def stream_stream(self, method: str, *serializers: Any, **named: Any) -> Any:
        """Returns a method of many requests and many answers."""
        begin = self._beginner(method, *serializers, **named)

        def call(*, metadata: Metadata = (), **_: Any) -> CallerHalf:
            return begin(metadata)

        return call

    def _beginner(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
        **_: Any,
    ) -> Callable[[Metadata], CallerHalf]:
        services = self._services

        def begin(metadata: Metadata) -> CallerHalf:
            return CallerHalf(
                services.loop,
                lambda: services.begin(method, metadata),
                request_serializer,
                response_deserializer,
            )

        return begin

    async def close(self, grace: float | None = None) -> None:
        """Does nothing: there is no connection, and each call is ended by who began it."""

    async def channel_ready(self) -> None:
        """Returns at once: there is nothing to wait for."""

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Returns that it is ready."""
        return grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Never returns: the state does not change."""
        await asyncio.Event().wait()

    async def __aenter__(self) -> "InProcessChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
