"""An event that also rings at a time."""

import asyncio


class Alarm:
    """Wakes one task on its loop, by a call or at a time, whichever comes first."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the task; when it does not wait yet, its next wait ends at once."""
        self._event.set()

    async def wait_until(self, at: float) -> None:
        """Wait for the next ring, at most until a time of the loop's clock; infinity for no such time."""
        timer = None
        if at != float("inf"):
            timer = asyncio.get_running_loop().call_at(at, self._event.set)
        try:
            await self._event.wait()
        finally:
            self._event.clear()
            if timer is not None:
                timer.cancel()
