"""The client for scripts and other code without a loop."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from stageline_sdk._client_usage import UsageCalls
from stageline_sdk._connection import NAMESPACE_DEFAULT, Connection
from stageline_sdk._portal import LoopThread
from stageline_sdk.ai.records import UsageRecord
from stageline_sdk.client import Client
from stageline_sdk.tls import TlsConfig
from stageline_sdk.usage import BookedCall, RecordedUsage, UsageDimension, UsageFilter, UsageSum

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[Client, P], Awaitable[T]],
) -> "Callable[Concatenate[SyncClient, P], T]":
    @functools.wraps(method)
    def call(self: "SyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._loop.run(method(self._client, *args, **kwargs))

    return call


def _iterating(
    method: Callable[Concatenate[Client, P], AsyncIterator[T]],
) -> "Callable[Concatenate[SyncClient, P], Iterator[T]]":
    @functools.wraps(method)
    def call(self: "SyncClient", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._loop.iterate(method(self._client, *args, **kwargs))

    return call


class SyncUsage:
    """`UsageCalls` for code without a loop."""

    def __init__(self, calls: UsageCalls, loop: LoopThread) -> None:
        self._calls = calls
        self._loop = loop

    def record(
        self, records: Sequence[UsageRecord], *, run_id: str = "", stage_id: str = ""
    ) -> RecordedUsage:
        """See `UsageCalls.record`."""
        return self._loop.run(self._calls.record(records, run_id=run_id, stage_id=stage_id))

    def list(
        self, which: UsageFilter | None = None, *, include_contents: bool = False, page_size: int = 0
    ) -> Iterator[BookedCall]:
        """See `UsageCalls.list`."""
        return self._loop.iterate(
            self._calls.list(which, include_contents=include_contents, page_size=page_size)
        )

    def aggregate(
        self, which: UsageFilter | None = None, *, by: Sequence[UsageDimension] = ()
    ) -> Sequence[UsageSum]:
        """See `UsageCalls.aggregate`."""
        return self._loop.run(self._calls.aggregate(which, by=by))


class SyncClient:
    """`Client` for code without a loop: the same methods with the same meaning, each blocking until it has its answer.

    Callbacks, such as `on_event`, are called from the client's own thread.

    Example:
        with SyncClient() as client:
            result = client.run_and_wait("document-processor", {"url": "https://example.org/"})
    """

    def __init__(
        self,
        address: str | Connection | None = None,
        *,
        namespace: str = NAMESPACE_DEFAULT,
        token: str | None = None,
        tls: TlsConfig | None = None,
        call_timeout: timedelta = timedelta(seconds=30),
        retry_for: timedelta = timedelta(seconds=10),
        outage_max: timedelta = timedelta(minutes=2),
    ) -> None:
        """Make a client; nothing is sent yet. See `Client` for the arguments.

        Raises:
            ValueError: The address is malformed.
        """
        self._client = Client(
            address,
            namespace=namespace,
            token=token,
            tls=tls,
            call_timeout=call_timeout,
            retry_for=retry_for,
            outage_max=outage_max,
        )
        self._loop = LoopThread("stageline-client")

    @property
    def usage(self) -> SyncUsage:
        """The ledger of AI calls: as `Client.usage`, each call blocking."""
        return SyncUsage(self._client.usage, self._loop)

    @property
    def address(self) -> str:
        """Host and port of the server."""
        return self._client.address

    def __enter__(self) -> "SyncClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and the client's thread. Closing twice does nothing."""
        self._loop.close(self._client.close)

    create_run = _blocking(Client.create_run)
    get_run = _blocking(Client.get_run)
    list_runs = _iterating(Client.list_runs)
    cancel_run = _blocking(Client.cancel_run)
    rerun_run = _blocking(Client.rerun_run)
    resume_stage = _blocking(Client.resume_stage)
    put_artifact = _blocking(Client.put_artifact)
    get_artifact = _blocking(Client.get_artifact)
    download_artifact = _blocking(Client.download_artifact)
    artifacts = _iterating(Client.artifacts)
    delete_artifact = _blocking(Client.delete_artifact)
    annotate_run = _blocking(Client.annotate_run)
    annotations = _iterating(Client.annotations)
    watch_run = _iterating(Client.watch_run)
    wait_for_run = _blocking(Client.wait_for_run)
    run_and_wait = _blocking(Client.run_and_wait)
    list_logs = _iterating(Client.list_logs)
    list_workflows = _iterating(Client.list_workflows)
    get_workflow = _blocking(Client.get_workflow)
    register_workflow = _blocking(Client.register_workflow)
    list_workers = _iterating(Client.list_workers)
    list_dead_letters = _iterating(Client.list_dead_letters)
    replay_dead_letters = _blocking(Client.replay_dead_letters)
    stream_events = _iterating(Client.stream_events)
    maintenance_tick = _blocking(Client.maintenance_tick)
    stats = _blocking(Client.stats)
    create_token = _blocking(Client.create_token)
    list_tokens = _iterating(Client.list_tokens)
    revoke_token = _blocking(Client.revoke_token)
