"""Registers services so that also what gRPC answers by itself is typed: unreadable requests, methods of later versions."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import DecodeError

from stageline_server.errors import Refusal, abort

Servicer = TypeVar("Servicer")
AddToServer = Callable[[Servicer, Any], None]
"""A generated function such as ``add_RunServiceServicer_to_server``."""


class Unreadable:
    """Stands in for a request whose bytes are no message of its type."""

    def __init__(self, reason: str) -> None:
        """Takes what the decoder says."""
        self.reason = reason


def register(server: Any, servicer: Servicer, add: AddToServer[Servicer]) -> None:
    """Adds a service to a server.

    Args:
        server: Not yet started; it takes handlers as a gRPC server does.
        servicer: The service; methods that it does not override are answered with METHOD_NOT_SERVED.
        add: The generated function that knows its methods.
    """
    add(servicer, _Registrar(server, servicer))


class _Registrar(Generic[Servicer]):
    """What the generated function takes for the server: it changes the handlers on their way."""

    def __init__(self, server: Any, servicer: Servicer) -> None:
        self._server = server
        self._type = type(servicer)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Passed over: the same handlers come again by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Registers the methods of a service, each made to refuse what it cannot take."""
        changed = {name: self._changed(service, name, handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, changed),))

    def _changed(self, service: str, name: str, handler: Any) -> Any:
        generated = self._type.__mro__[1]
        if getattr(self._type, name) is getattr(generated, name):
            return grpc.unary_unary_rpc_method_handler(_not_served(f"/{service}/{name}"))
        if handler.request_streaming:
            return handler  # the stream judges its frames itself
        kind = "unary_stream" if handler.response_streaming else "unary_unary"
        behaviour = getattr(handler, kind)
        guard = _guarded_stream if handler.response_streaming else _guarded
        return handler._replace(
            **{kind: guard(behaviour), "request_deserializer": _tolerant(handler.request_deserializer)}
        )


def _not_served(method: str) -> Callable[[Any, Any], Awaitable[Any]]:
    async def answer(_request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        message = f"This server does not serve {method}. A newer one may."
        await abort(context, Refusal("METHOD_NOT_SERVED", message, {"method": method}))

    return answer


def _tolerant(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def reading(raw: bytes) -> Any:
        try:
            return read(raw)
        except DecodeError as error:
            return Unreadable(str(error))

    return reading


def _guarded(behaviour: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if isinstance(request, Unreadable):
            await abort(context, _refusal(request))
        return await behaviour(request, context)

    return answer


def _guarded_stream(behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if isinstance(request, Unreadable):
            await abort(context, _refusal(request))
        async with contextlib.aclosing(behaviour(request, context)) as responses:
            async for response in responses:
                yield response

    return answer


def _refusal(request: Unreadable) -> Refusal:
    return Refusal("INVALID_FIELD", f"The request can not be read: {request.reason}.")
