"""Log lines are stored in order, and one that cannot be holds up no other."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from stageline_engine.errors import InvariantError, StorageUnavailableError
from stageline_engine.ports import LogLine
from stageline_engine.testing.clock import EPOCH
from stageline_server.dispatch.log_writer import WAITING_LINES_MAX, LogWriter

RUN = uuid4()


def lines(*messages: str) -> list[LogLine]:
    return [LogLine(RUN, 1, 1, "INFO", message, {}, EPOCH) for message in messages]


class Store:
    """Stores messages; refuses what the test says, and is away as often as it says."""

    def __init__(
        self, bad: frozenset[str] = frozenset(), error: type[Exception] = ValueError, outages: int = 0
    ) -> None:
        self.stored: list[str] = []
        self.bad = bad
        self.error = error
        self.outages = outages

    async def append(self, given: Sequence[LogLine]) -> None:
        await asyncio.sleep(0)
        if self.outages:
            self.outages -= 1
            raise StorageUnavailableError("away")
        if any(line.message in self.bad for line in given):
            raise self.error("cannot be stored")
        self.stored += [line.message for line in given]

    async def list(
        self, namespace: str, run_id: UUID, *, after_id: int = 0, stage_number: int = 0, limit: int
    ) -> Sequence[LogLine]:
        return []


async def written(store: Store, *batches: list[LogLine]) -> list[str]:
    writer = LogWriter(store)
    for batch in batches:
        writer.add(batch)
    writer.start()
    await asyncio.wait_for(writer.flushed(), 20)
    await writer.stop()
    return store.stored


async def test_lines_are_stored_in_order() -> None:
    messages = [str(number) for number in range(5000)]
    assert await written(Store(), lines(*messages[:9]), lines(*messages[9:])) == messages


@pytest.mark.parametrize("error", [ValueError, InvariantError])
async def test_a_line_that_cannot_be_stored_is_dropped_alone(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    messages = [str(number) for number in range(100)]
    bad = frozenset({"0", "41", "42", "99"})
    assert await written(Store(bad, error), lines(*messages)) == [
        each for each in messages if each not in bad
    ]
    assert caplog.text.count("is dropped") == 4


async def test_lines_outlive_an_outage() -> None:
    assert await written(Store(outages=1), lines("a", "b")) == ["a", "b"]


async def test_what_is_too_much_is_dropped_and_told(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    stored = await written(store, lines(*["x"] * WAITING_LINES_MAX), lines("y", "z"))
    assert stored == ["x"] * WAITING_LINES_MAX
    assert "2 log lines of stages were dropped" in caplog.text
