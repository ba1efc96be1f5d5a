"""The stages as a Restate service; `hypercorn benchmarks.peers.restate_service:app` serves it."""

from typing import Any

import restate

lines = restate.Service("lines")


async def step(payload: dict[str, str]) -> dict[str, str]:
    """Does nothing."""
    return payload


@lines.handler()
async def line(ctx: restate.Context, asked: dict[str, Any]) -> dict[str, str]:
    """Stages in a row."""
    payload: dict[str, str] = asked["payload"]
    for number in range(asked["stages"]):
        payload = await ctx.run_typed(f"step-{number}", step, payload=payload)
    return payload


@lines.handler()
async def wide(ctx: restate.Context, asked: dict[str, Any]) -> dict[str, str]:
    """Stages side by side, and one that follows them."""
    steps = [
        ctx.run_typed(f"step-{number}", step, payload=asked["payload"]) for number in range(asked["stages"])
    ]
    await restate.gather(*steps)
    return await ctx.run_typed("join", step, payload=asked["payload"])


app = restate.app([lines])
