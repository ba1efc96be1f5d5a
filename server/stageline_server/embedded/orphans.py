"""Deals with what an earlier stageline left running when it was killed.

Every process of a PostgreSQL that we started holds the inherited lock of its data folder. So if this lock is
taken while ours on the folder is free, the holders are orphans of an earlier run of ours, and are stopped: a
clean restart rather than an adoption, since only a child can be waited for, and settings may have changed.
A PostgreSQL that runs on the folder without that lock was started by somebody else, and is left alone.
"""

import contextlib
import logging
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

from stageline_server.embedded.errors import DataFolderInUseError, PostgresStartError
from stageline_server.embedded.locks import FileLock
from stageline_server.embedded.postmaster import live_postmaster, read_postmaster_file, remove_stale_file
from stageline_server.embedded.sockets import remove_temporary_socket_dir

_logger = logging.getLogger("stageline.server.embedded")
POLL_INTERVAL = timedelta(milliseconds=10)
# What an orphan gets, and how long it may take; the last one cannot be refused.
ESCALATION = (
    (signal.SIGINT, timedelta(seconds=30)),
    (signal.SIGQUIT, timedelta(seconds=5)),
    (signal.SIGKILL, timedelta(seconds=5)),
)


def claim(data_dir: Path, cluster: Path, process_lock: FileLock, keep_socket_dir: Path | None = None) -> None:
    """Takes the lock that the new PostgreSQL will inherit, and clears away what is left of the last one.

    Args:
        data_dir: The data folder, whose server lock the caller holds.
        cluster: The folder with PostgreSQL's files; it need not exist.
        process_lock: The lock to take.
        keep_socket_dir: The socket folder of this run, which a restart goes on using.

    Raises:
        DataFolderInUseError: A PostgreSQL that is not ours runs on the folder.
        PostgresStartError: Orphans did not end.
    """
    note = read_postmaster_file(cluster)
    if not process_lock.acquire():
        _stop_orphans(cluster, process_lock)
    if (pid := live_postmaster(cluster)) is not None:
        process_lock.release()
        raise DataFolderInUseError(data_dir, pid, "a PostgreSQL that was not started by this program")
    remove_stale_file(cluster)
    if note is not None and note.socket_dir is not None and note.socket_dir != keep_socket_dir:
        remove_temporary_socket_dir(note.socket_dir)


def _stop_orphans(cluster: Path, process_lock: FileLock) -> None:
    for number, patience in ESCALATION:
        pid = live_postmaster(cluster)
        if pid is not None:
            _logger.warning("stopping the database of an earlier run, pid %d, with %s", pid, number.name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        # Without a main process its children are about to notice and to end by themselves.
        if _acquire_within(process_lock, patience):
            return
    raise PostgresStartError(
        f"processes of an earlier PostgreSQL on {cluster} still run; find them with: fuser {cluster.parent}/*.lock"
    )


def _acquire_within(process_lock: FileLock, patience: timedelta) -> bool:
    deadline = time.monotonic() + patience.total_seconds()
    while not process_lock.acquire():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL.total_seconds())
    return True
