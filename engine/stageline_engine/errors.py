"""Exceptions of the engine: a dependency failed, or the engine itself is wrong. Refused commands are not among them.

EngineError
├── StorageUnavailableError   the database cannot be reached; try again later
├── ConcurrentChangeError     a row was not as it had been read; nothing was written, the batch may be tried again
└── InvariantError            a bug: the state contradicts itself; nothing was written
"""


class EngineError(Exception):
    """Base of the engine's exceptions."""


class StorageUnavailableError(EngineError):
    """The database cannot be reached or has gone away. Nothing of the call was committed, or its fate is unknown."""


class ConcurrentChangeError(EngineError):
    """A guarded write found a row changed since it was read. The transaction was rolled back and can be tried again."""


class InvariantError(EngineError):
    """The state contradicts itself, or an event met a state that it cannot follow. This is a bug, never a user's fault."""
