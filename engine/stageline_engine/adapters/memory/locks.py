"""Row locks of transactions: to be waited for, or to be passed over where another holds them."""

import asyncio
from collections.abc import Hashable


class LockTable:
    """Exclusive locks by key. An owner may take a lock again that it has."""

    def __init__(self) -> None:
        """Starts with everything free."""
        self._owners: dict[Hashable, object] = {}
        self._releases: dict[Hashable, asyncio.Event] = {}

    def try_acquire(self, key: Hashable, owner: object) -> bool:
        """Takes a lock if it is free. False where another owner has it."""
        return self._owners.setdefault(key, owner) is owner

    async def acquire(self, key: Hashable, owner: object) -> None:
        """Takes a lock, waiting for whoever has it."""
        while not self.try_acquire(key, owner):
            await self._releases.setdefault(key, asyncio.Event()).wait()

    def release(self, key: Hashable, owner: object) -> None:
        """Gives a lock back, if the owner has it, and wakes all who wait for it; the first of them gets it."""
        if self._owners.get(key) is not owner:
            return
        del self._owners[key]
        released = self._releases.pop(key, None)
        if released is not None:
            released.set()
