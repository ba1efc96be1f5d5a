"""A server from its first signal to its last: start, serve until told to end, drain, end."""

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from stageline_server.app import Application
from stageline_server.auth.policy import security_of
from stageline_server.dispatch.ports import Ports
from stageline_server.plugins import sinks_of
from stageline_server.schema import check_schema, migrate
from stageline_server.settings import Settings
from stageline_server.stores import memory_ports, postgres_ports

Ready = Callable[[str], None]
"""Called once with the address, when the server serves."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

GARBAGE_THRESHOLD = 10_000
"""New objects after which garbage is looked for. A batch makes thousands that live on until its commit, so that Python's
default of 700 searches them many times in vain: that was 9 % of a busy server's CPU time."""


class StopRequest:
    """What SIGINT and SIGTERM ask for: the first one a drain, the second one the end at once.

    While the server is not yet serving there is nothing to drain, and the first one ends it.
    """

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        """Takes the task that is cancelled where the end is wanted at once."""
        self._task = task
        self._drain = asyncio.Event()
        self._serving = False

    def signalled(self) -> None:
        """Takes one signal."""
        if self._serving and not self._drain.is_set():
            self._drain.set()
        else:
            self._task.cancel()

    async def wait(self) -> None:
        """Waits for the first signal. From here on there is something to drain."""
        self._serving = True
        await self._drain.wait()


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Takes the process's signals for the length of the block; the present task is the one to end."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    request = StopRequest(task)
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, request.signalled)
    try:
        yield request
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


async def serve(settings: Settings, ports: Ports, ready: Ready, stop: StopRequest) -> None:
    """Serves until told to end, then drains.

    Args:
        settings: How.
        ports: The adapters, open.
        ready: Called when the server serves.
        stop: Says when to end.

    Raises:
        ListenError: The address cannot be listened on.
        asyncio.CancelledError: The drain was cut off.
    """
    application = Application(settings, ports)
    try:
        ready(await application.start())
        await stop.wait()
    except BaseException:
        await application.end()
        raise
    await application.stop()


async def serve_database(settings: Settings, ready: Ready, *, migrate_first: bool = False) -> None:
    """Serves on the database of the settings.

    Args:
        settings: With a ``database_url``.
        ready: Called with the address when the server serves.
        migrate_first: Whether to bring the schema up to date, instead of refusing an old one.

    Raises:
        SchemaError: The schema is too old.
        StorageUnavailableError: The database cannot be reached.
        ListenError: The address cannot be listened on.
        PluginError: A plugin cannot be found, or breaks a rule.
        SecurityError: It would be open to others than those that it is meant for.
    """
    security_of(settings)
    dsn, sinks = settings.database_url.get_secret_value(), sinks_of(settings)
    with stop_request() as stop:
        await (migrate(dsn) if migrate_first else check_schema(dsn))
        async with postgres_ports(settings, dsn, sinks) as ports:
            await serve(settings, ports, ready, stop)


async def serve_memory(settings: Settings, ready: Ready) -> None:
    """Serves with a state that ends with the process; for trials and tests.

    Raises:
        ListenError: The address cannot be listened on.
        SecurityError: It would be open to others than those that it is meant for.
    """
    security_of(settings)
    with stop_request() as stop:
        await serve(settings, memory_ports(sinks_of(settings)), ready, stop)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a server on the fastest event loop that is installed.

    Raises:
        KeyboardInterrupt: A signal ended it before it was done.
    """
    gc.freeze()  # what was imported lives as long as the process, and need not be searched again and again
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(main)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - absent on some platforms
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop
