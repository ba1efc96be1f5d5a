"""DBOS Transact as a library, in the process that calls it, on the benchmark's PostgreSQL. Nothing crosses a network.

Three threads: more lose to the interpreter's lock, and its queues are slower than calls.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, DBOSConfig

from benchmarks.peers.measuring import PAYLOAD, measure, options

THREADS = 3


@DBOS.step()
def step(payload: dict[str, str]) -> dict[str, str]:
    """Does nothing."""
    return payload


@DBOS.workflow()
def line(stages: int, payload: dict[str, str]) -> dict[str, str]:
    """Stages in a row."""
    for _ in range(stages):
        payload = step(payload)
    return payload


@DBOS.step()
async def side_step(payload: dict[str, str]) -> dict[str, str]:
    """Does nothing."""
    return payload


@DBOS.workflow()
async def wide(stages: int, payload: dict[str, str]) -> dict[str, str]:
    """Stages side by side, and one that follows them."""
    await asyncio.gather(*(side_step(payload) for _ in range(stages)))
    return await side_step(payload)


async def main() -> None:
    """Starts all, measures, and ends all."""
    config = DBOSConfig(
        name="bench", system_database_url=os.environ["DATABASE_URL"], log_level="WARNING", enable_otlp=False
    )
    DBOS(config=config)
    DBOS.launch()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(THREADS) as pool:
        await measure(
            options(),
            lambda stages: loop.run_in_executor(pool, line, stages, PAYLOAD),
            lambda stages: wide(stages, PAYLOAD),
            in_flight=THREADS,
        )
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
