"""The thread that a worker's session lives on."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from typing import Any

from stageline_sdk._connection import Connection
from stageline_sdk._job_host import JobHost
from stageline_sdk._loop_monitor import LoopMonitor
from stageline_sdk._session import Session
from stageline_sdk._session_core import SessionProfile
from stageline_sdk._session_rpc import FatalError
from stageline_sdk.built_workflow import BuiltWorkflow


class SessionThread:
    """Runs a session on a loop and a thread of its own: nothing that stages do can starve it."""

    def __init__(
        self,
        connection: Connection,
        profile: SessionProfile,
        workflows: Sequence[BuiltWorkflow[Any, Any]],
        host: JobHost,
        monitor: LoopMonitor,
    ) -> None:
        self._connection = connection
        self._profile = profile
        self._workflows = workflows
        self._host = host
        self._monitor = monitor
        self._thread = threading.Thread(target=self._work, name="stageline-session", daemon=True)
        self._session: Session | None = None
        self._early_drain: timedelta | None = None
        self._end: Future[None] = Future()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def drain(self, within: timedelta) -> None:
        """Begin to end; from any thread, and from a signal handler."""
        # Assigned before it is read, and read by the thread after it has set its session: one of the two sees it.
        self._early_drain = within
        if self._session is not None:
            self._session.drain(within)

    async def wait(self) -> None:
        """Wait until the session has ended.

        Raises:
            ApiError: The server refused the worker, and trying again would not help.
        """
        try:
            await asyncio.shield(asyncio.wrap_future(self._end))
        except FatalError as fatal:
            raise fatal.error from None

    async def end(self) -> None:
        """End the session now, if it has not ended, and the thread. What is ready to be sent is still sent."""
        self.drain(timedelta(0))
        with suppress(Exception):  # `wait` raised it before.
            await asyncio.shield(asyncio.wrap_future(self._end))
        self._thread.join()

    def _work(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001 - it is raised where the end is awaited
            self._end.set_exception(error)
        else:
            self._end.set_result(None)

    async def _run(self) -> None:
        session = Session(self._connection, self._profile, self._workflows, self._host)
        self._host.attach(session)
        self._session = session
        if self._early_drain is not None:
            session.drain(self._early_drain)
        monitor = asyncio.create_task(self._monitor.run())
        try:
            await session.run()
        finally:
            monitor.cancel()
            with suppress(asyncio.CancelledError):
                await monitor
