"""What can go wrong with the embedded database, told so that a person can act on it.

EmbeddedPostgresError
├── BinariesNotFoundError      no PostgreSQL on this machine to start
├── DataFolderAccessError      the folder, or the binaries, cannot be used by the account that must
├── DataFolderInUseError       a live server holds the folder
├── DataFolderVersionError     another major version of PostgreSQL wrote the folder
└── PostgresStartError         PostgreSQL was started and did not come up; carries the end of its log
"""

from pathlib import Path


class EmbeddedPostgresError(Exception):
    """Any failure of the embedded database."""


class BinariesNotFoundError(EmbeddedPostgresError):
    """No usable `postgres` and `initdb` were found."""


class DataFolderAccessError(EmbeddedPostgresError):
    """An operating-system account lacks a right that it needs; the message says which and on what."""


class DataFolderInUseError(EmbeddedPostgresError):
    """A live server holds the data folder.

    Attributes:
        data_dir: The folder.
        pid: The process that holds it; None if it has not said its number yet.
    """

    def __init__(self, data_dir: Path, pid: int | None, holder: str) -> None:
        process = "a process that has not told its pid yet" if pid is None else f"pid {pid}"
        super().__init__(
            f"the data folder {data_dir} is in use by {holder}, {process}; "
            "stop that one first, or choose another data folder"
        )
        self.data_dir = data_dir
        self.pid = pid


class DataFolderVersionError(EmbeddedPostgresError):
    """Another major version of PostgreSQL wrote the data folder, and versions cannot read each other's.

    Attributes:
        data_dir: The folder.
        found_major: The major version that wrote it.
        supported_major: The major version of the binaries at hand.
    """

    def __init__(self, data_dir: Path, found_major: int, supported_major: int) -> None:
        super().__init__(
            f"the data folder {data_dir} was written by PostgreSQL {found_major}, "
            f"and this installation brings PostgreSQL {supported_major}; choose another data folder, or "
            f"set STAGELINE_POSTGRES_BINDIR to the bin folder of a PostgreSQL {found_major}"
        )
        self.data_dir = data_dir
        self.found_major = found_major
        self.supported_major = supported_major


class PostgresStartError(EmbeddedPostgresError):
    """PostgreSQL was started and did not come up.

    Attributes:
        log_tail: The last lines that it wrote, or an empty string.
    """

    def __init__(self, message: str, log_tail: str = "") -> None:
        super().__init__(f"{message}\n{log_tail}" if log_tail else message)
        self.log_tail = log_tail
