"""The local host for code without a loop: scripts, notebooks, tests that are no `async def`."""

from types import TracebackType
from typing import Any

from stageline_local.host import AnyWorkflow, LocalHost
from stageline_sdk import Run, RunResult, SyncClient, Worker
from stageline_sdk._portal import LoopThread
from stageline_sdk.ai import ModelRegistry


class SyncLocalHost:
    """`LocalHost` for code without a loop. It works in a notebook too, whose own loop it leaves alone.

    Example:
        with SyncLocalHost(document_processor) as host:
            result = host.run_and_wait({"url": "https://example.org/"})

    Attributes:
        client: Everything that a client can do. To be used once the host is entered.
    """

    def __init__(self, *workflows: AnyWorkflow, **options: Any) -> None:
        """Make a host; nothing runs yet.

        Args:
            *workflows: What it runs, at least one.
            **options: Of `LocalHost`.

        Raises:
            DefinitionError: As for `LocalHost`.
        """
        self._host = LocalHost(*workflows, **options)
        self._loop = LoopThread("stageline-local-stages")
        self._client: SyncClient | None = None

    @property
    def worker(self) -> Worker:
        """What runs the stages."""
        return self._host.worker

    @property
    def client(self) -> SyncClient:
        """A client of this host.

        Raises:
            RuntimeError: The host is not entered.
        """
        if self._client is None:
            raise RuntimeError("a local host works inside `with SyncLocalHost(...) as host:` only")
        return self._client

    def __enter__(self) -> "SyncLocalHost":
        try:
            self._loop.run(self._host.__aenter__())
        except BaseException:
            self._loop.close(_nothing)
            raise
        self._client = SyncClient(self._host.connection, namespace=self._host.worker.namespace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
        self._loop.close(lambda: self._host.__aexit__(kind, error, frames))

    def create_run(self, input: Any = None, **options: Any) -> Run:  # noqa: A002 - the word of the domain
        """Start a run. See `LocalHost.create_run`."""
        return self._loop.run(self._host.create_run(input, **options))

    def run_and_wait(self, input: Any = None, **options: Any) -> RunResult:  # noqa: A002 - the word of the domain
        """Start a run and wait until it has ended. See `LocalHost.run_and_wait`."""
        return self._loop.run(self._host.run_and_wait(input, **options))

    def wait_for_run(self, run_id: str, **options: Any) -> RunResult:
        """Wait until a run has ended. See `LocalHost.wait_for_run`."""
        return self._loop.run(self._host.wait_for_run(run_id, **options))


def run_local(
    workflow: AnyWorkflow,
    input: Any = None,  # noqa: A002 - the word of the domain
    *,
    models: ModelRegistry | None = None,
    **options: Any,
) -> RunResult:
    """Run a workflow once, in memory, and return how it ended: for scripts and notebooks.

    Args:
        workflow: The workflow.
        input: The run's input: a pydantic model, or JSON values.
        models: The models that `ctx.ai` calls. Default: as for `Worker`.
        **options: Of `Client.run_and_wait`, such as `config` or `timeout`.

    Raises:
        StagelineError: As for `Client.run_and_wait`.
    """
    with SyncLocalHost(workflow, models=models) as host:
        return host.run_and_wait(input, **options)


async def _nothing() -> None:
    """The last thing that the loop's thread does."""
