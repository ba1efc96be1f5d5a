"""Start, use, stop, start again."""

import asyncio
import os
from pathlib import Path

import psycopg
import pytest

from stageline_server.embedded import EmbeddedPostgres, EmbeddedPostgresError
from stageline_server.embedded.sockets import SOCKET_NAME, SOCKET_PATH_BYTES_MAX
from tests.integration.embedded.processes import answers, children_of, first, is_alive, query, running

pytestmark = pytest.mark.postgres


async def test_a_first_start_makes_the_folder_and_the_database(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "not" / "there" / "yet") as database:
        assert (
            query(database.dsn, "SELECT current_database() || ' ' || current_user") == "stageline stageline"
        )
        assert query(database.dsn, "SELECT pg_encoding_to_char(encoding) FROM pg_database LIMIT 1") == "UTF8"


async def test_a_second_start_finds_what_was_committed(used_dir: Path) -> None:
    async with EmbeddedPostgres(used_dir) as database:
        query(database.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    async with EmbeddedPostgres(used_dir) as database:
        assert query(database.dsn, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("max_connections", "100"),
        ("shared_buffers", "128MB"),
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
        ("TimeZone", "UTC"),
        ("data_checksums", "on"),
    ],
)
async def test_the_settings_are_those_promised(shared_dsn: str, name: str, value: str) -> None:
    assert query(shared_dsn, f"SELECT current_setting('{name}')") == value


async def test_own_settings_come_on_top(used_dir: Path) -> None:
    async with EmbeddedPostgres(used_dir, settings={"max_connections": "17"}) as database:
        assert query(database.dsn, "SELECT current_setting('max_connections')") == "17"


async def test_stop_leaves_no_process_and_frees_the_folder(used_dir: Path) -> None:
    database = EmbeddedPostgres(used_dir)
    dsn = await database.start()
    assert database.pid is not None
    family = [database.pid, *children_of(database.pid)]
    assert len(family) > 3
    await database.stop()
    assert [pid for pid in family if is_alive(pid)] == []
    assert not (used_dir / "cluster" / "postmaster.pid").exists()
    assert not answers(dsn)


async def test_stop_waits_for_no_client(used_dir: Path) -> None:
    database = EmbeddedPostgres(used_dir)
    with psycopg.connect(await database.start()) as connection:
        connection.execute("CREATE TABLE uncommitted ()")
        await database.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


async def test_start_and_stop_may_be_repeated(used_dir: Path) -> None:
    database = EmbeddedPostgres(used_dir)
    await database.stop()
    assert await database.start() == await database.start()
    await database.stop()
    await database.stop()
    assert answers(await database.start())
    await database.stop()


async def test_the_address_is_known_only_while_it_runs(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="not started"):
        _ = EmbeddedPostgres(tmp_path).dsn


async def test_a_cancelled_start_leaves_nothing_running(used_dir: Path) -> None:
    database = EmbeddedPostgres(used_dir)
    start = asyncio.create_task(database.start())
    await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not (used_dir / "cluster" / "postmaster.pid").exists()
    async with EmbeddedPostgres(used_dir) as again:
        assert answers(again.dsn)


def test_a_long_path_moves_the_socket_to_a_short_one(used_dir: Path) -> None:
    deep = used_dir.parent / ("d" * 120)
    used_dir.rename(deep)
    with running(deep) as database:
        folder = Path(first(database, "SELECT current_setting('unix_socket_directories')"))
        assert len(str(folder / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_ctrl_c_in_the_terminal_does_not_reach_the_database(shared_pid: int) -> None:
    assert os.getsid(shared_pid) == shared_pid
