"""The other end of the pipe: what runs in a process that runs stages."""

import importlib
import os
import queue
import signal
import threading
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from stageline_sdk._attempt import run_blocking
from stageline_sdk._failures import final_failure
from stageline_sdk._job import AnnotationRecord, Job, LogRecord, Outcome, ProgressUpdate, StageFailure
from stageline_sdk._storage_requests import StorageRequest
from stageline_sdk.ai._runtime import AiRuntime
from stageline_sdk.ai.records import UsageRecord
from stageline_sdk.ai.registry import ModelRegistry
from stageline_sdk.cancellation import CancelSource
from stageline_sdk.errors import ApiError, NotFoundError
from stageline_sdk.stage import Stage
from stageline_sdk.submissions import Submission


@dataclass(frozen=True, slots=True)
class Run:
    """To the child: run this stage. It is named, not sent: a decorated function cannot be pickled."""

    module: str
    qualified_name: str
    stage_id: str
    job: Job
    models: ModelRegistry | None = None


@dataclass(frozen=True, slots=True)
class CancelChild:
    """To the child: the work is no longer wanted."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """From the child: fetch the output of an earlier stage."""

    stage_id: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """To the child: the output, as JSON text; or what a request of the storage is answered with."""

    value: Any


@dataclass(frozen=True, slots=True)
class NotFetched:
    """To the child: it could not be fetched."""

    message: str
    retryable: bool
    reason: str = ""


class PipeSink:
    """Sends what a stage says through the pipe."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._fetch_lock = threading.Lock()
        self.replies: queue.SimpleQueue[Fetched | NotFetched] = queue.SimpleQueue()

    def send(self, message: object) -> None:
        """Send a message; a stage may speak from several threads."""
        with self._lock:
            self._pipe.send(message)

    def log(self, record: LogRecord) -> None:
        """Send a log line."""
        self.send(record)

    def progress(self, update: ProgressUpdate) -> None:
        """Send a progress update."""
        self.send(update)

    def annotate(self, annotation: AnnotationRecord) -> None:
        """Send an annotation."""
        self.send(annotation)

    def record_usage(self, record: UsageRecord) -> None:
        """Send the record of an AI call."""
        self.send(record)

    def fetch_output(self, stage_id: str) -> bytes:
        """Ask for an output and wait for it.

        Raises:
            ApiError: It could not be fetched.
        """
        output: bytes = self._ask(Fetch(stage_id))
        return output

    def store(self, request: StorageRequest) -> Any:
        """Ask for something of the run's storage and wait for it.

        Raises:
            ApiError: The server refused, or cannot be reached.
        """
        return self._ask(request)

    def submit(self, submission: Submission) -> None:
        """Have put on record how far a submission is, and wait for it.

        Raises:
            ApiError: The server refused, as the lease has ended, or cannot be reached.
        """
        self._ask(submission)

    def _ask(self, request: Fetch | StorageRequest | Submission) -> Any:
        with self._fetch_lock:
            self.send(request)
            reply = self.replies.get()
        if isinstance(reply, NotFetched):
            kind = NotFoundError if reply.reason == "ARTIFACT_NOT_FOUND" else ApiError
            raise kind(reply.message, retryable=reply.retryable, reason=reply.reason)
        return reply.value


def serve(pipe: "Connection[Any, Any]") -> None:
    """Run stages, one after another, until the pipe ends. The entry point of the process."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the worker decides when we stop.
    sink, ai = PipeSink(pipe), None
    runs: queue.SimpleQueue[tuple[Run, CancelSource]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(pipe, runs, sink), daemon=True).start()
    while True:
        run, cancel = runs.get()
        ai = ai or AiRuntime(run.models)  # The same for all: a process serves one worker.
        sink.send(_execute(run, sink, cancel, ai))


def _read(
    pipe: "Connection[Any, Any]", runs: "queue.SimpleQueue[tuple[Run, CancelSource]]", sink: PipeSink
) -> None:
    """Take what the worker sends, also while a stage runs."""
    cancel = CancelSource()
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)  # The worker is gone: nobody wants the rest, and only this ends a busy main thread.
        if isinstance(message, Run):
            cancel = CancelSource()
            runs.put((message, cancel))
        elif isinstance(message, CancelChild):
            cancel.cancel(message.reason)
        else:
            sink.replies.put(message)


def _execute(run: Run, sink: PipeSink, cancel: CancelSource, ai: AiRuntime) -> Outcome:
    try:
        stage = find_stage(run.module, run.qualified_name, run.stage_id)
    except Exception as error:  # noqa: BLE001 - importing a user's module may raise anything
        return final_failure(
            "INTERNAL",
            "stageline_sdk.errors.DefinitionError",
            f"stage {run.stage_id!r} could not be imported in its process: {type(error).__name__}: {error}",
        )
    outcome = run_blocking(stage, run.job, sink, cancel, ai)
    return replace(outcome, exception=None) if isinstance(outcome, StageFailure) else outcome


def find_stage(module_name: str, qualified_name: str, stage_id: str) -> Stage[Any, Any, Any]:
    """Return the stage that a module makes of a function.

    Raises:
        ImportError: The module cannot be imported.
        LookupError: The module has no such stage.
    """
    module = importlib.import_module(module_name)
    named = getattr(module, qualified_name, None)
    for candidate in (named, *vars(module).values()):
        if isinstance(candidate, Stage) and candidate.id == stage_id:
            return candidate
    raise LookupError(f"module {module_name!r} has no stage {stage_id!r} at its top")
