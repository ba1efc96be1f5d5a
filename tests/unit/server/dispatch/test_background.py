"""No background task dies in silence."""

import asyncio

import pytest

from stageline_server.dispatch.background import Background


class Stumbling(Background):
    """Fails or ends the first times, and then works on."""

    def __init__(self, *stumbles: str) -> None:
        super().__init__("stumbling")
        self.stumbles = list(stumbles)
        self.works = asyncio.Event()
        self.stopped = False

    async def _run(self) -> None:
        if self.stumbles:
            if self.stumbles.pop(0) == "fails":
                raise RuntimeError("nobody foresaw this")
            return
        self.works.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped = True


@pytest.mark.parametrize("stumble", ["fails", "ends"])
async def test_it_begins_anew_and_says_so(stumble: str, caplog: pytest.LogCaptureFixture) -> None:
    part = Stumbling(stumble)
    part.start()
    await asyncio.wait_for(part.works.wait(), 20)
    assert "it begins anew" in caplog.text
    assert ("nobody foresaw this" in caplog.text) == (stumble == "fails")
    await part.stop()
    assert part.stopped


async def test_a_stop_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    part = Stumbling()
    await part.stop()
    part.start()
    await part.works.wait()
    await part.stop()
    await part.stop()
    assert not caplog.text
