"""What one event can change: its run, and the stage and job that it names."""

from typing import NamedTuple

from stageline_engine.errors import InvariantError
from stageline_engine.model.job import JobRow
from stageline_engine.model.run import RunRow
from stageline_engine.model.stage import StageRow


class Focus(NamedTuple):
    """The rows before or after one event. ``stage`` and ``job`` are None where they do not exist (any more)."""

    run: RunRow | None
    stage: StageRow | None = None
    job: JobRow | None = None

    def existing_run(self) -> RunRow:
        """The run, which the event presupposes.

        Raises:
            InvariantError: There is none.
        """
        if self.run is None:
            raise InvariantError("an event needs a run that does not exist")
        return self.run

    def existing_stage(self) -> StageRow:
        """The stage, which the event presupposes.

        Raises:
            InvariantError: There is none.
        """
        if self.stage is None:
            raise InvariantError("an event needs a stage that does not exist")
        return self.stage

    def existing_job(self) -> JobRow:
        """The job, which the event presupposes.

        Raises:
            InvariantError: There is none.
        """
        if self.job is None:
            raise InvariantError("an event needs a job that does not exist")
        return self.job
