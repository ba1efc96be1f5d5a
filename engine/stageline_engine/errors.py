"""Exceptions of the engine: a dependency failed, or the engine itself is wrong. Refused commands are not among them.

EngineError
├── StorageUnavailableError   the database or the blob store cannot be reached; try again later
├── BlobNotFoundError         no stored bytes of this key; do not retry
├── ConcurrentChangeError     a row was not as it had been read; nothing was written, the batch may be tried again
├── BatchSizeError            more commands in one batch than one transaction takes, or none; nothing was done
└── InvariantError            a bug: the state contradicts itself; nothing was written
"""


class EngineError(Exception):
    """Base of the engine's exceptions."""


class StorageUnavailableError(EngineError):
    """The database, or the blob store, cannot be reached or has gone away. Nothing of the call was committed, or its fate is unknown."""


class BlobNotFoundError(EngineError):
    """The blob store has nothing of this key.

    Attributes:
        key: The key.
    """

    def __init__(self, key: str) -> None:
        """Names the key."""
        super().__init__(f"no stored bytes of key {key!r}")
        self.key = key


class ConcurrentChangeError(EngineError):
    """A guarded write found a row changed since it was read. The transaction was rolled back and can be tried again."""


class BatchSizeError(EngineError):
    """A batch is empty or too large for one transaction.

    Attributes:
        count: How many commands it has.
        limit: How many it may have.
    """

    def __init__(self, count: int, limit: int) -> None:
        """Names the limit and the size."""
        super().__init__(f"a batch takes 1 to {limit} commands (COMMANDS_PER_BATCH_MAX), not {count}")
        self.count = count
        self.limit = limit


class InvariantError(EngineError):
    """The state contradicts itself, or an event met a state that it cannot follow. This is a bug, never a user's fault."""
