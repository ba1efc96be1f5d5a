"""The one place where calls are asked who they are: every method of every service, unary or stream, but health."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import grpc

from stageline_server.auth.gate import Gate
from stageline_server.auth.grants import ENDED, Grant, current_grant, enter, unauthenticated
from stageline_server.auth.requests import check_request
from stageline_server.auth.rules import OPEN_METHODS, RULES, Rule
from stageline_server.errors import abort, refusal_of

Context = grpc.aio.ServicerContext[Any, Any]


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Lets in who has a token for the method, and ends streams whose token ends."""

    def __init__(self, gate: Gate) -> None:
        """Takes what knows the tokens."""
        self._gate = gate

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the method's handler, guarded."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method in OPEN_METHODS:
            return handler
        return self._guarded(handler, RULES.get(method))

    def _guarded(self, handler: Any, rule: Rule | None) -> Any:
        make: Any
        if handler.request_streaming and handler.response_streaming:
            make, behaviour = grpc.stream_stream_rpc_method_handler, handler.stream_stream
        elif handler.request_streaming:
            make, behaviour = grpc.stream_unary_rpc_method_handler, handler.stream_unary
        elif handler.response_streaming:
            make, behaviour = grpc.unary_stream_rpc_method_handler, handler.unary_stream
        else:
            make, behaviour = grpc.unary_unary_rpc_method_handler, handler.unary_unary
        read = handler.request_deserializer
        if handler.request_streaming and (rule is None or not rule.ends_itself):
            read = _checking(read, rule)
        guard = _Guard(self._gate, rule, behaviour, handler)
        return make(guard.answer, request_deserializer=read, response_serializer=handler.response_serializer)


class _Guard:
    """One method behind the gate."""

    def __init__(self, gate: Gate, rule: Rule | None, behaviour: Callable[..., Any], handler: Any) -> None:
        self._gate = gate
        self._rule = rule
        self._behaviour = behaviour
        self._request_streaming: bool = handler.request_streaming
        self._response_streaming: bool = handler.response_streaming

    async def answer(self, request: Any, context: Context) -> Any:
        """Serves one call, if its token allows it, for as long as that counts."""
        try:
            token = await self._gate.admit(context.invocation_metadata() or (), self._rule)
            with self._gate.living(token) as grant:
                enter(grant)
                assert self._rule is not None, "a method without a rule admits nobody"
                if not self._request_streaming:
                    check_request(request, grant, self._rule)
                if self._rule.ends_itself:
                    return await self._serve(request, context)
                return await self._serve_while(grant, request, context)
        except (grpc.aio.AbortError, grpc.RpcError):
            raise
        except Exception as error:  # noqa: BLE001 - becomes the status of the call
            await abort(context, refusal_of(error))

    async def _serve_while(self, grant: Grant, request: Any, context: Context) -> Any:
        """Serves until the right ends.

        Raises:
            RefusedError: It ended first. UNAUTHENTICATED.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as limit:
                unsubscribe = grant.on_end(lambda: limit.reschedule(loop.time()))
                try:
                    return await self._serve(request, context)
                finally:
                    unsubscribe()
        except TimeoutError:
            if grant.ended:
                raise unauthenticated(ENDED) from None
            raise

    async def _serve(self, request: Any, context: Context) -> Any:
        answer = self._behaviour(request, context)
        if not isinstance(answer, AsyncGenerator):
            return await answer
        async with contextlib.aclosing(answer) as responses:
            async for response in responses:
                await context.write(response)
        return None


def _checking(read: Callable[[bytes], Any] | None, rule: Rule | None) -> Callable[[bytes], Any]:
    """Reads the messages of a request stream, each of which is checked as it comes."""

    def reading(raw: bytes) -> Any:
        message = read(raw) if read is not None else raw
        if rule is not None:
            check_request(message, current_grant(), rule)
        return message

    return reading
