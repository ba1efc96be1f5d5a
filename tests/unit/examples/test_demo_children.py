"""The demo stops what it started, and says why when something ended by itself."""

import asyncio
import os
import signal
import sys
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from examples.demo.__main__ import unless_one_ends
from examples.demo.children import Child, ChildEndedError, running
from examples.demo.runs import Batch
from examples.demo.services import NotReadyError, _address_when_ready
from tests.waiting import eventually

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); signal.pause()"


def start(tmp_path: Path, program: str) -> AbstractAsyncContextManager[Child]:
    command = [sys.executable, "-c", program]
    return running(
        "helper", command, log_file=tmp_path / "logs" / "x.log", cwd=tmp_path, environment={"GREETING": "hi"}
    )


async def test_a_process_lives_for_the_block_and_is_asked_to_end(tmp_path: Path) -> None:
    program = "import os, signal; print(os.environ['GREETING'], os.getcwd()); signal.pause()"
    async with start(tmp_path, program) as child:
        await eventually(lambda: _said(child, f"hi {tmp_path}"))
        assert os.getsid(child.pid) == child.pid, "Ctrl-C reaches the demo only"
    assert child.has_ended
    assert child._process.returncode == -signal.SIGTERM


async def test_a_process_that_will_not_end_is_killed_after_the_grace(tmp_path: Path) -> None:
    async with start(tmp_path, STUBBORN) as child:
        await eventually(lambda: _said(child, "up"))
        await child.stop(timedelta(milliseconds=50))
    assert child._process.returncode == -signal.SIGKILL


async def test_a_process_is_stopped_also_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with start(tmp_path, "import signal; signal.pause()") as child:
            _ = 1 / 0
    assert child.has_ended


async def test_an_unexpected_end_is_told_with_the_last_words(tmp_path: Path) -> None:
    async with start(tmp_path, "import sys; print('port is taken'); sys.exit(5)") as child:
        with pytest.raises(ChildEndedError, match=r"the helper ended with code 5(.|\n)*port is taken"):
            await child.watch()


async def test_a_second_process_of_the_name_leaves_the_log_of_the_first_alone(tmp_path: Path) -> None:
    async with start(tmp_path, "import signal; print('first'); signal.pause()") as first:
        await eventually(lambda: _said(first, "first"))
        async with start(tmp_path, "import signal; print('second'); signal.pause()") as second:
            await eventually(lambda: _said(second, "second"))
        assert first.log_tail() == "first"


async def test_work_is_given_up_when_a_process_that_it_needs_ends(tmp_path: Path) -> None:
    cancelled = asyncio.Event()

    async def for_ever() -> Batch:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("unreachable")

    async with start(tmp_path, "raise SystemExit('gone')") as child:
        with pytest.raises(ChildEndedError, match="gone"):
            await unless_one_ends(for_ever(), child.watch())
    assert cancelled.is_set()


async def test_work_that_is_done_is_returned_while_the_process_runs_on(tmp_path: Path) -> None:
    batch = Batch([], timedelta(0))

    async def at_once() -> Batch:
        return batch

    async with start(tmp_path, "import signal; signal.pause()") as child:
        assert await unless_one_ends(at_once(), child.watch()) is batch
        assert not child.has_ended


@pytest.mark.parametrize("half", ["", '{"address": "127', "{}"])
async def test_readiness_is_a_whole_file(tmp_path: Path, half: str) -> None:
    ready_file = tmp_path / "ready.json"
    ready_file.write_text(half)
    program = (
        "import pathlib, signal, sys\n"
        "sys.stdin.read()\n"
        f"path = pathlib.Path({str(ready_file)!r})\n"
        'path.write_text(\'{"address": "127.0.0.1:7", "pid": 1}\')\n'
        "signal.pause()"
    )
    async with start(tmp_path, program) as child:
        assert await _address_when_ready(child, ready_file) == "127.0.0.1:7"


async def test_a_server_that_ends_instead_of_getting_ready_is_told(tmp_path: Path) -> None:
    async with start(tmp_path, "raise SystemExit('the data folder is in use by pid 42')") as child:
        with pytest.raises(ChildEndedError, match="in use by pid 42"):
            await _address_when_ready(child, tmp_path / "ready.json")


async def test_a_server_that_never_gets_ready_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examples.demo.services.READY_LIMIT", timedelta(milliseconds=100))
    async with start(tmp_path, "import signal; signal.pause()") as child:
        with pytest.raises(NotReadyError, match="not ready within"):
            await _address_when_ready(child, tmp_path / "ready.json")


async def _said(child: Child, words: str) -> bool:
    return words in child.log_tail()
