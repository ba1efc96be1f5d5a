"""Small helpers around the BlobStore port, for bytes that fit in memory."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from typing import TypeVar, cast

from stageline_engine.ports.blobs import BlobStore

Item = TypeVar("Item")

BLOB_CHUNK_BYTES_MAX = 256 * 1024
"""Bytes that travel at once: few enough to be read by turns with others, enough that a step costs little."""


async def chunked(data: bytes, chunk_bytes_max: int = BLOB_CHUNK_BYTES_MAX) -> AsyncIterator[bytes]:
    """Yields bytes in pieces."""
    view = memoryview(data)
    for start in range(0, len(view), chunk_bytes_max):
        yield bytes(view[start : start + chunk_bytes_max])


async def put_bytes(store: BlobStore, key: str, data: bytes) -> None:
    """Stores bytes that are in memory already. See ``BlobStore.put``."""
    await store.put(key, chunked(data))


async def get_bytes(store: BlobStore, key: str) -> bytes:
    """Returns a whole blob. See ``BlobStore.get``."""
    async with closing(store.get(key)) as chunks:
        return b"".join([chunk async for chunk in chunks])


def closing(stream: AsyncIterable[Item]) -> aclosing[AsyncGenerator[Item, None]]:
    """Closes a stream at the end of a block, also one that was not read to its end."""
    return aclosing(cast("AsyncGenerator[Item, None]", stream))
