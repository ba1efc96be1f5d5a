"""`ctx.storage`: what a stage keeps with its run, by name."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from stageline_sdk._storage_requests import (
    JSON_TYPE,
    DeleteArtifact,
    GetArtifact,
    ListArtifacts,
    PutArtifact,
    StorageRequest,
    content_type_of,
)
from stageline_sdk.artifacts import Artifact, ArtifactData

Ask = Callable[[StorageRequest], Any]


class Storage:
    """Artifacts of the stage's run. Every method waits for its answer; `ctx.async_storage` is for `async def` stages.

    Keys are 1 to 512 characters: segments of `A-Z a-z 0-9 . _ -` with `/` between. What one stage puts, later stages and
    clients can read. A rerun takes away what the stages that run again had put. Once the stage's lease has ended, nothing
    more can be put.

    Each method raises `ApiError` where the server cannot be reached for a minute, refuses, or the lease has ended.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def put(self, key: str, data: ArtifactData, *, content_type: str = "") -> Artifact:
        """Store bytes, a text, a file by its path, or an open file, in the place of what has the key. At most 5 GiB.

        Raises:
            OSError: The file cannot be read.
            InvalidArgumentError: The key is not canonical.
        """
        kind = content_type_of(data, content_type)
        if isinstance(data, str):
            data = data.encode()
        if isinstance(data, bytes | Path):
            return self._put(PutArtifact(key, data, kind))
        with tempfile.NamedTemporaryFile() as copy:
            shutil.copyfileobj(data, copy)
            copy.flush()
            return self._put(PutArtifact(key, Path(copy.name), kind))

    def put_json(self, key: str, value: Any) -> Artifact:
        """Store a pydantic model, or anything that pydantic can write as JSON.

        Raises:
            InvalidArgumentError: The key is not canonical.
            pydantic_core.PydanticSerializationError: A part of it has no form in JSON.
        """
        text = (
            value.model_dump_json(by_alias=True).encode() if isinstance(value, BaseModel) else to_json(value)
        )
        return self._put(PutArtifact(key, text, JSON_TYPE))

    def get(self, key: str) -> bytes:
        """Return the bytes of an artifact of this run.

        Raises:
            NotFoundError: There is none of this key.
        """
        return cast("bytes", self._ask(GetArtifact(key)))

    def get_text(self, key: str) -> str:
        """Return an artifact as text. As `get`.

        Raises:
            UnicodeDecodeError: It is not UTF-8.
        """
        return self.get(key).decode()

    def get_json(self, key: str) -> Any:
        """Return the value of an artifact that is JSON text. As `get`.

        Raises:
            ValueError: It is no JSON.
        """
        return from_json(self.get(key))

    def download(self, key: str, into: Path | BinaryIO) -> Artifact:
        """Write an artifact into a file, by its path, or open for writing bytes. As `get`, and never in memory as a whole.

        Raises:
            OSError: The file cannot be written.
        """
        if isinstance(into, Path):
            return cast("Artifact", self._ask(GetArtifact(key, into.absolute())))
        with tempfile.NamedTemporaryFile() as copy:
            artifact = cast("Artifact", self._ask(GetArtifact(key, Path(copy.name))))
            with Path(copy.name).open("rb") as written:
                shutil.copyfileobj(written, into)
            return artifact

    def list(self, prefix: str = "") -> Sequence[Artifact]:
        """Return the artifacts of this run, by key; only those whose key starts with a prefix."""
        return cast("Sequence[Artifact]", self._ask(ListArtifacts(prefix)))

    def delete(self, key: str) -> bool:
        """Delete an artifact of this run, and say whether there was one."""
        return cast("bool", self._ask(DeleteArtifact(key)))

    def _put(self, request: PutArtifact) -> Artifact:
        return cast("Artifact", self._ask(request))


class AsyncStorage:
    """`Storage` for `async def` stages: the same methods, to be awaited; the loop goes on meanwhile."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def put(self, key: str, data: ArtifactData, *, content_type: str = "") -> Artifact:
        """See `Storage.put`."""
        return await asyncio.to_thread(self._storage.put, key, data, content_type=content_type)

    async def put_json(self, key: str, value: Any) -> Artifact:
        """See `Storage.put_json`."""
        return await asyncio.to_thread(self._storage.put_json, key, value)

    async def get(self, key: str) -> bytes:
        """See `Storage.get`."""
        return await asyncio.to_thread(self._storage.get, key)

    async def get_text(self, key: str) -> str:
        """See `Storage.get_text`."""
        return await asyncio.to_thread(self._storage.get_text, key)

    async def get_json(self, key: str) -> Any:
        """See `Storage.get_json`."""
        return await asyncio.to_thread(self._storage.get_json, key)

    async def download(self, key: str, into: Path | BinaryIO) -> Artifact:
        """See `Storage.download`."""
        return await asyncio.to_thread(self._storage.download, key, into)

    async def list(self, prefix: str = "") -> Sequence[Artifact]:
        """See `Storage.list`."""
        return await asyncio.to_thread(self._storage.list, prefix)

    async def delete(self, key: str) -> bool:
        """See `Storage.delete`."""
        return await asyncio.to_thread(self._storage.delete, key)
