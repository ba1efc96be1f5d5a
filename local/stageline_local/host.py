"""`LocalHost`: workflows and their runs inside this process."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar

from stageline_engine.testing import VirtualClock
from stageline_local._connection import InProcessConnection
from stageline_local._plane import HostedPlane
from stageline_sdk import BuiltWorkflow, Client, Run, RunResult, Worker
from stageline_sdk._connection import NAMESPACE_DEFAULT
from stageline_sdk._portal import LoopThread
from stageline_sdk.ai import ModelRegistry

T = TypeVar("T")

AnyWorkflow = BuiltWorkflow[Any, Any]


class LocalHost:
    """Runs workflows in this process, with no server: in memory, or on a PostgreSQL. Its worker has all labels that stages require.

    Everything is as with a server: validation, retries, time limits, parallel groups, suspension, cancellation, reruns,
    events, logs. `async def` stages run on the loop that the host is entered on, plain ones in threads; the control plane has
    a thread of its own, which stages cannot hold up. On a PostgreSQL runs outlive the process, and servers and other hosts
    may work on the same database.

    Example:
        async with LocalHost(document_processor) as host:
            result = await host.run_and_wait({"url": "https://example.org/"})
            print(result.output)

    Attributes:
        worker: Runs the stages.
        client: Everything that a client can do: read, watch, cancel, rerun, resume. To be used once the host is entered.
    """

    def __init__(
        self,
        *workflows: AnyWorkflow,
        database_url: str | None = None,
        migrate: bool = False,
        concurrency: int = 16,
        clock: VirtualClock | None = None,
        namespace: str = NAMESPACE_DEFAULT,
        drain_timeout: timedelta = timedelta(seconds=30),
        models: ModelRegistry | None = None,
    ) -> None:
        """Make a host; nothing runs yet.

        Args:
            *workflows: What it runs, at least one.
            database_url: A PostgreSQL 14 or later, as `postgresql://user:password@host:5432/database`. Default: memory,
                which ends with the host.
            migrate: Bring the database's schema up to date first. Default: use it as it is.
            concurrency: The most stages that run at once. 1 to 10,000, default 16.
            clock: Time under your control, for tests. `clock.advance(timedelta(hours=1))` makes due what waits for that, and
                while `run_and_wait` waits, time skips by itself to whatever is due next. Default: the real time.
            namespace: The tenant that everything lives in.
            drain_timeout: How long stages that still run may take when the host is left in peace. Default 30 seconds.
            models: The models that `ctx.ai` calls. Default: well-known ones of OpenAI, Anthropic and Google.

        Raises:
            DefinitionError: There is no workflow, two of one name, or a setting is out of its range.
        """
        self.worker = Worker(
            *workflows,
            concurrency=concurrency,
            namespace=namespace,
            drain_timeout=drain_timeout,
            labels=_required_labels(workflows),
            models=models,
        )
        self._plane = HostedPlane(database_url, migrates=migrate, clock=clock)
        self._thread = LoopThread("stageline-local")
        self._namespace = namespace
        self._client: Client | None = None
        self._serving: asyncio.Task[None] | None = None
        self._connection: InProcessConnection | None = None

    @property
    def client(self) -> Client:
        """A client of this host.

        Raises:
            RuntimeError: The host is not entered.
        """
        if self._client is None:
            raise RuntimeError("a local host works inside `async with LocalHost(...) as host:` only")
        return self._client

    @property
    def connection(self) -> InProcessConnection:
        """What further clients and workers of this process are given in the place of an address.

        Raises:
            RuntimeError: The host is not entered.
        """
        if self._connection is None:
            raise RuntimeError("a local host works inside `async with LocalHost(...) as host:` only")
        return self._connection

    async def __aenter__(self) -> "LocalHost":
        try:
            self._connection = await self._thread.call(self._plane.start())
            self._client = Client(self._connection, namespace=self._namespace)
            for workflow in self.worker.workflows:
                await self._client.register_workflow(workflow)
            self._serving = asyncio.create_task(self.worker.run(self._connection), name="local worker")
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        """Let stages that run end in peace, within the drain's time; stop them at once when the block raised."""
        self.worker.stop(None if kind is None else timedelta(0))
        await self._close()

    async def create_run(self, input: Any = None, *, workflow: AnyWorkflow | str = "", **options: Any) -> Run:  # noqa: A002 - the word of the domain
        """Start a run.

        Args:
            input: The run's input: a pydantic model, or JSON values.
            workflow: Which workflow; may be left out where the host has one.
            **options: Of `Client.create_run`.

        Raises:
            ValueError: The host has several workflows, and none is named.
            StagelineError: As for `Client.create_run`.
        """
        return await self.client.create_run(self._chosen(workflow), input, **options)

    async def run_and_wait(
        self,
        input: Any = None,  # noqa: A002 - the word of the domain
        *,
        workflow: AnyWorkflow | str = "",
        **options: Any,
    ) -> RunResult:
        """Start a run and wait until it has ended. A run that fails is a result, not an exception.

        Args:
            input: The run's input: a pydantic model, or JSON values.
            workflow: Which workflow; may be left out where the host has one.
            **options: Of `Client.run_and_wait`.

        Raises:
            ValueError: The host has several workflows, and none is named.
            StagelineError: As for `Client.run_and_wait`.
        """
        wait = self.client.run_and_wait(self._chosen(workflow), input, **options)
        with self._plane.skipping():
            return await self._while_serving(wait)

    async def wait_for_run(self, run_id: str, **options: Any) -> RunResult:
        """Wait until a run has ended. As `Client.wait_for_run`; on a virtual clock, time skips meanwhile."""
        with self._plane.skipping():
            return await self._while_serving(self.client.wait_for_run(run_id, **options))

    def _chosen(self, workflow: AnyWorkflow | str) -> AnyWorkflow | str:
        if workflow:
            return workflow
        if len(self.worker.workflows) > 1:
            names = ", ".join(each.name for each in self.worker.workflows)
            raise ValueError(f"this host has several workflows ({names}): say workflow=...")
        return self.worker.workflows[0]

    async def _while_serving(self, wait: Coroutine[Any, Any, T]) -> T:
        """Waits for something that needs the worker; if that ends before, raises why."""
        assert self._serving is not None
        waiting = asyncio.ensure_future(wait)
        try:
            await asyncio.wait({waiting, self._serving}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                self._serving.result()
        finally:
            if not waiting.done() and self._serving.done():
                waiting.cancel()
        return await waiting

    async def _close(self) -> None:
        try:
            if self._serving is not None:
                await self._serving
        finally:
            self._client = self._connection = self._serving = None
            with suppress(asyncio.CancelledError):
                await self._thread.call(self._plane.stop())
            self._thread.close(_nothing)


def _required_labels(workflows: Iterable[AnyWorkflow]) -> dict[str, str]:
    """Returns what stages require of their workers: the one worker of this process serves them all."""
    required: dict[str, str] = {}
    for workflow in workflows:
        for one in workflow.stages:
            required |= one.requires
    return required


async def _nothing() -> None:
    """The last thing that the host's thread does."""
