"""What a handler works with: one transaction, its workspace, and the sources of time, ids and chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from stageline_engine.decide.repair import give_up
from stageline_engine.model.definition import RegisteredWorkflow, WorkflowDefinition
from stageline_engine.model.run import RunRow, RunState
from stageline_engine.ports import ALL_STAGES, IdSource, LoadedRun, Selection, UnitOfWork, WorkflowRegistry
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

    async def take(self, loaded: LoadedRun) -> str:
        """Takes a locked run into the workspace.

        A running one whose definition cannot be had is ended there and then, by whoever meets it: it can never go on, must not
        hurt the rest of the batch, and would be met for ever. After that it has no open stage and no job. Whatever needs
        the definition of such a run finds one without stages.

        Returns:
            Why the run cannot go on; empty where it can.
        """
        run = loaded.run
        workflow = await self.registry.get(run.namespace, run.workflow_name, run.workflow_version)
        if workflow is not None and _has_stages(workflow, loaded):
            self.space.add(run.id, RunRecords(run, workflow, loaded.stages, loaded.jobs))
            return ""
        if run.state is RunState.RUNNING:
            [loaded] = await self.work.load_runs({run.id: ALL_STAGES})
        self.space.add(run.id, RunRecords(run, _without_stages(run), loaded.stages, loaded.jobs))
        lack = "has not its stages" if workflow else "is not stored, or cannot be read"
        fault = f"its definition, version {run.workflow_version} of {run.workflow_name}, {lack}"
        if run.state is RunState.RUNNING:
            self.space.apply_all(run.id, give_up(self.space.runs[run.id].view(), fault))
        return fault


def _has_stages(workflow: RegisteredWorkflow, loaded: LoadedRun) -> bool:
    """Whether the stages of a run are those of a definition, as far as they were read."""
    known = workflow.definition.stages
    return all(
        stage.number <= len(known) and known[stage.number - 1].id == stage.stage_id for stage in loaded.stages
    )


def _without_stages(run: RunRow) -> RegisteredWorkflow:
    definition = WorkflowDefinition(run.workflow_name, ())
    return RegisteredWorkflow(run.namespace, run.workflow_version, "", definition, run.created_at, ())
