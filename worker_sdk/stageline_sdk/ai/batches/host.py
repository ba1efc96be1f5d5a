"""What a batch has to work with: what was asked for, and the stage that it is made in."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from stageline_sdk.ai._runtime import AiRuntime
from stageline_sdk.ai.batches.output import OutputType
from stageline_sdk.ai.models import AiModel
from stageline_sdk.ai.records import UsageRecord
from stageline_sdk.submissions import Submission


class SubmitOnce(Protocol):
    """Submits something once, whatever crashes: `ctx.submit_once`."""

    def __call__(
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
        model: The model, as the registry has it.
        output: What each answer must look like.
        settings: Settings of every request, such as `temperature`; names are pydantic-ai's.
        requests_max: Items of one of the provider's batches at most; None for the provider's own limit.
        look_again_after: When a provider that does not have what a crash left in doubt is asked once more.
    """

    model: AiModel
    output: OutputType[Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    requests_max: int | None = None
    look_again_after: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHost:
    """What a batch has of the stage that it is made in.

    Attributes:
        topic: What its records are filed under.
        run_id: The run.
        record: Takes the records.
        submit_once: Submits once.
        submissions: Returns all that this generation of the stage has submitted.
        runtime: Has the clients of the providers.
    """

    topic: str
    run_id: str
    record: Callable[[UsageRecord], None]
    submit_once: SubmitOnce
    submissions: Callable[[], tuple[Submission, ...]]
    runtime: AiRuntime
