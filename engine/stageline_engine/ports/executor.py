"""Where stages run, when they run in this process."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stageline_engine.commands import JobOffer, Outcome


class JobVoice(Protocol):
    """What a stage may say and ask while it runs. Nothing of it counts once its lease is lost."""

    async def log(self, level: str, message: str, metadata: Mapping[str, Any] = ...) -> None:
        """Keeps a log line: DEBUG, INFO, WARNING or ERROR."""
        ...

    async def progress(self, fraction: float | None, message: str = "") -> None:
        """Tells watchers how far it is, from 0 to 1; also its sign of life."""
        ...

    async def fetch_outputs(self, stage_ids: Sequence[str]) -> Mapping[str, str]:
        """Returns outputs of earlier stages, JSON text by id; those that have none are left out."""
        ...


class StageExecutor(Protocol):
    """Runs a stage, or checks a suspended one, outside any transaction."""

    async def execute(self, offer: JobOffer, voice: JobVoice) -> Outcome:
        """Runs a leased job to its end.

        A stage that fails is an outcome, ``Failed``. What is raised is a fault of the executor, not of the stage: the job is
        handed back, at no attempt's cost. When the lease is lost this is cancelled, and what it would return is discarded.
        """
        ...
