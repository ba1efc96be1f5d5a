"""What people put and where they want it got to, as streams of bytes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stageline.v1 import artifact_service_pb2 as messages
from stageline_sdk._artifact_calls import CHUNK_BYTES, Chunks, in_chunks
from stageline_sdk._wire import from_timestamp
from stageline_sdk.artifacts import Artifact, ArtifactData


def decode_artifact(message: messages.Artifact) -> Artifact:
    """Return an artifact."""
    return Artifact(
        run_id=message.key.run_id,
        key=message.key.key,
        content_type=message.content_type,
        size_bytes=message.size_bytes,
        sha256=message.sha256.hex(),
        stage_id=message.stage_id,
        created_at=from_timestamp(message.create_time),
    )


@contextmanager
def chunks_of(data: ArtifactData) -> Iterator[Chunks]:
    """Yield what begins to read data, again from where it begins for another try.

    Raises:
        OSError: The file cannot be read.
    """
    if isinstance(data, str):
        data = data.encode()
    if isinstance(data, bytes):
        whole = data
        yield lambda: in_chunks(whole)
    elif isinstance(data, Path):
        with data.open("rb") as file:
            yield lambda: _from_file(file, 0)
    else:
        opened, start = data, data.tell() if data.seekable() else None
        yield lambda: _from_file(opened, start)


async def _from_file(file: BinaryIO, start: int | None) -> AsyncIterator[bytes]:
    if start is not None:
        await asyncio.to_thread(file.seek, start)
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk
