"""What a BlobStore must do. It stands alone: the suite is given the port itself."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from stageline_engine.blobs import BLOB_CHUNK_BYTES_MAX, closing, get_bytes, put_bytes
from stageline_engine.errors import BlobNotFoundError
from stageline_engine.ports import BlobStore
from stageline_engine.testing.expectations import raises

LARGE_BYTES = 20 * 1024 * 1024 + 7
"""More than one part of a multipart upload, and no round number."""

HOSTILE_KEYS = [
    *("", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\\b", "a b", "%2e%2e/a", "a/%2e%2e/b"),
    *("\u2025/a", "a\0b", "a\nb", "ä", "C:a", "a~", "a" * 201, "a/" * 256 + "a"),
]


class BlobConformance(ABC):
    """Bytes are there whole or not at all, and no key reaches another's."""

    @abstractmethod
    def blobs(self) -> AbstractAsyncContextManager[BlobStore]:
        """Yields an empty store. Called once for each test."""

    async def test_what_was_put_is_got(self) -> None:
        async with self.blobs() as store:
            for data in (b"", b"\0\xff", b"x" * BLOB_CHUNK_BYTES_MAX):
                await put_bytes(store, "runs/1/data.bin", data)
                assert await get_bytes(store, "runs/1/data.bin") == data

    async def test_large_bytes_come_back_in_bounded_chunks(self) -> None:
        written, read = hashlib.sha256(), hashlib.sha256()

        async def chunks() -> AsyncIterator[bytes]:
            left = LARGE_BYTES
            while left:
                chunk = bytes([left % 251]) * min(left, 300_001)
                written.update(chunk)
                left -= len(chunk)
                yield chunk

        async with self.blobs() as store:
            assert await store.put("large", chunks()) == LARGE_BYTES
            async for chunk in store.get("large"):
                assert 0 < len(chunk) <= BLOB_CHUNK_BYTES_MAX
                read.update(chunk)
            assert read.digest() == written.digest()

    async def test_a_stream_that_fails_leaves_what_was_there(self) -> None:
        async def broken() -> AsyncIterator[bytes]:
            for _ in range(60):
                yield b"y" * BLOB_CHUNK_BYTES_MAX
            raise LookupError("the sender is gone")

        async with self.blobs() as store:
            await put_bytes(store, "a", b"before")
            for key in ("a", "b"):
                with raises(LookupError):
                    await store.put(key, broken())
            assert await get_bytes(store, "a") == b"before"
            assert [entry.key async for entry in store.list()] == ["a"]

    async def test_nothing_is_visible_before_the_end(self) -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"z" * BLOB_CHUNK_BYTES_MAX
            begun.set()
            await go.wait()
            yield b"z"

        async with self.blobs() as store:
            putting = asyncio.ensure_future(store.put("a", slow()))
            await begun.wait()
            with raises(BlobNotFoundError):
                await get_bytes(store, "a")
            assert [entry async for entry in store.list()] == []
            go.set()
            await putting
            assert len(await get_bytes(store, "a")) == BLOB_CHUNK_BYTES_MAX + 1

    async def test_a_cancelled_put_leaves_nothing(self) -> None:
        begun = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"z" * BLOB_CHUNK_BYTES_MAX
            begun.set()
            await asyncio.Event().wait()

        async with self.blobs() as store:
            putting = asyncio.ensure_future(store.put("a", endless()))
            await begun.wait()
            putting.cancel()
            with raises(asyncio.CancelledError):
                await putting
            assert [entry async for entry in store.list()] == []

    async def test_what_is_not_there_is_said_to_be(self) -> None:
        async with self.blobs() as store:
            with raises(BlobNotFoundError):
                await get_bytes(store, "nothing/here")
            await store.delete("nothing/here")
            assert [entry async for entry in store.list("nothing")] == []
            assert await store.delete_all("nothing") == 0

    async def test_deleting_takes_one_away(self) -> None:
        async with self.blobs() as store:
            await put_bytes(store, "a", b"1")
            await put_bytes(store, "a/b", b"22")
            await store.delete("a")
            assert [tuple(entry) async for entry in store.list()] == [("a/b", 2)]
            with raises(BlobNotFoundError):
                await get_bytes(store, "a")

    async def test_a_folder_is_listed_and_deleted_without_its_neighbours(self) -> None:
        async with self.blobs() as store:
            for key in ("a/1", "a/b/2", "ab/3", "a.b/4", "c"):
                await put_bytes(store, key, key.encode())
            assert {entry.key async for entry in store.list("a")} == {"a/1", "a/b/2"}
            assert await store.delete_all("a") == 2
            assert {entry.key async for entry in store.list()} == {"ab/3", "a.b/4", "c"}

    async def test_a_reader_may_leave_early(self) -> None:
        async with self.blobs() as store:
            await put_bytes(store, "a", b"x" * (4 * BLOB_CHUNK_BYTES_MAX))
            async with closing(store.get("a")) as chunks:
                assert await anext(chunks)
            assert len(await get_bytes(store, "a")) == 4 * BLOB_CHUNK_BYTES_MAX

    async def test_keys_that_are_not_canonical_are_refused_everywhere(self) -> None:
        async with self.blobs() as store:
            for key in HOSTILE_KEYS:
                with raises(ValueError):
                    await put_bytes(store, key, b"x")
                with raises(ValueError):
                    await get_bytes(store, key)
                with raises(ValueError):
                    await store.delete(key)
                if key:
                    with raises(ValueError):
                        await store.delete_all(key)
            assert [entry async for entry in store.list()] == []
