"""Large bytes outside of the database: by key, written whole or not at all."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import NamedTuple, Protocol


class BlobEntry(NamedTuple):
    """One stored blob.

    Attributes:
        key: Its key.
        size_bytes: How long it is.
    """

    key: str
    size_bytes: int


class BlobStore(Protocol):
    """Bytes by canonical key (``blob_keys.key_fault``). It is not part of any transaction.

    Whoever needs bytes and rows to agree writes the blob first, under a key that was never used, then the row that names
    it; and deletes the row first, then the blob. A blob that no row names is harmless.

    Every method may raise ``StorageUnavailableError`` where the store is away, full, or refuses the credentials, and
    ``ValueError`` for a key that is not canonical. A failed call leaves nothing that can be seen.
    """

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        """Stores bytes as they come, in bounded memory, and replaces what was there.

        Atomic: a reader sees what was there before, or all of the new bytes, and after the return they are durable. Where
        ``chunks`` raises, or the call is cancelled, nothing has changed, and what was raised is passed on.

        Returns:
            How many bytes were stored.
        """
        ...

    def get(self, key: str) -> AsyncIterator[bytes]:
        """Streams a blob in chunks of at most ``BLOB_CHUNK_BYTES_MAX``. Close it (``aclose``) unless it is read to its end.

        Raises:
            BlobNotFoundError: There is none of this key; raised by the first step.
        """
        ...

    async def delete(self, key: str) -> None:
        """Deletes a blob. There being none is no error."""
        ...

    def list(self, folder: str = "") -> AsyncIterator[BlobEntry]:
        """Yields the blobs whose key is below a folder (``a/b`` is below ``a``, ``ab`` is not), in any order.

        Args:
            folder: A canonical key without its last segments; empty means everything.
        """
        ...

    async def delete_all(self, folder: str) -> int:
        """Deletes every blob below a folder, one after the other; it may end half-way, and may be called again.

        Returns:
            How many were deleted.
        """
        ...
