"""Root and other accounts: PostgreSQL refuses to run as root, and folders may be closed to others."""

import os
import pwd
import shutil
from pathlib import Path

import pytest

from stageline_server.embedded import DataFolderAccessError
from stageline_server.embedded.accounts import Account, choose_account
from stageline_server.embedded.binaries import find_bin_dir, load_binaries
from stageline_server.embedded.cluster import ensure_cluster
from stageline_server.embedded.instance import new_instance
from stageline_server.embedded.relocation import relocate
from tests.integration.embedded.processes import answers, first, pid_of, running, server_process

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account"),
]


def _owner_of_process(pid: int) -> str:
    return pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name


def test_root_works_below_a_closed_folder_and_opens_none(open_dir: Path) -> None:
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    with running(closed / "data") as database:
        assert first(database, "SELECT 1") == 1
        assert _owner_of_process(pid_of(database)) == "nobody"
    assert closed.stat().st_mode & 0o777 == 0o700
    assert (closed / "data" / "cluster").stat().st_mode & 0o777 == 0o700


def test_root_uses_the_data_folder_itself_for_the_socket_where_it_can(open_dir: Path) -> None:
    with running(open_dir / "data") as database:
        folder = first(database, "SELECT current_setting('unix_socket_directories')")
        assert folder == str(open_dir / "data" / "run")


def test_root_runs_a_folder_as_the_account_that_owns_it(open_dir: Path) -> None:
    with running(open_dir / "data", root_stand_in="daemon"):
        pass
    with running(open_dir / "data") as database:
        assert _owner_of_process(pid_of(database)) == "daemon"


def test_a_folder_that_belongs_to_root_is_refused(open_dir: Path) -> None:
    (open_dir / "cluster").mkdir()
    with pytest.raises(DataFolderAccessError, match="chown -R nobody"):
        new_instance(open_dir).start()


def test_an_unknown_account_is_refused(open_dir: Path) -> None:
    with pytest.raises(DataFolderAccessError, match="no user no-such-user"):
        new_instance(open_dir, root_stand_in="no-such-user").start()


def test_programs_in_a_closed_folder_are_copied_to_where_they_can_run(open_dir: Path) -> None:
    account = choose_account(open_dir / "cluster")
    original = find_bin_dir(os.environ)
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    package = original.parent.parent
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, closed / folder.name)
    bin_dir = closed / original.relative_to(package.parent)

    with pytest.raises(DataFolderAccessError, match="user nobody cannot run"):
        load_binaries(bin_dir, account)
    moved = relocate(bin_dir, cache_dir=open_dir / "cache")
    binaries = load_binaries(moved, account)
    ensure_cluster(open_dir / "cluster", binaries, account)

    assert (open_dir / "cluster" / "PG_VERSION").exists()
    assert relocate(bin_dir, cache_dir=open_dir / "cache") == moved
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_user_that_is_not_root_needs_nothing_special(open_dir: Path) -> None:
    entry = pwd.getpwnam("nobody")
    account = Account("nobody", entry.pw_uid, entry.pw_gid, is_other=True)
    if not account.can_enter(find_bin_dir(os.environ)):
        pytest.skip("the programs lie in a folder that is closed to the other account")
    data_dir = open_dir / "data"
    data_dir.mkdir()
    os.chown(data_dir, entry.pw_uid, entry.pw_gid)
    with server_process(data_dir, account) as server:
        assert _owner_of_process(server.postgres_pid) == "nobody"
        assert _owner_of_process(server.popen.pid) == "nobody"
        assert answers(server.dsn)
    with running(data_dir) as database:
        assert first(database, "SELECT 1") == 1, "and root can go on with the same folder"


def test_a_folder_of_somebody_else_is_refused_to_a_user(
    open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (open_dir / "cluster").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(DataFolderAccessError, match="belongs to user root and you are 12345"):
        choose_account(open_dir / "cluster")
