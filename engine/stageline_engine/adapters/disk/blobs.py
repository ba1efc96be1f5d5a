"""Blobs as files: written beside, made durable, then renamed.

The file of the key ``a/b`` is ``objects/a/b~``. The mark, which no key can hold, keeps a key apart from the folder of the
same name, so that ``a`` and ``a/b`` can both be there.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from uuid import uuid4

from stageline_engine.adapters.blob_arguments import canonical, canonical_folder
from stageline_engine.adapters.disk.files import Upload, files_below, prepare
from stageline_engine.blobs import BLOB_CHUNK_BYTES_MAX
from stageline_engine.errors import BlobNotFoundError, StorageUnavailableError
from stageline_engine.ports import BlobEntry
from stageline_engine.threads import Result, finish_in_thread

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
        upload = Upload(self._incoming / uuid4().hex)
        try:
            await self._step(self._prepare)
            await self._step(upload.begin)
            size = 0
            async for chunk in chunks:
                await self._step(partial(upload.write, chunk))
                size += len(chunk)
            await self._step(partial(upload.publish, target))
        finally:
            upload.discard()
        return size

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """See ``BlobStore.get``."""
        path = self._path(key)
        with ExitStack() as opened:
            file = await self._step(lambda: opened.enter_context(path.open("rb")), key)
            while chunk := await self._step(partial(file.read, BLOB_CHUNK_BYTES_MAX)):
                yield chunk

    async def delete(self, key: str) -> None:
        """See ``BlobStore.delete``."""
        path = self._path(key)
        await self._step(partial(path.unlink, missing_ok=True))

    async def list(self, folder: str = "") -> AsyncIterator[BlobEntry]:
        """See ``BlobStore.list``."""
        base = self._objects / canonical_folder(folder)
        for path, size in await self._step(lambda: list(files_below(base))):
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

    def _prepare(self) -> None:
        if not self._prepared:
            prepare(self._incoming, self._objects)
            self._prepared = True

    async def _step(self, step: Callable[[], Result], key: str = "") -> Result:
        """Runs a step to its end in a thread, and raises the engine's errors in place of the operating system's."""
        try:
            return await finish_in_thread(step)
        except OSError as error:
            if key and isinstance(error, FileNotFoundError):
                raise BlobNotFoundError(key) from error
            raise StorageUnavailableError(
                f"the blob store {self._root} fails: {error.strerror or error}"
            ) from error
