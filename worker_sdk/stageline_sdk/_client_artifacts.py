"""What a client does with the artifacts of runs."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from stageline_sdk._artifact_data import decode_artifact, source_of
from stageline_sdk._client_base import ClientBase
from stageline_sdk._storage_requests import content_type_of
from stageline_sdk.artifacts import Artifact, ArtifactData


class RunArtifacts(ClientBase):
    """The calls of `Client` about artifacts."""

    async def put_artifact(
        self, run_id: str, key: str, data: ArtifactData, *, content_type: str = ""
    ) -> Artifact:
        """Store an artifact of a run, in the place of the one of its key. Files are streamed.

        Args:
            run_id: The run, in any state.
            key: Its name in the run: 1 to 512 characters, segments of `A-Z a-z 0-9 . _ -` with `/` between.
            data: Bytes, a text, a path, or a file that is open for reading bytes, from where it stands. At most 5 GiB.
            content_type: Its media type. Default: `text/plain` for a text, else `application/octet-stream`.

        Raises:
            OSError: The file cannot be read.
            InvalidArgumentError: The key is not canonical.
            NotFoundError: There is no such run.
            ResourceExhaustedError: It is too large.
            UnavailableError: The server could not be reached.
        """
        async with source_of(data) as source:
            stored = await self._artifacts.put(
                run_id,
                key,
                source.begin,
                content_type=content_type_of(data, content_type),
                size_bytes=source.size_bytes,
            )
        return decode_artifact(stored)

    async def get_artifact(self, run_id: str, key: str) -> bytes:
        """Return the bytes of an artifact, all of them in memory.

        Raises:
            NotFoundError: There is no such run, or it has no such artifact.
            UnavailableError: The server could not be reached.
        """
        return await self._artifacts.get(run_id, key)

    async def download_artifact(self, run_id: str, key: str, into: Path | BinaryIO) -> Artifact:
        """Write an artifact into a file, as it comes; SHA-256 is checked at the end.

        Args:
            run_id: The run.
            key: The artifact.
            into: A path, or a seekable file that is open for writing bytes.

        Raises:
            OSError: The file cannot be written.
            NotFoundError: There is no such run, or it has no such artifact.
            UnavailableError: The server could not be reached.
        """
        opened = await asyncio.to_thread(into.open, "wb") if isinstance(into, Path) else nullcontext(into)
        with opened as file:
            return decode_artifact(await self._artifacts.get_into(run_id, key, file))

    async def artifacts(self, run_id: str, *, prefix: str = "") -> AsyncGenerator[Artifact]:
        """Yield the artifacts of a run, by key. Pages are fetched as needed.

        Args:
            run_id: The run.
            prefix: Only keys that start with this.

        Raises:
            NotFoundError: There is no such run.
            UnavailableError: The server could not be reached.
        """
        async for message in self._artifacts.list(run_id, prefix):
            yield decode_artifact(message)

    async def delete_artifact(self, run_id: str, key: str) -> bool:
        """Delete an artifact, and say whether there was one.

        Raises:
            InvalidArgumentError: The key is not canonical.
            NotFoundError: There is no such run.
            UnavailableError: The server could not be reached.
        """
        return await self._artifacts.delete(run_id, key)
