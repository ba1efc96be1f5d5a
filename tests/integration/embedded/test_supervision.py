"""A database that dies while its server lives is brought back, at the same address."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from stageline_server.embedded import EmbeddedPostgres
from tests.integration.embedded.processes import answers, query
from tests.waiting import eventually

pytestmark = pytest.mark.postgres


async def test_a_killed_database_comes_back_with_its_data(used_dir: Path) -> None:
    async with EmbeddedPostgres(used_dir) as database:
        keeper = asyncio.create_task(database.supervise())
        dsn = database.dsn
        query(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        for _ in range(2):
            pid = await _kill(database)
            await eventually(lambda pid=pid: _is_back(database, pid), what="the database is back")  # type: ignore[misc]
            assert query(dsn, "SELECT answer FROM kept") == 42
        assert database.dsn == dsn
    await keeper


async def test_a_killed_backend_is_no_restart(used_dir: Path) -> None:
    async with EmbeddedPostgres(used_dir) as database:
        keeper = asyncio.create_task(database.supervise())
        pid = database.pid
        backend = query(database.dsn, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
        os.kill(backend, signal.SIGKILL)
        await eventually(
            lambda: asyncio.to_thread(answers, database.dsn), what="PostgreSQL recovered by itself"
        )
        assert database.pid == pid
    await keeper


async def test_stop_ends_supervision_also_in_mid_restart(used_dir: Path) -> None:
    database = EmbeddedPostgres(used_dir)
    dsn = await database.start()
    keeper = asyncio.create_task(database.supervise())
    await _kill(database)
    await database.stop()
    await asyncio.wait_for(keeper, timeout=10)
    assert not answers(dsn)


async def test_supervision_can_be_cancelled_while_the_database_runs_on(used_dir: Path) -> None:
    async with EmbeddedPostgres(used_dir) as database:
        keeper = asyncio.create_task(database.supervise())
        await asyncio.sleep(0)
        keeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeper
        assert answers(database.dsn)


async def _kill(database: EmbeddedPostgres) -> int:
    pid = database.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


async def _is_back(database: EmbeddedPostgres, old_pid: int) -> bool:
    return database.pid != old_pid and await asyncio.to_thread(answers, database.dsn)
