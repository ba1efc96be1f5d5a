"""Starts a run for each document and waits for all of them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from examples.document_processor import DocumentInput, Report, document_processor
from stageline_sdk import ApiError, Client, Event, RunResult

# Runs under way at a time: enough to keep a worker busy, not so many that the first ones wait for the last.
RUNS_MAX = 32


@dataclass(frozen=True)
class Outcome:
    """What became of one document.

    Attributes:
        url: The document.
        report: What was found out; None if the run failed.
        stages_done: Stages that completed.
        stages_total: Stages of the workflow.
        duration: From the run's creation to its end.
        reason: Why it failed; empty if it did not.
    """

    url: str
    report: Report | None
    stages_done: int
    stages_total: int
    duration: timedelta
    reason: str = ""


@dataclass(frozen=True)
class Batch:
    """What became of all documents, in the order that they were given.

    Attributes:
        outcomes: One each.
        duration: From the first run's start to the last one's end.
    """

    outcomes: Sequence[Outcome]
    duration: timedelta

    @property
    def failed_count(self) -> int:
        """Runs without a report."""
        return sum(outcome.report is None for outcome in self.outcomes)

    @property
    def stages_done(self) -> int:
        """Stages that completed, in all runs."""
        return sum(outcome.stages_done for outcome in self.outcomes)


async def process_all(
    client: Client,
    urls: Sequence[str],
    *,
    on_event: Callable[[Event], None],
    on_outcome: Callable[[Outcome], None],
    runs_max: int = RUNS_MAX,
) -> Batch:
    """Processes documents, several at a time; one that fails does not hurt the others.

    Args:
        client: Of the server.
        urls: The documents.
        on_event: Told each event of each run.
        on_outcome: Told each outcome as it comes.
        runs_max: Runs under way at a time.
    """
    # The version that this code defines: an older worker may have registered another one in the same data folder.
    registered = await client.register_workflow(document_processor)
    places = asyncio.Semaphore(runs_max)

    async def process(url: str) -> Outcome:
        async with places:
            try:
                result = await client.run_and_wait(
                    document_processor, DocumentInput(url=url), version=registered.version, on_event=on_event
                )
                outcome = outcome_of(url, result)
            except ApiError as error:
                outcome = Outcome(url, None, 0, len(registered.stages), timedelta(0), str(error))
        on_outcome(outcome)
        return outcome

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(process(url)) for url in urls]
    return Batch([task.result() for task in tasks], timedelta(seconds=time.monotonic() - began))


def outcome_of(url: str, result: RunResult) -> Outcome:
    """Reads a run's result."""
    done = sum(stage.status == "COMPLETED" for stage in result.stages)
    reason = result.error.message if result.error else f"the run is {result.status.lower()}"
    report = result.output_as(Report) if result.is_completed else None
    return Outcome(url, report, done, len(result.stages), result.duration, "" if report else reason)
