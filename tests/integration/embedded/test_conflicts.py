"""Folders that must be refused, with the reason and without being touched."""

import os
import subprocess
from pathlib import Path

import pytest

from stageline_server.embedded import (
    BinariesNotFoundError,
    DataFolderAccessError,
    DataFolderInUseError,
    DataFolderVersionError,
    PostgresStartError,
)
from stageline_server.embedded.accounts import choose_account
from stageline_server.embedded.cluster import data_argument
from stageline_server.embedded.instance import new_instance
from stageline_server.embedded.postmaster import live_postmaster
from stageline_server.embedded.relocation import runnable_binaries
from tests.integration.embedded.processes import answers, first, is_alive, running, server_process
from tests.waiting import eventually_sync

pytestmark = pytest.mark.postgres


def test_a_folder_in_use_by_this_process_is_refused(used_dir: Path) -> None:
    with running(used_dir) as holder:
        with pytest.raises(DataFolderInUseError, match=str(os.getpid())) as refusal:
            new_instance(used_dir).start()
        assert refusal.value.pid == os.getpid()
        assert first(holder, "SELECT 1") == 1


def test_a_folder_in_use_by_another_server_is_refused(used_dir: Path) -> None:
    with server_process(used_dir) as other:
        with pytest.raises(DataFolderInUseError) as refusal:
            new_instance(used_dir).start()
        assert refusal.value.pid == other.popen.pid
        assert str(other.popen.pid) in str(refusal.value)
        assert answers(other.dsn)


def test_a_postgres_that_somebody_else_started_is_refused_and_left_alone(used_dir: Path) -> None:
    cluster = used_dir / "cluster"
    account = choose_account(cluster)
    command = [str(runnable_binaries(account, os.environ).postgres), "-D", data_argument(cluster, account)]
    command += ["-c", "listen_addresses=", "-c", "unix_socket_directories=."]
    with subprocess.Popen(command, cwd=cluster, stderr=subprocess.DEVNULL, **account.switch()) as foreign:
        try:
            eventually_sync(lambda: live_postmaster(cluster) == foreign.pid, what="the other PostgreSQL runs")
            with pytest.raises(DataFolderInUseError, match="not started by this program") as refusal:
                new_instance(used_dir).start()
            assert refusal.value.pid == foreign.pid
            assert is_alive(foreign.pid)
        finally:
            foreign.terminate()
    with running(used_dir) as database:
        assert first(database, "SELECT 1") == 1


def test_a_folder_of_another_major_version_is_refused(used_dir: Path) -> None:
    version = used_dir / "cluster" / "PG_VERSION"
    version.write_text("14\n")
    with pytest.raises(DataFolderVersionError, match=r"written by PostgreSQL 14.*PostgreSQL 18") as refusal:
        new_instance(used_dir).start()
    assert (refusal.value.found_major, refusal.value.supported_major) == (14, 18)
    assert version.read_text() == "14\n"


def test_a_folder_of_other_things_is_refused_and_kept(used_dir: Path) -> None:
    cluster = used_dir / "cluster"
    (cluster / "PG_VERSION").unlink()
    with pytest.raises(DataFolderAccessError, match="no PostgreSQL data folder"):
        new_instance(used_dir).start()
    assert (cluster / "base").is_dir()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderAccessError, match="cannot make the data folder"):
        new_instance(tmp_path / "file" / "data").start()


def test_a_broken_setting_fails_with_the_words_of_postgres(used_dir: Path) -> None:
    database = new_instance(used_dir, settings={"shared_buffers": "a lot"})
    with pytest.raises(PostgresStartError, match='invalid value for parameter "shared_buffers": "a lot"'):
        database.start()
    with running(used_dir) as again:
        assert first(again, "SELECT 1") == 1


def test_missing_programs_are_told(tmp_path: Path, used_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGELINE_POSTGRES_BINDIR", str(tmp_path))
    with pytest.raises(BinariesNotFoundError, match="STAGELINE_POSTGRES_BINDIR"):
        new_instance(used_dir).start()
