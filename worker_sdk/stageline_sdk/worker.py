"""The worker: serves workflows' stages until it is told to stop."""

import asyncio
import logging
import os
import platform
import signal
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Any

from stageline.v1 import session_pb2
from stageline_sdk._connection import NAMESPACE_DEFAULT, Connection
from stageline_sdk._execute import StageRunner
from stageline_sdk._job_host import JobHost
from stageline_sdk._labels import checked_labels
from stageline_sdk._loop_monitor import LoopMonitor
from stageline_sdk._once import OneShot, Wanted
from stageline_sdk._portal import LoopThread
from stageline_sdk._session_core import SessionProfile
from stageline_sdk._session_thread import SessionThread
from stageline_sdk.ai.registry import ModelRegistry
from stageline_sdk.built_workflow import BuiltWorkflow
from stageline_sdk.errors import DefinitionError
from stageline_sdk.one_shot import OneShotJob, OneShotResult
from stageline_sdk.stage import Stage
from stageline_sdk.tls import TlsConfig

_log = logging.getLogger("stageline.worker")

CONCURRENCY_DEFAULT = 16
DRAIN_TIMEOUT_DEFAULT = timedelta(seconds=30)
_NAME_LENGTH_MAX = 128
_CONCURRENCY_MAX = 10_000


class Worker:
    """Serves the stages of workflows: registers them, gets jobs, runs them, reports.

    The session with the server lives on a thread of its own, so that stages which block the loop are warned of and never
    taken for dead. A connection that breaks is taken up again, for ever; work that was begun goes on meanwhile.

    Example:
        worker = Worker(document_processor, concurrency=32)

        # stageline worker my_module:worker
        # or: worker.run_forever("127.0.0.1:7460")
    """

    def __init__(
        self,
        *workflows: BuiltWorkflow[Any, Any],
        stages: Iterable[Stage[Any, Any, Any] | str] | None = None,
        concurrency: int = CONCURRENCY_DEFAULT,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        namespace: str = NAMESPACE_DEFAULT,
        build_id: str = "",
        drain_timeout: timedelta = DRAIN_TIMEOUT_DEFAULT,
        models: ModelRegistry | None = None,
    ) -> None:
        """Make a worker; nothing is sent yet.

        Args:
            *workflows: What it serves, at least one.
            stages: Which of their stages it runs, by stage or id, at least one of each workflow; the others are left to
                other workers, in whatever language. Default: all of them.
            concurrency: The most jobs that it works on at once, in all kinds together. 1 to 10,000, default 16.
            name: Its name or its deployment's, for people, at most 128 characters. Default: its first workflow's name.
            labels: What it says of itself, at most 64: for people, and to be given the stages that require them.
            namespace: The tenant that it works for.
            build_id: Version or commit of your code, for people.
            drain_timeout: How long it may take to end: then jobs are stopped and handed back. Default 30 seconds.
            models: The models that `ctx.ai` calls. Default: well-known ones of OpenAI, Anthropic and Google.

        Raises:
            DefinitionError: There is no workflow, two of one name, no such stage, or a setting is out of its range.
        """
        _check(workflows, concurrency, name)
        self.workflows = workflows
        self.stage_ids = None if stages is None else _chosen(workflows, stages)
        self.concurrency = concurrency
        self.name = name or workflows[0].name
        self.labels = checked_labels(labels, "a worker")
        self.namespace = namespace
        self.build_id = build_id
        self.drain_timeout = drain_timeout
        self.models = models
        self._lock = threading.Lock()
        self._session: SessionThread | OneShot | None = None
        self._is_stopped = False

    def configured(
        self,
        *,
        concurrency: int | None = None,
        name: str | None = None,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> "Worker":
        """Return a worker with some settings replaced, as a command line does.

        Args:
            concurrency: In place of its own. Default: as it is. Likewise the others.
            name: See above.
            namespace: See above.
            labels: Added to its own, or in place of those with the same keys.

        Raises:
            DefinitionError: A setting is out of its range.
        """
        return Worker(
            *self.workflows,
            stages=self.stage_ids,
            concurrency=self.concurrency if concurrency is None else concurrency,
            name=name or self.name,
            labels=self.labels | dict(labels or {}),
            namespace=namespace or self.namespace,
            build_id=self.build_id,
            drain_timeout=self.drain_timeout,
            models=self.models,
        )

    async def run(
        self,
        address: str | Connection | None = None,
        *,
        token: str | None = None,
        tls: TlsConfig | None = None,
    ) -> None:
        """Serve until `stop` is called. `async def` stages run on the loop that this is called on.

        When this is cancelled, jobs are stopped and handed back at once.

        Args:
            address: `host:port`, or `https://host:port`; or the connection of a local host. Default: the environment's STAGELINE_ADDRESS, else
                127.0.0.1:7460.
            token: Default: the environment's STAGELINE_TOKEN, else none.
            tls: How to encrypt. Default: what the environment's STAGELINE_TLS_CA and its like say.

        Raises:
            ApiError: The server refused the worker, and trying again would not help: no right to work here, no common
                version of the protocol, a workflow that it does not accept. Other errors are tried again, for ever.
            RuntimeError: It runs already.
            ValueError: The address is malformed, or a certificate cannot be read.
        """
        connection = Connection.to(address, token, tls)
        async with StageRunner(self.models) as runner:
            host = JobHost(self.workflows, runner)
            session = SessionThread(
                connection, self._profile(), self.workflows, host, LoopMonitor(lambda: host.is_busy)
            )
            self._claim(session)
            try:
                await session.wait()
            finally:
                await host.close()
                await session.end()
                self._session, self._is_stopped = None, False

    async def run_once(
        self,
        max_jobs: int = 1,
        *,
        wait: timedelta = timedelta(0),
        run_id: str = "",
        stage_id: str = "",
        address: str | Connection | None = None,
        token: str | None = None,
        tls: TlsConfig | None = None,
    ) -> OneShotResult:
        """Lease jobs that are available, do them, report them, and return: for cron jobs and functions.

        There is no stream: a worker that is killed meanwhile loses its leases after a minute, and others get its jobs. Of a
        run whose stages follow each other, the next stages count as further jobs. `stop` ends it early.

        Args:
            max_jobs: The most jobs to do, at most `concurrency` of them at once. Default 1.
            wait: How long to wait for a first job, at most 60 seconds. Default: return at once when there is none.
            run_id: Only jobs of this run. Default: of any.
            stage_id: Only the job of this stage of it; needs `run_id`. Default: of any.
            address: As for `run`; likewise `token` and `tls`.
            token: See above.
            tls: See above.

        Raises:
            ApiError: The server refused the worker, or could not be reached. No job was begun.
            ValueError: `max_jobs` is less than 1.
            RuntimeError: It runs already.
        """
        if max_jobs < 1:
            raise ValueError(f"max_jobs must be at least 1, got {max_jobs}")
        wanted = Wanted(jobs_max=max_jobs, wait=wait, run_id=run_id, stage_id=stage_id)
        thread = LoopThread("stageline-once")
        async with StageRunner(self.models) as runner:
            host = JobHost(self.workflows, runner)
            try:
                return await thread.call(self._once(Connection.to(address, token, tls), host, wanted))
            finally:
                await host.close()
                thread.close(_nothing)

    async def _once(self, connection: Connection, host: JobHost, wanted: Wanted) -> OneShotResult:
        once = OneShot(connection, self._profile(), self.workflows, host)
        with self._lock:
            if self._session is not None:
                raise RuntimeError("this worker runs already")
            self._session = once
        if self._is_stopped:  # Before it ran.
            once.drain(timedelta(0))
        try:
            return await once.run(wanted)
        finally:
            self._session, self._is_stopped = None, False

    async def run_job(
        self,
        run_id: str,
        stage_id: str,
        *,
        wait: timedelta = timedelta(0),
        address: str | Connection | None = None,
        token: str | None = None,
        tls: TlsConfig | None = None,
    ) -> OneShotJob | None:
        """Do the job of one stage of one run, if it is available; None if it is not.

        Args:
            run_id: The run.
            stage_id: The stage.
            wait: How long to wait until it is available, at most 60 seconds.
            address: As for `run`; likewise `token` and `tls`.
            token: See above.
            tls: See above.

        Raises:
            ApiError: There is no such run or stage, or as for `run_once`.
        """
        result = await self.run_once(
            1, wait=wait, run_id=run_id, stage_id=stage_id, address=address, token=token, tls=tls
        )
        return result.jobs[0] if result.jobs else None

    def run_once_sync(self, max_jobs: int = 1, **options: Any) -> OneShotResult:
        """Do what `run_once` does, for scripts: SIGINT and SIGTERM end it early, in peace. To be called on the main thread.

        Args:
            max_jobs: As for `run_once`.
            **options: Of `run_once`.

        Raises:
            ApiError: As for `run_once`.
        """
        with _signals_to(self):
            return asyncio.run(self.run_once(max_jobs, **options))

    def run_forever(
        self,
        address: str | Connection | None = None,
        *,
        token: str | None = None,
        tls: TlsConfig | None = None,
    ) -> None:
        """Serve until SIGINT or SIGTERM, then finish what is held, or hand it back, within the drain's time.

        A second signal ends it at once, a third one as if there were no handler. For the arguments and errors see `run`. To be called on the main thread.
        """
        with _signals_to(self):
            asyncio.run(self.run(address, token=token, tls=tls))

    def stop(self, within: timedelta | None = None) -> None:
        """Make `run` end: take nothing new, finish what is held or hand it back. Returns at once; from any thread.

        Args:
            within: How long that may take. Default: the worker's `drain_timeout`. Another call may only shorten it.
        """
        self._is_stopped = True
        session = self._session
        if session is not None:
            session.drain(self.drain_timeout if within is None else within)

    def _claim(self, session: SessionThread) -> None:
        """Start a session, unless the worker has one."""
        with self._lock:
            if self._session is not None:
                raise RuntimeError("this worker runs already")
            self._session = session
        session.start()
        if self._is_stopped:  # Before it ran.
            session.drain(timedelta(0))

    def _profile(self) -> SessionProfile:
        identity = session_pb2.WorkerIdentity(
            name=self.name,
            hostname=socket.gethostname()[:255],
            process_id=os.getpid(),
            sdk_name="stageline-python",
            sdk_version=_sdk_version(),
            runtime=f"python {platform.python_version()}",
            build_id=self.build_id,
        )
        return SessionProfile(
            namespace=self.namespace,
            identity=identity,
            slots=self.concurrency,
            labels=self.labels,
            stage_ids=self.stage_ids,
        )

    def __repr__(self) -> str:
        return f"Worker({', '.join(workflow.name for workflow in self.workflows)}, concurrency={self.concurrency})"


@contextmanager
def _signals_to(worker: Worker) -> Iterator[None]:
    """Make SIGINT and SIGTERM stop a worker: the first one in peace, the second one at once.

    Plain signal handlers, not the loop's: they also work while code of the user blocks the loop. A third signal meets the
    handlers that were there before, for code that blocks the loop for ever.
    """
    count = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1:
            worker.stop()
        else:
            restore()  # First: what the stop sets off may be seen outside, and answered by a third signal at once.
            worker.stop(timedelta(0))

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        restore()


def _check(workflows: tuple[BuiltWorkflow[Any, Any], ...], concurrency: int, name: str | None) -> None:
    if not workflows:
        raise DefinitionError("a worker needs at least one workflow: Worker(my_workflow)")
    for workflow in workflows:
        if not isinstance(workflow, BuiltWorkflow):
            raise DefinitionError(f"a worker serves built workflows, not {workflow!r}; is .build() missing?")
    names = [workflow.name for workflow in workflows]
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise DefinitionError(f"a worker serves one version of a workflow; given twice: {', '.join(twice)}")
    if not 1 <= concurrency <= _CONCURRENCY_MAX:
        raise DefinitionError(f"concurrency must be 1 to {_CONCURRENCY_MAX:,}, got {concurrency}")
    if name is not None and not 1 <= len(name) <= _NAME_LENGTH_MAX:
        raise DefinitionError(f"a worker's name has 1 to {_NAME_LENGTH_MAX} characters, got {len(name)}")


def _chosen(
    workflows: tuple[BuiltWorkflow[Any, Any], ...], stages: Iterable[Stage[Any, Any, Any] | str]
) -> frozenset[str]:
    """Return the ids of the stages that a worker runs."""
    chosen = frozenset(each if isinstance(each, str) else each.id for each in stages)
    unknown = sorted(chosen.difference(*(workflow.stage_ids for workflow in workflows)))
    if unknown:
        raise DefinitionError(f"no workflow of this worker has a stage {', '.join(map(repr, unknown))}")
    for workflow in workflows:
        if chosen.isdisjoint(workflow.stage_ids):
            raise DefinitionError(f"the worker runs no stage of workflow {workflow.name!r}: leave it out")
    return chosen


def _sdk_version() -> str:
    try:
        return version("stageline")
    except PackageNotFoundError:  # Used from a source tree.
        return "unknown"


async def _nothing() -> None:
    """The last thing that the thread of a one-shot worker does."""
