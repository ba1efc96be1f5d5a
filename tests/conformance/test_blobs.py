"""The blob stores that need nothing conform."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stageline_engine.adapters.disk import DiskBlobStore
from stageline_engine.adapters.disk.files import LEFTOVER_AGE_SECONDS
from stageline_engine.adapters.memory import MemoryBlobStore
from stageline_engine.blobs import get_bytes, put_bytes
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.testing import conformance


class TestMemoryBlobs(conformance.BlobConformance):
    @asynccontextmanager
    async def blobs(self) -> AsyncIterator[MemoryBlobStore]:
        yield MemoryBlobStore()


class TestDiskBlobs(conformance.BlobConformance):
    @pytest.fixture(autouse=True)
    def take_folder(self, tmp_path: Path) -> None:
        self._root = tmp_path / "blobs"

    @asynccontextmanager
    async def blobs(self) -> AsyncIterator[DiskBlobStore]:
        yield DiskBlobStore(self._root)
        assert not list((self._root / "incoming").glob("*")), (
            "a finished or failed upload leaves no temporary file"
        )

    async def test_blobs_outlive_the_process_that_put_them(self) -> None:
        await put_bytes(DiskBlobStore(self._root), "a/b", b"kept")
        assert await get_bytes(DiskBlobStore(self._root), "a/b") == b"kept"

    async def test_uploads_of_dead_processes_are_removed_and_young_ones_are_not(self) -> None:
        old, young = self._root / "incoming" / "old", self._root / "incoming" / "young"
        old.parent.mkdir(parents=True)
        for leftover in (old, young):
            leftover.write_bytes(b"half")
        long_ago = young.stat().st_mtime - LEFTOVER_AGE_SECONDS - 60
        os.utime(old, (long_ago, long_ago))
        await put_bytes(DiskBlobStore(self._root), "a", b"x")
        assert [path.name for path in young.parent.iterdir()] == ["young"]

    async def test_a_folder_that_cannot_be_written_is_an_outage_that_names_it(self) -> None:
        self._root.write_bytes(b"a file where the folder should be")
        with pytest.raises(StorageUnavailableError, match="blobs fails"):
            await put_bytes(DiskBlobStore(self._root), "a", b"x")
        with pytest.raises(StorageUnavailableError):
            await get_bytes(DiskBlobStore(self._root), "a")

    async def test_writers_of_one_key_leave_one_of_their_values_whole(self) -> None:
        store = DiskBlobStore(self._root)
        values = [bytes([65 + index]) * 700_000 for index in range(8)]
        await asyncio.gather(*(put_bytes(store, "same", value) for value in values))
        assert await get_bytes(store, "same") in values

    async def test_an_upload_cancelled_at_any_step_leaves_no_file_behind(self) -> None:
        """A thread may open the file after its caller was cancelled; whose file is it then?"""
        store = DiskBlobStore(self._root)
        await put_bytes(store, "first", b"makes the folders")
        for steps in range(1, 60):
            upload = asyncio.ensure_future(put_bytes(store, "cancelled", b"x" * 3_000_000))
            for _ in range(steps):
                await asyncio.sleep(0)
            upload.cancel()
            await asyncio.wait([upload])
            assert not list((self._root / "incoming").iterdir()), f"cancelled after {steps} turns"
