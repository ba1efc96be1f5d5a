"""Stored workflow definitions."""

from collections.abc import Sequence
from datetime import datetime

from stageline_engine.adapters.memory.state import MemoryState
from stageline_engine.model.definition import RegisteredWorkflow, WorkflowDefinition


class MemoryWorkflowRegistry:
    """The WorkflowRegistry port. See there for what each method promises."""

    def __init__(self, state: MemoryState) -> None:
        """Takes the state to keep definitions in."""
        self._state = state

    async def register(
        self, namespace: str, definition: WorkflowDefinition, digest: str, now: datetime
    ) -> RegisteredWorkflow:
        """Stores a definition, or finds it by its digest."""
        versions = self._state.workflows.setdefault((namespace, definition.name), [])
        for known in versions:
            if known.digest == digest:
                return known
        first = self._state.routes_count + 1
        self._state.routes_count += len(definition.stages)
        routes = tuple(range(first, self._state.routes_count + 1))
        registered = RegisteredWorkflow(namespace, len(versions) + 1, digest, definition, now, routes)
        versions.append(registered)
        return registered

    async def get(self, namespace: str, name: str, version: int = 0) -> RegisteredWorkflow | None:
        """Returns a version (0: the newest), or None where there is none."""
        versions = self._state.workflows.get((namespace, name), [])
        if not 0 <= version <= len(versions) or not versions:
            return None
        return versions[version - 1]

    async def list(self, namespace: str, *, after_name: str = "", limit: int) -> Sequence[RegisteredWorkflow]:
        """Returns the newest version of each workflow, by name."""
        newest = [
            versions[-1]
            for (owner, name), versions in sorted(self._state.workflows.items())
            if owner == namespace and name > after_name
        ]
        return newest[:limit]
