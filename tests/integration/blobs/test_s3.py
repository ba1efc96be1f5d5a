"""The blob store on S3 conforms, and says what is wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from stageline_engine.adapters.s3 import S3BlobStore
from stageline_engine.blobs import get_bytes, put_bytes
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.testing import conformance
from tests.support.object_store import Bucket, make_bucket, object_server


class TestS3Blobs(conformance.BlobConformance):
    @pytest.fixture(autouse=True)
    def take_bucket(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @asynccontextmanager
    async def blobs(self) -> AsyncIterator[S3BlobStore]:
        yield self._bucket.store()

    async def test_deployments_share_a_bucket_by_their_prefix(self) -> None:
        one, other = self._bucket.store("one"), self._bucket.store("other/one")
        await put_bytes(one, "a", b"1")
        await put_bytes(other, "a", b"2")
        assert [entry.key async for entry in one.list()] == ["a"]
        assert await get_bytes(one, "a") == b"1"
        assert await get_bytes(other, "a") == b"2"

    async def test_a_bucket_that_is_not_there_is_an_outage_that_names_it(self) -> None:
        store = replace(self._bucket, name="no-such-bucket").store()
        with pytest.raises(StorageUnavailableError, match="no-such-bucket"):
            await put_bytes(store, "a", b"x")
        with pytest.raises(StorageUnavailableError, match="no-such-bucket"):
            await get_bytes(store, "a")


async def test_a_server_that_is_away_is_an_outage() -> None:
    with object_server() as endpoint:
        bucket = make_bucket(endpoint)
    store = S3BlobStore(
        bucket.name,
        endpoint=bucket.endpoint,
        access_key_id="test",
        secret_access_key="test",
        retry_limit=timedelta(0),
    )
    with pytest.raises(StorageUnavailableError, match=bucket.name):
        await put_bytes(store, "a", b"x")
    with pytest.raises(StorageUnavailableError, match=bucket.name):
        await store.delete("a")
