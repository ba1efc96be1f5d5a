"""Server and database killed in every combination; what was committed is there afterwards."""

import os
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from stageline_server.embedded.accounts import choose_account
from stageline_server.embedded.locks import FileLock
from stageline_server.embedded.postmaster import read_postmaster_file
from tests.integration.embedded.processes import (
    answers,
    children_of,
    first,
    is_alive,
    pid_of,
    query,
    running,
    server_process,
)
from tests.waiting import eventually_sync

pytestmark = pytest.mark.postgres


def test_an_orphan_of_a_killed_server_is_replaced(used_dir: Path) -> None:
    with server_process(used_dir) as server:
        query(server.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        server.kill()
        assert answers(server.dsn), "the database outlives its server"
        with running(used_dir) as database:
            assert not is_alive(server.postgres_pid)
            assert pid_of(database) != server.postgres_pid
            assert first(database, "SELECT answer FROM kept") == 42


def test_an_orphan_with_a_client_in_a_transaction_is_replaced(used_dir: Path) -> None:
    with server_process(used_dir) as server, psycopg.connect(server.dsn) as client:
        client.execute("CREATE TABLE uncommitted ()")
        server.kill()
        with running(used_dir) as database:
            assert first(database, "SELECT to_regclass('uncommitted')") is None
        client.close()


def test_server_and_database_both_killed_recover(used_dir: Path) -> None:
    with server_process(used_dir) as server:
        query(server.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(server.postgres_pid, signal.SIGKILL)
        server.kill()
        assert (used_dir / "cluster" / "postmaster.pid").exists(), "nobody was left to tidy up"
        with running(used_dir) as database:
            assert first(database, "SELECT answer FROM kept") == 42


def test_children_of_a_killed_database_are_waited_for(used_dir: Path) -> None:
    with server_process(used_dir) as server:
        child = children_of(server.postgres_pid)[0]
        # A child that is stopped cannot notice that its parent is gone.
        os.kill(child, signal.SIGSTOP)
        try:
            server.kill()
            os.kill(server.postgres_pid, signal.SIGKILL)
            eventually_sync(lambda: not is_alive(server.postgres_pid))
            assert not FileLock(used_dir / "postgres.lock").acquire(), "the child still holds the folder"
        finally:
            os.kill(child, signal.SIGCONT)
        with running(used_dir) as database:
            assert first(database, "SELECT 1") == 1
            assert not is_alive(child)


def test_a_number_taken_over_by_another_process_does_not_stop_a_start(used_dir: Path) -> None:
    cluster = used_dir / "cluster"
    account = choose_account(cluster)
    # PostgreSQL itself refuses to start while any process of its account has the number in its old note.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd="/", **account.switch()) as bystander:
        note = cluster / "postmaster.pid"
        note.write_text(f"{bystander.pid}\n/somewhere\n1700000000\n5432\n/tmp\n\n  1 1\nready   \n")
        with running(used_dir) as database:
            assert first(database, "SELECT 1") == 1
            assert is_alive(bystander.pid)


def test_a_first_start_that_was_interrupted_is_begun_again(tmp_path: Path) -> None:
    partial = tmp_path / "cluster.partial"
    partial.mkdir()
    (partial / "half").write_text("of a file")
    with running(tmp_path) as database:
        assert first(database, "SELECT 1") == 1
    assert not partial.exists()


@pytest.mark.parametrize("text", ["", "12", "not a number\n", "12\n/data\n"])
def test_a_torn_note_is_read_as_far_as_it_goes(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    note = read_postmaster_file(tmp_path)
    assert note is None or (note.pid == 12 and note.socket_dir is None and not note.is_ready)
