"""Chooses the folder of PostgreSQL's socket.

The address of a Unix socket is at most about a hundred bytes, and a data folder's path may be longer, or
closed to the account that runs PostgreSQL. Then the socket goes to a fresh folder among the temporary files.
The folder is ours alone (mode 0700), and with it the database, which asks for no password.
"""

import os
import shutil
import tempfile
from pathlib import Path

from stageline_server.embedded.accounts import Account
from stageline_server.embedded.errors import DataFolderAccessError

PORT = 5432  # Part of the socket's name only; nothing listens on the network.
SOCKET_NAME = f".s.PGSQL.{PORT}"
# Linux has 108 bytes with the closing zero, macOS 104.
SOCKET_PATH_BYTES_MAX = 103
TEMPORARY_PREFIX = "stageline-pg-"


def choose_socket_dir(preferred: Path, account: Account) -> Path:
    """Makes a folder for the socket, that the account can enter and whose path is short enough.

    Args:
        preferred: The folder of choice; made if missing.
        account: The account that runs PostgreSQL.

    Raises:
        DataFolderAccessError: Neither the preferred folder nor one for temporary files will do.
    """
    if _is_short(preferred):
        preferred.mkdir(mode=0o700, exist_ok=True)
        account.give(preferred)
        if account.can_enter(preferred):
            return preferred
    for parent in _temporary_parents():
        if (
            parent.is_dir()
            and _is_short(parent / f"{TEMPORARY_PREFIX}12345678")
            and account.can_enter(parent)
        ):
            folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=parent))
            account.give(folder)
            return folder
    raise DataFolderAccessError(
        f"no folder for the database's socket: {preferred} is too long (over {SOCKET_PATH_BYTES_MAX} bytes with "
        f"the socket's name) or closed to user {account.name}, and so are the folders for temporary files"
    )


def remove_temporary_socket_dir(folder: Path) -> None:
    """Removes a folder that `choose_socket_dir` made among the temporary files, and no other."""
    if folder.name.startswith(TEMPORARY_PREFIX) and folder.parent in _temporary_parents():
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_parents() -> tuple[Path, ...]:
    # TMPDIR may itself be long or closed.
    return Path(tempfile.gettempdir()), Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder there


def _is_short(folder: Path) -> bool:
    return len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX
