"""The signal that work is no longer wanted, across threads and loops."""

import asyncio
import threading
from datetime import timedelta

import pytest

from stageline_sdk.cancellation import CancelSource


async def test_it_can_be_awaited_from_another_thread() -> None:
    cancel = CancelSource()
    waiting = asyncio.ensure_future(asyncio.wait_for(cancel._wait_on_loop(), 20))
    await asyncio.sleep(0)
    assert not waiting.done()
    threading.Thread(target=cancel.cancel, args=("stop",)).start()
    await waiting
    await cancel  # Set already: returns at once.
    assert cancel.reason == "stop"


def test_a_thread_can_wait_for_it() -> None:
    cancel = CancelSource()
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(cancel.wait(timedelta(seconds=20))))
    thread.start()
    cancel.cancel()
    thread.join(20)
    assert seen == [True]
    assert not CancelSource().wait(timedelta(0))


def test_only_the_first_reason_counts() -> None:
    cancel = CancelSource()
    cancel.cancel("first")
    cancel.cancel("second")
    assert cancel.reason == "first"
    assert cancel.is_set()


def test_callbacks_are_called_once() -> None:
    cancel = CancelSource()
    called: list[str] = []
    cancel.subscribe(lambda: called.append("kept"))
    unsubscribe = cancel.subscribe(lambda: called.append("dropped"))
    unsubscribe()
    unsubscribe()
    cancel.cancel()
    cancel.cancel()
    cancel.subscribe(lambda: called.append("late"))
    assert called == ["kept", "late"]


async def test_a_wait_that_is_given_up_leaves_nothing_behind() -> None:
    cancel = CancelSource()
    waiting = asyncio.ensure_future(cancel._wait_on_loop())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cancel._callbacks == []
