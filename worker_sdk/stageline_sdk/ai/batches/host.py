"""What a batch has to work with: what was asked for, and the stage that it is made in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from stageline_sdk.ai._scope import AiScope
from stageline_sdk.ai.batches.options import BatchOptions
from stageline_sdk.ai.batches.output import OutputType
from stageline_sdk.ai.models import AiModel
from stageline_sdk.ai.records import UsageRecord
from stageline_sdk.submissions import Submission

LOOK_AGAIN_AFTER_DEFAULT = timedelta(seconds=5)


class StageSubmissions(Protocol):
    """Submits something once, whatever crashes: a stage's context."""

    @property
    def run_id(self) -> str:
        """The run."""
        ...

    @property
    def submissions(self) -> tuple[Submission, ...]:
        """All that this generation of the stage has submitted."""
        ...

    def submit_once(
        self,
        name: str,
        submit: Callable[[str], Awaitable[str]],
        look_up: Callable[[str], Awaitable[str | None]] | None = None,
        *,
        refusals: tuple[type[Exception], ...] = (),
    ) -> Awaitable[str]:
        """Return the reference of what is submitted under a name, by this attempt or one before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTerms:
    """What is asked for.

    Attributes:
        name: What the batch is called in its stage.
        model: The model, as the registry has it.
        output: What each answer must look like.
        options: As they were given.
        topic: What the records are filed under.
    """

    name: str
    model: AiModel
    output: OutputType[Any]
    topic: str
    options: BatchOptions = field(default_factory=BatchOptions)

    @property
    def look_again_after(self) -> timedelta:
        """When a provider is asked once more for what a crash left in doubt."""
        return self.options.get("look_again_after", LOOK_AGAIN_AFTER_DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHost:
    """What a batch has of the stage that it is made in.

    Attributes:
        scope: What the AI calls of the attempt share.
        stage: Submits once.
        record: Takes the records.
    """

    scope: AiScope
    stage: StageSubmissions
    record: Callable[[UsageRecord], None]
