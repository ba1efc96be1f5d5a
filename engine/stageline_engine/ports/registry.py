"""Stored workflow definitions: immutable, versioned per name."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from stageline_engine.model.definition import RegisteredWorkflow, WorkflowDefinition


class WorkflowRegistry(Protocol):
    """Definitions by namespace, name and version.

    Atomic: a definition is stored with its routes or not at all; a version never changes once it is stored. Any method may raise ``StorageUnavailableError`` where the database is away.
    """

    async def register(
        self, namespace: str, definition: WorkflowDefinition, digest: str, now: datetime
    ) -> RegisteredWorkflow:
        """Stores a definition, or finds it: the same digest under the same name is the same version. Atomic.

        Args:
            namespace: The tenant.
            definition: A definition that has been checked.
            digest: SHA-256 over its canonical JSON, in hex.
            now: Kept as the version's creation time.
        """
        ...

    async def get(self, namespace: str, name: str, version: int = 0) -> RegisteredWorkflow | None:
        """Returns a version (0: the newest), or None where there is none, or what is stored of it cannot be read."""
        ...

    async def list(self, namespace: str, *, after_name: str = "", limit: int) -> Sequence[RegisteredWorkflow]:
        """Returns the newest version of each workflow, by name, after ``after_name``; what cannot be read is left out."""
        ...
