"""What a handler works with: one transaction, its workspace, and the sources of time, ids and chance."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from stageline_engine.errors import InvariantError
from stageline_engine.ports import IdSource, LoadedRun, Selection, UnitOfWork, WorkflowRegistry
from stageline_engine.workspace import RunRecords, Workspace


@dataclass(frozen=True, slots=True)
class Batch:
    """One transaction in the making."""

    work: UnitOfWork
    space: Workspace
    registry: WorkflowRegistry
    ids: IdSource

    async def load(self, wanted: Mapping[UUID, Selection]) -> None:
        """Locks runs and takes them into the workspace; those that do not exist stay unknown there."""
        for loaded in await self.work.load_runs(wanted):
            await self.take(loaded)

    async def load_sound(self, wanted: Mapping[UUID, Selection]) -> None:
        """Locks runs and takes in those whose definition can be had: one bad run never holds up the care of others."""
        for loaded in await self.work.load_runs(wanted):
            with suppress(InvariantError):
                await self.take(loaded)

    async def take(self, loaded: LoadedRun) -> None:
        """Takes a locked run into the workspace.

        Raises:
            InvariantError: The run is pinned to a definition that is not stored.
        """
        run = loaded.run
        workflow = await self.registry.get(run.namespace, run.workflow_name, run.workflow_version)
        if workflow is None:
            raise InvariantError(
                f"run {run.id} is pinned to {run.workflow_name} version {run.workflow_version}, which is not stored"
            )
        self.space.add(run.id, RunRecords(run, workflow, loaded.stages, loaded.jobs))
