"""Runs stages for a worker: on its loop, in threads, in processes. The same for all of them: a job in, an outcome out."""

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

from stageline_sdk._attempt import AnyStage, await_guarded, close_call, open_call, run_blocking
from stageline_sdk._failures import outcome_of_error
from stageline_sdk._job import Cancelled, ContextSink, Job, Outcome, StageFailure
from stageline_sdk._processes import StageProcesses
from stageline_sdk._threads import DaemonThreads
from stageline_sdk.ai._runtime import AiRuntime
from stageline_sdk.ai.registry import ModelRegistry
from stageline_sdk.cancellation import CancelSource


class StageRunner:
    """Runs stages, and owns the threads and processes that they run in.

    Example:
        async with StageRunner() as runner:
            outcome = await runner.run(stage, job, sink, cancel)
    """

    def __init__(self, models: ModelRegistry | None = None) -> None:
        """Make a runner.

        Args:
            models: The models that AI calls can name. Default: well-known ones.
        """
        self._threads = DaemonThreads("stageline-stage")
        self._processes = StageProcesses(models)
        self._ai = AiRuntime(models)

    async def __aenter__(self) -> "StageRunner":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.close()
        await self._ai.close()

    def close(self) -> None:
        """End the processes now, and each thread once its stage returns."""
        self._processes.close()
        self._threads.close()

    async def run(
        self, stage: AnyStage, job: Job, sink: ContextSink, cancel: CancelSource | None = None
    ) -> Outcome:
        """Run one attempt of a stage, or one check of a suspended one (by the job's kind).

        Input and config are parsed with the stage's types and the output is checked against its own: what they refuse
        is a final failure. Outputs of declared dependencies that did not come with the job are fetched first.

        Args:
            stage: The stage.
            job: What to run it with.
            sink: Where what it says goes. Called from the thread or loop that the stage runs in.
            cancel: Set it, from any thread, to stop the stage: an `async def` is cancelled at its next `await`, a `def`
                finds `ctx.cancelled` set, a process is ended if it does not stop within five seconds. The outcome
                is still returned, once the stage has stopped.

        Raises:
            asyncio.CancelledError: The task that runs this was cancelled. The stage was told to stop; an `async def`
                has stopped.
        """
        cancel = cancel or CancelSource()
        try:
            job = await self._with_dependencies(stage, job, sink)
        except Exception as error:  # noqa: BLE001 - the sink says what kind of failure it is
            return outcome_of_error(error, cancel)
        function = stage.check_function if job.kind == "CHECK" else stage.function
        if inspect.iscoroutinefunction(function):
            return await _run_on_loop(stage, job, sink, cancel, self._ai)
        blocking: Callable[[], Outcome]
        if stage.executor == "process" and job.kind == "EXECUTE":
            blocking = partial(self._processes.run, stage, job, sink, cancel)
        else:
            blocking = partial(
                contextvars.copy_context().run, run_blocking, stage, job, sink, cancel, self._ai
            )
        return await self._run_in_thread(blocking, cancel)

    async def _with_dependencies(self, stage: AnyStage, job: Job, sink: ContextSink) -> Job:
        needed = [
            each for each in stage.dependencies if each in job.stored_outputs and each not in job.outputs
        ]
        if not needed:
            return job
        futures = [self._threads.submit(partial(sink.fetch_output, stage_id)) for stage_id in needed]
        fetched = await asyncio.gather(*map(asyncio.wrap_future, futures))
        return replace(job, outputs={**job.outputs, **dict(zip(needed, fetched, strict=True))})

    async def _run_in_thread(self, function: Callable[[], Outcome], cancel: CancelSource) -> Outcome:
        try:
            return await asyncio.wrap_future(self._threads.submit(function))
        except asyncio.CancelledError:
            cancel.cancel("the worker stops")
            raise


async def _run_on_loop(
    stage: AnyStage, job: Job, sink: ContextSink, cancel: CancelSource, ai: AiRuntime
) -> Outcome:
    try:
        call = open_call(stage, job, sink, cancel, ai)
    except Exception as error:  # noqa: BLE001 - a validator of the user's model raised it
        return outcome_of_error(error, cancel)
    if isinstance(call, StageFailure):
        return call
    task = asyncio.create_task(await_guarded(call), name=f"stage {stage.id}")
    await _wait_or_cancel(task, cancel)
    if task.cancelled():
        if cancel.is_set():
            return Cancelled(cancel.reason)
        return outcome_of_error(asyncio.CancelledError("the stage cancelled itself"), cancel)
    try:
        return close_call(stage, job, call, task.result())
    except Exception as error:  # noqa: BLE001 - whatever a stage raises is the attempt's outcome
        return outcome_of_error(error, cancel)


async def _wait_or_cancel(task: "asyncio.Task[Any]", cancel: CancelSource) -> None:
    """Wait until the task has ended; cancel it when the signal is set, or when this wait is cancelled itself."""
    loop = asyncio.get_running_loop()
    unsubscribe = cancel.subscribe(lambda: loop.call_soon_threadsafe(task.cancel))
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        cancel.cancel("the worker stops")
        await asyncio.wait({task})
        raise
    finally:
        unsubscribe()
