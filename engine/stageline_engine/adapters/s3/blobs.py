"""Blobs as objects of a bucket, through ``obstore``.

Small ones are one request; larger ones are multipart uploads, which become visible when they are completed. What a
process that died in the middle of one left costs money until it is removed: give the bucket a lifecycle rule that aborts
incomplete multipart uploads after a day.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from stageline_engine.adapters.blob_arguments import canonical, canonical_folder
from stageline_engine.blobs import BLOB_CHUNK_BYTES_MAX
from stageline_engine.errors import BlobNotFoundError, StorageUnavailableError
from stageline_engine.ports import BlobEntry

_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 2
"""Memory of one upload: their product, and one part that is being filled."""

_DELETIONS_AT_ONCE = 1000
"""What one request of S3 deletes at most."""

_REASON_LENGTH_MAX = 300


class S3BlobStore:
    """Blobs below a prefix of a bucket, which must exist. Safe to use from several servers."""

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str = "",
        region: str = "",
        access_key_id: str = "",
        secret_access_key: str = "",
        retry_limit: timedelta = timedelta(seconds=10),
    ) -> None:
        """Connects to nothing yet.

        Args:
            bucket: Its name.
            prefix: Put before every key; several deployments may share a bucket by it.
            endpoint: URL of a server that is not Amazon's; its buckets are then addressed by path. ``http://`` is taken.
            region: The bucket's; empty means what the environment says, else ``us-east-1``.
            access_key_id: With ``secret_access_key``; empty means the environment's, or the machine's role.
            secret_access_key: See there.
            retry_limit: How long a request that fails is tried again before ``StorageUnavailableError`` is raised.
        """
        self._bucket = bucket
        given = {
            "endpoint": endpoint,
            "region": region,
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
        }
        config: Any = {name: value for name, value in given.items() if value}
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            config=config,
            client_options={"allow_http": endpoint.startswith("http://")},
            retry_config={"retry_timeout": retry_limit, "max_retries": 5},
        )

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        """See ``BlobStore.put``."""
        counted = _Counted(chunks)
        with self._translated(canonical(key)):
            await obstore.put_async(
                self._store, key, counted, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )
        return counted.size

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """See ``BlobStore.get``."""
        with self._translated(canonical(key)):
            found = await obstore.get_async(self._store, key)
            async for chunk in found.stream(min_chunk_size=BLOB_CHUNK_BYTES_MAX):
                data = bytes(chunk)
                for start in range(0, len(data), BLOB_CHUNK_BYTES_MAX):
                    yield data[start : start + BLOB_CHUNK_BYTES_MAX]

    async def delete(self, key: str) -> None:
        """See ``BlobStore.delete``."""
        await self._delete([canonical(key)])

    async def list(self, folder: str = "") -> AsyncIterator[BlobEntry]:
        """See ``BlobStore.list``."""
        below = canonical_folder(folder) or None
        with self._translated():
            async for page in obstore.list(self._store, below):
                for found in page:
                    yield BlobEntry(found["path"], found["size"])

    async def delete_all(self, folder: str) -> int:
        """See ``BlobStore.delete_all``."""
        keys = [entry.key async for entry in self.list(folder)]
        for start in range(0, len(keys), _DELETIONS_AT_ONCE):
            await self._delete(keys[start : start + _DELETIONS_AT_ONCE])
        return len(keys)

    async def _delete(self, keys: Sequence[str]) -> None:
        with self._translated():
            await obstore.delete_async(self._store, keys)

    @contextmanager
    def _translated(self, key: str = "") -> Iterator[None]:
        """Raises the engine's errors in place of the library's."""
        try:
            yield
        except FileNotFoundError as error:
            if key and "NoSuchBucket" not in str(error):
                raise BlobNotFoundError(key) from error
            raise self._unavailable(error) from error
        except BaseError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StorageUnavailableError:
        first = next(iter(str(error).splitlines()), "")[:_REASON_LENGTH_MAX]
        return StorageUnavailableError(f"the bucket {self._bucket} fails: {first}")


class _Counted:
    """Chunks, and how many bytes they had."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk
