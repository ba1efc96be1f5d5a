"""What a decider may read: one run as it is in the middle of a batch."""

from collections.abc import Mapping

from msgspec import Struct

from stageline_engine.model.definition import RegisteredWorkflow, StageDefinition
from stageline_engine.model.job import JobRow
from stageline_engine.model.run import RunRow
from stageline_engine.model.stage import StageRow


class RunView(Struct, frozen=True):
    """A run with as many of its stages and jobs as the command needs.

    Attributes:
        run: The run's row.
        stages: Stages by number; only those that were asked for.
        jobs: Their live jobs by stage number.
        workflow: The version that the run is pinned to.
        group_outputs: Outputs of the last group by stage number, where the batch may complete the run.
    """

    run: RunRow
    stages: Mapping[int, StageRow]
    jobs: Mapping[int, JobRow]
    workflow: RegisteredWorkflow
    group_outputs: Mapping[int, str]

    def definition_of(self, number: int) -> StageDefinition:
        """The definition of a stage by its number."""
        return self.workflow.definition.stages[number - 1]
