"""The executors that ship: callables of this process, and routes to other executors.

The third kind, workers elsewhere, is no executor: they lease from the server, by a stream or by calls (``docs/executors.md``).
"""

import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from stageline_engine.commands import Failed, JobOffer, Outcome
from stageline_engine.events import StageError
from stageline_engine.ports import JobVoice, StageExecutor

T = TypeVar("T")

StageFunction = Callable[[JobOffer, JobVoice], Awaitable[Outcome]]

StageName = tuple[str, str]
"""A workflow and a stage of it; an empty stage means all of the workflow."""


class UnknownStageError(LookupError):
    """No executor has the stage of a job."""


class LocalExecutor:
    """Runs stages as functions of this process. What a function raises is a failure of its stage, tried again by policy."""

    def __init__(self, functions: Mapping[StageName, StageFunction]) -> None:
        """Takes the functions by workflow and stage."""
        self._functions = dict(functions)

    async def execute(self, offer: JobOffer, voice: JobVoice) -> Outcome:
        """Calls the function of the stage.

        Raises:
            UnknownStageError: There is none.
        """
        function = _find(self._functions, offer)
        try:
            return await function(offer, voice)
        except Exception as error:  # noqa: BLE001 - whatever a stage raises is the outcome of its attempt
            stack = "".join(traceback.format_exception(error))
            return Failed(StageError(type(error).__qualname__, str(error), stack))


class RoutingExecutor:
    """Gives each job to the executor of its stage."""

    def __init__(
        self, routes: Mapping[StageName, StageExecutor], default: StageExecutor | None = None
    ) -> None:
        """Takes the executors by workflow and stage, and the one for all others."""
        self._routes = dict(routes)
        self._default = default

    async def execute(self, offer: JobOffer, voice: JobVoice) -> Outcome:
        """Has the job run where it belongs.

        Raises:
            UnknownStageError: It belongs nowhere.
        """
        try:
            chosen = _find(self._routes, offer)
        except UnknownStageError:
            if self._default is None:
                raise
            chosen = self._default
        return await chosen.execute(offer, voice)


def _find(known: Mapping[StageName, T], offer: JobOffer) -> T:
    for name in ((offer.workflow_name, offer.stage_id), (offer.workflow_name, "")):
        if name in known:
            return known[name]
    raise UnknownStageError(f"no executor has stage {offer.stage_id!r} of workflow {offer.workflow_name!r}")
