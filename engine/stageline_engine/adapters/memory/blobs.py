"""The BlobStore port in memory."""

from collections.abc import AsyncIterable, AsyncIterator

from stageline_engine.adapters.blob_arguments import canonical, canonical_folder
from stageline_engine.blobs import chunked
from stageline_engine.errors import BlobNotFoundError
from stageline_engine.ports import BlobEntry


class MemoryBlobStore:
    """Blobs of one process; they go with it."""

    def __init__(self) -> None:
        """Begins empty."""
        self._blobs: dict[str, bytes] = {}

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        """See ``BlobStore.put``."""
        canonical(key)
        data = b"".join([chunk async for chunk in chunks])
        self._blobs[key] = data
        return len(data)

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """See ``BlobStore.get``."""
        data = self._blobs.get(canonical(key))
        if data is None:
            raise BlobNotFoundError(key)
        async for chunk in chunked(data):
            yield chunk

    async def delete(self, key: str) -> None:
        """See ``BlobStore.delete``."""
        self._blobs.pop(canonical(key), None)

    async def list(self, folder: str = "") -> AsyncIterator[BlobEntry]:
        """See ``BlobStore.list``."""
        below = f"{canonical_folder(folder)}/" if folder else ""
        for key, data in sorted(self._blobs.items()):
            if key.startswith(below):
                yield BlobEntry(key, len(data))

    async def delete_all(self, folder: str) -> int:
        """See ``BlobStore.delete_all``."""
        found = [entry.key async for entry in self.list(folder)]
        for key in found:
            self._blobs.pop(key, None)
        return len(found)
