"""Which operating-system account runs PostgreSQL, which refuses to run as root.

We create no account and change the permissions of no folder but our own. Root hands over to the account that
owns the data folder already, else to `nobody`.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from stageline_server.embedded.errors import DataFolderAccessError

DEFAULT_ROOT_STAND_IN = "nobody"


class Switch(TypedDict, total=False):
    """The arguments of `subprocess` that change to another account; empty to stay."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """An account that PostgreSQL runs as.

    Attributes:
        name: Its login name, for messages.
        uid: Its user number.
        gid: Its group number.
        is_other: Whether this process must change to it.
    """

    name: str
    uid: int
    gid: int
    is_other: bool

    def switch(self) -> Switch:
        """The `subprocess` arguments that start a program as this account."""
        if not self.is_other:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Makes this account the owner of a folder of ours."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, path: Path) -> bool:
        """Whether the account can reach and enter the folder, asked of the kernel and not of mode bits.

        Raises:
            DataFolderAccessError: This process may not change to the account.
        """
        probe = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
        try:
            return subprocess.run(probe, cwd="/", check=False, **self.switch()).returncode == 0
        except OSError as error:
            raise DataFolderAccessError(
                f"cannot run a program as user {self.name}: {error.strerror}"
            ) from error


def choose_account(cluster: Path, root_stand_in: str = DEFAULT_ROOT_STAND_IN) -> Account:
    """Chooses the account for a data folder.

    Args:
        cluster: The folder with PostgreSQL's files; it need not exist.
        root_stand_in: The login name that root hands a new folder to.

    Raises:
        DataFolderAccessError: The folder belongs to someone that we cannot become, or the account is unknown.
    """
    own_uid = os.geteuid()
    owner_uid = cluster.stat().st_uid if cluster.exists() else None
    if own_uid != 0:
        if owner_uid not in {None, own_uid}:
            raise DataFolderAccessError(
                f"{cluster} belongs to user {_name_of(owner_uid)} and you are {_name_of(own_uid)}; "
                f"run as that user or as root, or choose another data folder"
            )
        return Account(_name_of(own_uid), own_uid, os.getegid(), is_other=False)
    if owner_uid == 0:
        raise DataFolderAccessError(
            f"{cluster} belongs to root, and PostgreSQL refuses to run as root; "
            f"give the folder to another user: chown -R {root_stand_in} {cluster}"
        )
    try:
        entry = pwd.getpwnam(root_stand_in) if owner_uid is None else pwd.getpwuid(owner_uid)
    except KeyError as error:
        wanted = root_stand_in if owner_uid is None else f"number {owner_uid}"
        raise DataFolderAccessError(f"this machine has no user {wanted} to run PostgreSQL as") from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, is_other=True)


def _name_of(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid).pw_name if uid is not None else "nobody"
    except KeyError:
        return str(uid)
