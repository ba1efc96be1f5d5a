"""Threads for plain `def` stages.

Not `ThreadPoolExecutor`: its threads are joined when Python exits, so that one stuck stage would keep a stopped worker
from ending; and its size is fixed, where here the worker's slots already bound how much runs at once.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Task(Generic[T]):
    __slots__ = ("function", "future")

    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function
        self.future: Future[T] = Future()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.function()
        except BaseException as error:  # noqa: BLE001 - it is raised where the future is awaited
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class DaemonThreads:
    """Runs functions in daemon threads, which are started as needed and used again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[_Task[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._idle = 0
        self._closed = False

    def submit(self, function: Callable[[], T]) -> "Future[T]":
        """Run a function in a thread that is idle, or in a new one.

        Raises:
            RuntimeError: `close` was called.
        """
        task = _Task(function)
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads of this worker are closed")
            starts = self._idle == 0
            if starts:
                self._started += 1
            else:
                self._idle -= 1
            number = self._started
            self._tasks.put(task)
        if starts:
            threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True).start()
        return task.future

    def close(self) -> None:
        """End the threads, each once its function returns; does not wait."""
        with self._lock:
            self._closed = True
            for _ in range(self._started):
                self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task.run()
            del task  # An idle thread must not keep the last job's values alive.
            with self._lock:
                self._idle += 1
