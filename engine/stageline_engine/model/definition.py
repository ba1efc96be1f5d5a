"""A workflow definition: a named, versioned, immutable pipeline of groups of stages."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property


class StageMode(StrEnum):
    """SYNC stages run and answer; ASYNC_BATCH stages may suspend and are checked later."""

    SYNC = "SYNC"
    ASYNC_BATCH = "ASYNC_BATCH"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When and how often a failed stage is tried again.

    Attributes:
        max_attempts: Tries in all; 1 means no retry.
        initial_backoff: Wait before the second attempt.
        max_backoff: The longest wait between two attempts.
        backoff_factor: How much each wait grows over the one before.
        jitter: Share of the wait, 0 to 1, that is drawn at random, so that many failures do not come back at once.
        non_retryable_error_types: Names of error types that are final at once.
    """

    max_attempts: int = 3
    initial_backoff: timedelta = timedelta(seconds=2)
    max_backoff: timedelta = timedelta(minutes=5)
    backoff_factor: float = 2.0
    jitter: float = 0.1
    non_retryable_error_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageTimeouts:
    """Limits of time; None means no limit.

    Attributes:
        schedule_to_start: From ready to leased.
        start_to_close: From leased to reported.
        heartbeat: Between two signs of life of this job.
    """

    schedule_to_start: timedelta | None = None
    start_to_close: timedelta | None = None
    heartbeat: timedelta | None = None


@dataclass(frozen=True, slots=True)
class StageDefinition:
    """One stage. Schemas and defaults are JSON texts (JSON Schema 2020-12); an empty text means "anything".

    Its jobs are given only to workers that have all of ``required_labels``, each with that very value.
    """

    id: str
    name: str = ""
    description: str = ""
    mode: StageMode = StageMode.SYNC
    input_schema: str = ""
    output_schema: str = ""
    config_schema: str = ""
    default_config: str = "{}"
    accepts_any_input: bool = False
    dependencies: tuple[str, ...] = ()
    retry: RetryPolicy = RetryPolicy()
    timeouts: StageTimeouts = StageTimeouts()
    required_labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class WorkflowDefinition:
    """A pipeline. Groups and stage numbers are 1-based; ``groups[0]`` is group 1.

    A run that has not ended ``run_timeout`` after its start fails; None means no limit.
    """

    name: str
    groups: tuple[tuple[StageDefinition, ...], ...]
    title: str = ""
    description: str = ""
    input_schema: str = ""
    output_schema: str = ""
    run_timeout: timedelta | None = None

    @cached_property
    def stages(self) -> tuple["StageDefinition", ...]:
        """All stages in definition order: stage number n is ``stages[n - 1]``."""
        return tuple(stage for group in self.groups for stage in group)

    @cached_property
    def stage_ids(self) -> tuple[str, ...]:
        """Their ids: that of stage number n is ``stage_ids[n - 1]``."""
        return tuple(stage.id for stage in self.stages)

    @cached_property
    def first_numbers(self) -> tuple[int, ...]:
        """The stage number with which each group begins."""
        numbers = [1]
        for group in self.groups:
            numbers.append(numbers[-1] + len(group))
        return tuple(numbers[:-1])

    @cached_property
    def number_by_id(self) -> dict[str, int]:
        """Stage number by stage id."""
        return {stage.id: number for number, stage in enumerate(self.stages, 1)}

    def numbers_of_group(self, group: int) -> range:
        """Stage numbers of a 1-based group."""
        first = self.first_numbers[group - 1]
        return range(first, first + len(self.groups[group - 1]))

    def groups_by_number(self) -> Iterator[tuple[int, int]]:
        """Yields (stage number, group number) in definition order."""
        for group in range(1, len(self.groups) + 1):
            for number in self.numbers_of_group(group):
                yield number, group


@dataclass(frozen=True)
class RegisteredWorkflow:
    """One stored version of a definition.

    Attributes:
        namespace: The tenant.
        version: 1 for the first, one more for each changed definition of that name.
        digest: SHA-256 over the canonical JSON of the definition, in hex.
        definition: The definition itself.
        created_at: When this version was first registered.
        route_ids: For each stage number n, ``route_ids[n - 1]``: the key by which its jobs are routed.
    """

    namespace: str
    version: int
    digest: str
    definition: WorkflowDefinition
    created_at: datetime
    route_ids: tuple[int, ...]
