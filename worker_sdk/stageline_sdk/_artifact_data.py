"""What people put and where they want it got to, as streams of bytes."""

import asyncio
import io
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

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


SPOOL_BYTES_MAX = 1024 * 1024
"""Of a stream whose length nobody knows, this much is kept in memory, and what is longer in a temporary file."""


class Source(NamedTuple):
    """What is put.

    Attributes:
        begin: Begins to read it, again from its beginning for another try.
        size_bytes: Its length, by which the server tells a whole upload from one that broke off.
    """

    begin: Chunks
    size_bytes: int


@asynccontextmanager
async def source_of(data: ArtifactData) -> AsyncGenerator[Source]:
    """Yield how to read data, and how long it is. A stream that cannot be sought is copied first, to be counted.

    Raises:
        OSError: The file cannot be read.
    """
    if isinstance(data, str):
        data = data.encode()
    if isinstance(data, bytes):
        whole = data
        yield Source(lambda: in_chunks(whole), len(whole))
    elif isinstance(data, Path):
        with await asyncio.to_thread(data.open, "rb") as file:
            yield await _file_source(file)
    elif data.seekable():
        yield await _file_source(data)
    else:
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES_MAX) as copy:
            await asyncio.to_thread(shutil.copyfileobj, data, copy, CHUNK_BYTES)
            await asyncio.to_thread(copy.seek, 0)
            yield await _file_source(copy)


async def _file_source(file: BinaryIO | tempfile.SpooledTemporaryFile[bytes]) -> Source:
    start = file.tell()
    end = await asyncio.to_thread(file.seek, 0, io.SEEK_END)
    return Source(lambda: _from_file(file, start), end - start)


async def _from_file(
    file: BinaryIO | tempfile.SpooledTemporaryFile[bytes], start: int
) -> AsyncIterator[bytes]:
    await asyncio.to_thread(file.seek, start)
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk
