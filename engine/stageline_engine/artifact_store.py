"""Named artifacts of runs: streamed into the store, visible when whole, fenced by their lease."""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from stageline_engine.blob_keys import key_fault
from stageline_engine.blobs import closing
from stageline_engine.errors import BlobNotFoundError, StorageUnavailableError
from stageline_engine.limits import (
    ARTIFACT_BYTES_MAX,
    ARTIFACT_KEY_LENGTH_MAX,
    CONTENT_TYPE_LENGTH_MAX,
)
from stageline_engine.model.blob import ArtifactChange, ArtifactRow, Blob, LeaseClaim
from stageline_engine.payloads import mismatched, too_large
from stageline_engine.ports import BlobIndex, BlobStore, Clock, IdSource
from stageline_engine.rejections import FieldViolation, Reason, Rejection, out_of_limits

DEFAULT_CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an artifact is, and on whose behalf it is changed.

    Attributes:
        namespace: The tenant.
        run_id: The run.
        key: Its name in the run.
        lease: The worker's right; None for a client.
    """

    namespace: str
    run_id: UUID
    key: str
    lease: LeaseClaim | None = None


@dataclass(frozen=True, slots=True)
class Announced:
    """What is said of bytes before they come; empty and 0 mean that nothing is."""

    content_type: str = ""
    size_bytes: int = 0
    sha256: bytes = b""


class Sums(NamedTuple):
    """What was counted of a stream."""

    size_bytes: int
    sha256: bytes


class TooManyBytesError(Exception):
    """A stream is longer than allowed. It is raised in the middle of it, so that nothing is stored."""

    def __init__(self, size_bytes: int) -> None:
        """Takes how many bytes had come by then."""
        super().__init__(size_bytes)
        self.size_bytes = size_bytes


class ArtifactStore:
    """Puts, gets and deletes artifacts. Bytes are never held in memory as a whole."""

    def __init__(
        self,
        blobs: BlobStore,
        index: BlobIndex,
        clock: Clock,
        ids: IdSource,
        *,
        bytes_max: int = ARTIFACT_BYTES_MAX,
    ) -> None:
        """Takes the ports.

        Args:
            blobs: Where the bytes go.
            index: Where it is written which bytes there are.
            clock: The present time.
            ids: Names blobs.
            bytes_max: The longest artifact.
        """
        self._bytes_max = bytes_max
        self._blobs = blobs
        self._index = index
        self._clock = clock
        self._ids = ids

    async def put(
        self, place: Place, announced: Announced, chunks: AsyncIterable[bytes]
    ) -> ArtifactRow | Rejection:
        """Stores bytes under a name, in the place of what was there.

        Returns:
            The artifact; or why not: a bad key or type, more bytes than allowed, bytes that are not those
            that were announced, no such run, a lease that has ended.

        Raises:
            StorageUnavailableError: The store or the database is away. The artifact is as it was.
        """
        wrong = (*faults_of(place.key), *_type_faults(announced.content_type))
        if wrong:
            return out_of_limits(wrong)
        blob = Blob(self._ids.new_id(), place.namespace)
        await self._index.begin(blob, self._clock.now())
        try:
            sums = await self._write(blob, announced, chunks)
            if isinstance(sums, Rejection):
                return sums
            row = self._row(place, blob, announced.content_type, sums)
            change = await self._index.put_artifact(row, row.created_at, place.lease)
        finally:  # a blob that was named by then is left alone
            with suppress(StorageUnavailableError):  # it is found when its time is over
                await self._index.drop(blob, self._clock.now())
        return (
            refusal_of(change, place)
            or await self._index.get_artifact(place.namespace, place.run_id, place.key)
            or row
        )

    async def _write(
        self, blob: Blob, announced: Announced, chunks: AsyncIterable[bytes]
    ) -> Sums | Rejection:
        counted = _Counted(chunks, self._bytes_max)
        try:
            await self._blobs.put(blob.key, counted)
        except TooManyBytesError as error:
            return too_large("artifact", error.size_bytes, self._bytes_max)
        return check_announced(announced, counted.sums(), "artifact")

    def _row(self, place: Place, blob: Blob, content_type: str, sums: Sums) -> ArtifactRow:
        return ArtifactRow(
            place.namespace,
            place.run_id,
            place.key,
            blob.id,
            content_type or DEFAULT_CONTENT_TYPE,
            sums.size_bytes,
            sums.sha256,
            self._clock.now(),
        )

    async def open(self, place: Place) -> tuple[ArtifactRow, AsyncIterator[bytes]] | Rejection:
        """Finds an artifact and begins to read it. Close the stream unless it is read to its end.

        Raises:
            StorageUnavailableError: The store or the database is away.
        """
        for _ in range(2):  # between the row and its bytes another put may have replaced both
            row = await self._index.get_artifact(place.namespace, place.run_id, place.key)
            if row is None:
                break
            chunks = self._blobs.get(row.blob.key)
            try:
                first = await anext(chunks, b"")
            except BlobNotFoundError:
                continue
            return row, _following(first, chunks)
        return artifact_not_found(place)

    async def delete(self, place: Place) -> bool | Rejection:
        """Deletes an artifact.

        Returns:
            Whether there was one; or why it may not be deleted.
        """
        if any(faults_of(place.key)):
            return out_of_limits((*faults_of(place.key),))
        change = await self._index.delete_artifact(
            place.namespace, place.run_id, place.key, self._clock.now(), place.lease
        )
        return refusal_of(change, place) or change is ArtifactChange.DELETED


def check_announced(announced: Announced, sums: Sums, field: str) -> Sums | Rejection:
    """Returns the sums of a stream, or says that they are not those that were announced."""
    if announced.size_bytes and announced.size_bytes != sums.size_bytes:
        return mismatched(field, f"{announced.size_bytes} bytes", f"{sums.size_bytes} bytes")
    if announced.sha256 and announced.sha256 != sums.sha256:
        return mismatched(field, f"SHA-256 {announced.sha256.hex()}", f"SHA-256 {sums.sha256.hex()}")
    return sums


def faults_of(key: str) -> tuple[FieldViolation, ...]:
    """What is wrong with an artifact's name."""
    fault = key_fault(key, segment_length_max=ARTIFACT_KEY_LENGTH_MAX)
    return (FieldViolation("artifact.key", fault),) if fault else ()


def _type_faults(content_type: str) -> tuple[FieldViolation, ...]:
    if len(content_type) > CONTENT_TYPE_LENGTH_MAX:
        fault = f"{len(content_type)} characters, limit {CONTENT_TYPE_LENGTH_MAX}"
    elif not content_type.isprintable() or not content_type.isascii():
        fault = "must be printable ASCII"
    else:
        return ()
    return (FieldViolation("content_type", fault),)


def refusal_of(change: ArtifactChange, place: Place) -> Rejection | None:
    """Why a change was not made; None where it was."""
    facts = {"run_id": str(place.run_id)}
    if change is ArtifactChange.RUN_NOT_FOUND:
        message = f"There is no run {place.run_id} in namespace {place.namespace!r}."
        return Rejection(Reason.RUN_NOT_FOUND, message, facts | {"namespace": place.namespace})
    if change is ArtifactChange.LEASE_SUPERSEDED:
        message = "The lease is not the live one any more: the artifact was not changed. Stop the work."
        return Rejection(Reason.LEASE_SUPERSEDED, message, facts)
    return None


def artifact_not_found(place: Place) -> Rejection:
    """The rejection of a name that nothing has."""
    message = f"Run {place.run_id} has no artifact {place.key[:200]!r}."
    return Rejection(
        Reason.ARTIFACT_NOT_FOUND, message, {"run_id": str(place.run_id), "key": place.key[:200]}
    )


class _Counted:
    """Chunks, counted and hashed on their way, up to a limit."""

    def __init__(self, chunks: AsyncIterable[bytes], bytes_max: int) -> None:
        self._chunks = chunks
        self._bytes_max = bytes_max
        self._size = 0
        self._hash = hashlib.sha256()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._size += len(chunk)
            if self._size > self._bytes_max:
                raise TooManyBytesError(self._size)
            self._hash.update(chunk)
            yield chunk

    def sums(self) -> Sums:
        return Sums(self._size, self._hash.digest())


async def _following(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Gives back a chunk that was taken to see whether there is one."""
    async with closing(rest) as chunks:
        if first:
            yield first
        async for chunk in chunks:
            yield chunk
