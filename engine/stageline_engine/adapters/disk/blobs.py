"""Blobs as files: written beside, made durable, then renamed.

The file of the key ``a/b`` is ``objects/a/b~``. The mark, which no key can hold, keeps a key apart from the folder of the
same name, so that ``a`` and ``a/b`` can both be there.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from stageline_engine.adapters.blob_arguments import canonical, canonical_folder
from stageline_engine.adapters.disk.files import discard, files_below, prepare, publish
from stageline_engine.blobs import BLOB_CHUNK_BYTES_MAX
from stageline_engine.errors import BlobNotFoundError, StorageUnavailableError
from stageline_engine.ports import BlobEntry

_MARK = "~"


class DiskBlobStore:
    """Blobs below one folder. Several processes of one machine may share it."""

    def __init__(self, root: Path) -> None:
        """Touches nothing yet.

        Args:
            root: The folder; made by the first ``put``.
        """
        self._root = root
        self._incoming = root / "incoming"
        self._objects = root / "objects"
        self._prepared = False

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        """See ``BlobStore.put``."""
        target = self._path(key)
        with self._translated():
            file, temporary = await asyncio.to_thread(self._begin)
        published = False
        try:
            size = 0
            async for chunk in chunks:
                with self._translated():
                    await asyncio.to_thread(file.write, chunk)
                size += len(chunk)
            with self._translated():
                await asyncio.to_thread(publish, file, temporary, target)
            published = True
        finally:
            if not published:
                discard(file, temporary)
        return size

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """See ``BlobStore.get``."""
        path = self._path(key)
        with self._translated(key):
            file = await asyncio.to_thread(path.open, "rb")
        try:
            while True:
                with self._translated():
                    chunk = await asyncio.to_thread(file.read, BLOB_CHUNK_BYTES_MAX)
                if not chunk:
                    return
                yield chunk
        finally:
            file.close()

    async def delete(self, key: str) -> None:
        """See ``BlobStore.delete``."""
        path = self._path(key)
        with self._translated():
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def list(self, folder: str = "") -> AsyncIterator[BlobEntry]:
        """See ``BlobStore.list``."""
        base = self._objects / canonical_folder(folder)
        with self._translated():
            found = await asyncio.to_thread(lambda: list(files_below(base)))
        for path, size in found:
            yield BlobEntry(path.relative_to(self._objects).as_posix().removesuffix(_MARK), size)

    async def delete_all(self, folder: str) -> int:
        """See ``BlobStore.delete_all``."""
        deleted = 0
        async for entry in self.list(folder):
            await self.delete(entry.key)
            deleted += 1
        return deleted

    def _path(self, key: str) -> Path:
        return self._objects / f"{canonical(key)}{_MARK}"

    def _begin(self) -> tuple[IO[bytes], Path]:
        if not self._prepared:
            prepare(self._incoming, self._objects)
            self._prepared = True
        temporary = self._incoming / uuid4().hex
        return temporary.open("xb"), temporary

    @contextmanager
    def _translated(self, key: str = "") -> Iterator[None]:
        """Raises the engine's errors in place of the operating system's."""
        try:
            yield
        except OSError as error:
            if key and isinstance(error, FileNotFoundError):
                raise BlobNotFoundError(key) from error
            raise StorageUnavailableError(
                f"the blob store {self._root} fails: {error.strerror or error}"
            ) from error
