"""Mutated frames over real sockets, to a server in a process of its own."""

import asyncio
import random
from collections import Counter
from typing import Any

import grpc

from tests.chaos.frame_proxy import WORK
from tests.chaos.mutate import mutated
from tests.chaos.mutated_server import hello, worker_frames

FRAMES_PER_STREAM = 8
STREAMS_AT_ONCE = 16
# An answer may stay away where the frame was no fault, or left the server waiting for more of it.
ANSWER_WITHIN_SECONDS = 0.5
# What gRPC itself makes of a write to a stream that has ended; it hides the server's own status.
WRITTEN_TOO_LATE = "Internal error from Core"
REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)
"""What a stream may be ended with: never UNKNOWN or INTERNAL."""


async def maul_sockets(address: str, count: int, chance: random.Random) -> Counter[str]:
    """Opens streams, sends mutated frames on them, and counts how they ended.

    Raises:
        AssertionError: One ended with a code that is no typed refusal.
    """
    counts: Counter[str] = Counter()
    left = iter(range(0, count, FRAMES_PER_STREAM))

    async def attack() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            for _ in left:
                counts[await _maul_stream(channel.stream_stream(WORK)(), chance)] += 1

    await asyncio.gather(*(attack() for _ in range(STREAMS_AT_ONCE)))
    return counts


async def _maul_stream(call: Any, chance: random.Random) -> str:
    """Sends Hello, mutated in half of all cases, and mutated frames; returns how the server took it."""
    frames = [hello(1) if chance.random() < 0.5 else mutated(hello(1), chance)]
    frames += [
        mutated(chance.choice(worker_frames(chance, [])), chance) for _ in range(FRAMES_PER_STREAM - 1)
    ]
    try:
        for frame in frames:
            await call.write(frame)
        async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
            while isinstance(await call.read(), bytes):
                pass
    except TimeoutError:
        call.cancel()
        return "streams left open"
    except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
        pass  # it has ended, and says how below
    code, details = await call.code(), await call.details()
    if details == WRITTEN_TOO_LATE:
        return "streams refused"
    assert code in REFUSALS, (code, details, frames)
    return "streams refused"
