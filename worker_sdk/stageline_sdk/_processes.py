"""Processes for stages that keep a CPU busy.

A process is started with the first such stage, imports the stage's module, and is used again. Records and the outcome
come back through a pipe. A stage that does not stop when cancelled is stopped by ending its process: that is why this is
not `ProcessPoolExecutor`, where one ended process breaks the pool and fails the other stages in it.
"""

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from stageline_sdk._failures import final_failure
from stageline_sdk._job import (
    AnnotationRecord,
    Cancelled,
    ContextSink,
    Job,
    LogRecord,
    Outcome,
    ProgressUpdate,
    StageFailure,
)
from stageline_sdk._limits import PROCESS_CANCEL_GRACE
from stageline_sdk._process_child import CancelChild, Fetch, Fetched, NotFetched, Run, serve
from stageline_sdk._storage_requests import StorageRequest
from stageline_sdk.ai.records import UsageRecord
from stageline_sdk.ai.registry import ModelRegistry
from stageline_sdk.cancellation import CancelSignal
from stageline_sdk.stage import Stage
from stageline_sdk.submissions import Submission

_CLOSE_SECONDS = 2.0


@dataclass(eq=False, slots=True)
class _Child:
    """A process and the pipe to it. Two threads may send: the one that converses, and the one that cancels."""

    process: SpawnProcess
    pipe: "Connection[Any, Any]"
    lock: threading.Lock

    def send(self, message: object) -> None:
        with self.lock, contextlib.suppress(OSError):  # A dead child is found out when reading.
            self.pipe.send(message)

    def end(self) -> None:
        with self.lock:
            self.pipe.close()
        self.process.join(_CLOSE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class StageProcesses:
    """Runs stages in processes of their own, one stage at a time in each."""

    def __init__(self, models: ModelRegistry | None = None) -> None:
        """Prepare; no process is started.

        Args:
            models: The models that AI calls can name; each process gets a copy.
        """
        self._models = models
        self._fault = _pickling_fault(models)
        # Spawn: a fork of a process with threads and gRPC channels may deadlock.
        self._context = multiprocessing.get_context("spawn")
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._closed = False

    def run(
        self, stage: Stage[Any, Any, Any], job: Job, sink: ContextSink, cancelled: CancelSignal
    ) -> Outcome:
        """Run one attempt of a stage in a process, and block this thread until it has ended."""
        if self._fault:
            return final_failure(
                "INTERNAL",
                "stageline_sdk.errors.DefinitionError",
                f"the worker's models cannot be given to the process of stage {stage.id!r}: the resolvers of a "
                f"ModelRegistry must be functions of a module then ({self._fault})",
            )
        child = self._take()
        unsubscribe = cancelled.subscribe(lambda: self._cancel(child, cancelled.reason))
        try:
            function = stage.function
            child.send(Run(function.__module__, function.__qualname__, stage.id, job, self._models))
            outcome = _converse(child, sink)
        except (EOFError, OSError):
            child.process.join()
            if self._closed:
                return Cancelled("the worker stops")
            outcome = _outcome_of_death(stage.id, child.process.exitcode, cancelled)
        finally:
            unsubscribe()
            self._give_back(child, cancelled)
        return outcome

    def close(self) -> None:
        """End all processes, also those that are busy."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for child in busy:  # Whoever waits for it finds the pipe ended, and closes it.
            child.process.kill()
        for child in idle:
            child.end()

    def _take(self) -> _Child:
        with self._lock:
            if self._closed:
                raise RuntimeError("the processes of this worker are closed")
            child = self._idle.pop() if self._idle else self._start()
            self._busy.add(child)
            return child

    def _start(self) -> _Child:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs,), name="stageline-stage", daemon=True)
        process.start()
        theirs.close()  # So that the pipe ends here when the child does.
        return _Child(process, ours, threading.Lock())

    def _give_back(self, child: _Child, cancelled: CancelSignal) -> None:
        """Keep the process for the next stage, unless it is dead or is about to be ended."""
        with self._lock:
            self._busy.discard(child)
            keep = not self._closed and not cancelled.is_set() and child.process.is_alive()
            if keep:
                self._idle.append(child)
        if not keep:
            child.end()

    def _cancel(self, child: _Child, reason: str) -> None:
        child.send(CancelChild(reason))
        timer = threading.Timer(PROCESS_CANCEL_GRACE.total_seconds(), child.process.kill)
        timer.daemon = True
        timer.start()


def _pickling_fault(models: ModelRegistry | None) -> str:
    """Say why a registry cannot be sent to a process; empty where it can."""
    if models is None:
        return ""
    try:
        ForkingPickler.dumps(models)
    except Exception as error:  # noqa: BLE001 - a user's resolver may raise anything while it is pickled
        return f"{type(error).__name__}: {error}"
    return ""


def _converse(child: _Child, sink: ContextSink) -> Outcome:
    """Pass on what the stage says until it has an outcome."""
    while True:
        message = child.pipe.recv()
        if isinstance(message, LogRecord):
            sink.log(message)
        elif isinstance(message, ProgressUpdate):
            sink.progress(message)
        elif isinstance(message, AnnotationRecord):
            sink.annotate(message)
        elif isinstance(message, UsageRecord):
            sink.record_usage(message)
        elif isinstance(message, Fetch):
            child.send(_answer(partial(sink.fetch_output, message.stage_id)))
        elif isinstance(message, StorageRequest):
            child.send(_answer(partial(sink.store, message)))
        elif isinstance(message, Submission):
            child.send(_answer(partial(sink.submit, message)))
        else:
            outcome: Outcome = message
            return outcome


def _answer(ask: Callable[[], Any]) -> Fetched | NotFetched:
    try:
        return Fetched(ask())
    except Exception as error:  # noqa: BLE001 - it is raised again where the stage asked
        retryable = bool(getattr(error, "retryable", True))
        return NotFetched(str(error), retryable=retryable, reason=getattr(error, "reason", ""))


def _outcome_of_death(stage_id: str, exit_code: int | None, cancelled: CancelSignal) -> Outcome:
    if cancelled.is_set():
        return Cancelled(cancelled.reason)
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        how = f"was killed by {name}" + (" (is the machine out of memory?)" if name == "SIGKILL" else "")
    else:
        how = f"ended with exit code {exit_code}"
    return StageFailure("APPLICATION", "ProcessDiedError", f"the process of stage {stage_id!r} {how}")
