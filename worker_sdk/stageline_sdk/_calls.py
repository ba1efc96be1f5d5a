"""Calls of one request and one answer, tried again where that is safe."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import grpc

from stageline_sdk._backoff import Backoff
from stageline_sdk._connection import Connection
from stageline_sdk._rpc_errors import api_error
from stageline_sdk.errors import AbortedError, ApiError, UnavailableError

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

_FIRST_WAIT = timedelta(milliseconds=100)
_LONGEST_WAIT = timedelta(seconds=2)


class Caller:
    """Makes unary calls over one connection.

    Every mutating request carries a request id, so a call that may have had its effect is safe to repeat.
    """

    def __init__(self, connection: Connection, *, call_timeout: timedelta, retry_for: timedelta) -> None:
        """Make a caller.

        Args:
            connection: Gives the metadata, and the address for messages.
            call_timeout: The longest one try may take.
            retry_for: No new try begins when this much time has passed since the first one began.
        """
        self._connection = connection
        self._call_timeout = call_timeout
        self._retry_for = retry_for

    @property
    def once(self) -> "Caller":
        """The same without further tries, for what a repeat would do again."""
        return Caller(self._connection, call_timeout=self._call_timeout, retry_for=timedelta(0))

    async def __call__(
        self, method: Callable[..., grpc.aio.UnaryUnaryCall[RequestT, ResponseT]], request: RequestT
    ) -> ResponseT:
        """Make a call and return its answer.

        Raises:
            ApiError: The server refused it, or could not be reached for as long as `retry_for`.
        """
        return await self.repeat(
            lambda: method(
                request,
                timeout=self._call_timeout.total_seconds(),
                metadata=self._connection.metadata,
            )
        )

    async def repeat(self, attempt: Callable[[], Awaitable[ResponseT]]) -> ResponseT:
        """Make tries of a call that is safe to repeat, and return the answer of the first that has one.

        Raises:
            ApiError: The server refused it, or could not be reached for as long as `retry_for`.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._retry_for.total_seconds()
        backoff = Backoff(_FIRST_WAIT, _LONGEST_WAIT)
        while True:
            try:
                return await attempt()
            except grpc.aio.AioRpcError as failure:
                error = api_error(failure, self._connection.target)
                wait_seconds = backoff.next_seconds()
                if not is_passing(error) or loop.time() + wait_seconds > give_up_at:
                    raise error from None
            await asyncio.sleep(wait_seconds)


def is_passing(error: ApiError) -> bool:
    """Whether the same call, with the same request id, is worth another try soon."""
    if isinstance(error, AbortedError):
        return error.reason == "REQUEST_IN_PROGRESS"
    return isinstance(error, UnavailableError)
