"""Which stored bytes there are, and who needs them."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.numeric import Int4, Int8

from stageline_engine.adapters.postgres.arrays import array
from stageline_engine.adapters.postgres.database import Connection, PostgresDatabase, fetch
from stageline_engine.adapters.postgres.statements import blobs as statements
from stageline_engine.errors import ConcurrentChangeError
from stageline_engine.model.blob import ArtifactChange, ArtifactRow, Blob, BlobState, LeaseClaim, PayloadRow
from stageline_engine.ports import PinnedRun


class PostgresBlobIndex:
    """The BlobIndex port. See there for what each method promises."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Takes the connections."""
        self._database = database

    async def begin(self, blob: Blob, now: datetime) -> None:
        """Announces a blob."""
        await self._database.run(statements.BEGIN_BLOB, (blob.id, blob.namespace, now))

    async def drop(self, blob: Blob, now: datetime) -> None:
        """Drops a blob that nothing names."""
        await self._database.run(statements.DROP_BLOB, (blob.id, now, BlobState.WRITING.value))

    async def keep_payload(self, payload: PayloadRow, now: datetime, run_id: UUID | None = None) -> None:
        """Names a blob as a payload."""
        given = (
            payload.namespace,
            payload.sha256,
            payload.blob_id,
            Int8(payload.size_bytes),
            payload.keep_until,
        )
        async with self._database.transaction() as connection:
            [(blob_id,)] = await fetch(connection, statements.KEEP_PAYLOAD, given)
            if blob_id != payload.blob_id:
                dropped = (payload.blob_id, now, BlobState.WRITING.value)
                await fetch(connection, statements.DROP_BLOB, dropped)
            elif not await fetch(connection, statements.NAME_BLOB, (payload.blob_id, now)):
                await self._require_stored(connection, payload)
            if run_id is not None:
                await fetch(connection, statements.ALLOW_PAYLOAD, (run_id, payload.sha256, payload.namespace))

    @staticmethod
    async def _require_stored(connection: Connection, payload: PayloadRow) -> None:
        """A payload that was found may be kept once more; an upload that was given up may not."""
        stored = await fetch(connection, statements.STORED_BLOB, (payload.blob_id,))
        if not stored:
            raise ConcurrentChangeError(f"the upload {payload.blob_id} was given up")

    async def find_payload(
        self, namespace: str, sha256: bytes, keep_until: datetime | None = None, run_id: UUID | None = None
    ) -> PayloadRow | None:
        """Returns a payload."""
        async with self._database.transaction() as connection:
            if keep_until is not None:
                await fetch(connection, statements.PROLONG_PAYLOAD, (namespace, sha256, keep_until))
            found = await fetch(connection, statements.FIND_PAYLOAD, (namespace, sha256, run_id))
        return PayloadRow(*found[0]) if found else None

    async def put_artifact(
        self, artifact: ArtifactRow, now: datetime, lease: LeaseClaim | None = None
    ) -> ArtifactChange:
        """Names a blob as an artifact."""
        async with self._database.transaction() as connection:
            maker = await _locked(connection, artifact.namespace, artifact.run_id, lease)
            if isinstance(maker, ArtifactChange):
                return maker
            number, stage_id, generation = maker
            artifact = replace(artifact, stage_number=number, stage_id=stage_id, generation=generation)
            await fetch(connection, statements.LOCK_ARTIFACT, (str(artifact.run_id), artifact.key))
            place = (artifact.namespace, artifact.run_id, artifact.key)
            before = await fetch(connection, statements.GET_ARTIFACT, place)
            change = ArtifactChange.STORED
            if before and _same(known := ArtifactRow(*before[0]), artifact):
                artifact = replace(artifact, blob_id=known.blob_id, created_at=known.created_at)
                change = ArtifactChange.UNCHANGED
            elif not await fetch(connection, statements.NAME_BLOB, (artifact.blob_id, now)):
                raise ConcurrentChangeError(f"the upload {artifact.blob_id} was given up")
            elif before:
                dropped = (ArtifactRow(*before[0]).blob_id, now, BlobState.STORED.value)
                await fetch(connection, statements.DROP_BLOB, dropped)
            await fetch(connection, statements.PUT_ARTIFACT, _values(artifact))
            return change

    async def delete_artifact(
        self, namespace: str, run_id: UUID, key: str, now: datetime, lease: LeaseClaim | None = None
    ) -> ArtifactChange:
        """Takes an artifact away."""
        async with self._database.transaction() as connection:
            maker = await _locked(connection, namespace, run_id, lease)
            if isinstance(maker, ArtifactChange):
                return maker
            gone = await fetch(connection, statements.DELETE_ARTIFACT, (run_id, key))
            for (blob_id,) in gone:
                await fetch(connection, statements.DROP_BLOB, (blob_id, now, BlobState.STORED.value))
            return ArtifactChange.DELETED if gone else ArtifactChange.ABSENT

    async def get_artifact(self, namespace: str, run_id: UUID, key: str) -> ArtifactRow | None:
        """Returns an artifact."""
        if "\0" in key:
            return None
        found = await self._database.run(statements.GET_ARTIFACT, (namespace, run_id, key))
        return ArtifactRow(*found[0]) if found else None

    async def list_artifacts(
        self, namespace: str, run_id: UUID, *, key_prefix: str = "", after_key: str = "", limit: int
    ) -> Sequence[ArtifactRow]:
        """Returns a run's artifacts by key."""
        if "\0" in key_prefix + after_key:
            return ()
        given = (namespace, run_id, after_key, key_prefix, Int4(limit))
        return [ArtifactRow(*values) for values in await self._database.run(statements.LIST_ARTIFACTS, given)]

    async def pinned_run(self, run_id: UUID) -> PinnedRun | None:
        """Returns which version a run is pinned to."""
        found = await self._database.run(statements.PINNED_RUN, (run_id,))
        return PinnedRun(*found[0]) if found else None

    async def expire_payloads(self, now: datetime, keep_until: datetime, limit: int) -> int:
        """Takes away payloads that no run refers to."""
        async with self._database.transaction() as connection:
            found = await fetch(connection, statements.LOCK_EXPIRED_PAYLOADS, (now, Int4(limit)))
            if found:
                names, digests = zip(*found, strict=True)
                given = (array("text", names), array("bytea", digests), now, keep_until)
                await fetch(connection, statements.EXPIRE_PAYLOADS, given)
        return len(found)

    async def waste(self, written_before: datetime, limit: int) -> Sequence[Blob]:
        """Returns blobs whose bytes may go."""
        await self._database.run(statements.GIVE_UP_WRITING, (written_before, Int4(limit)))
        return [Blob(*values) for values in await self._database.run(statements.WASTE, (Int4(limit),))]

    async def forget(self, blobs: Collection[Blob]) -> None:
        """Takes away rows of dropped blobs."""
        if blobs:
            await self._database.run(statements.FORGET_BLOBS, (array("uuid", [blob.id for blob in blobs]),))


async def _locked(
    connection: Connection, namespace: str, run_id: UUID, lease: LeaseClaim | None
) -> tuple[int, str, int] | ArtifactChange:
    """Holds a run as it is, and returns the number, id and generation of the stage that acts; 0 and "" for a client."""
    if not await fetch(connection, statements.LOCK_RUN, (run_id, namespace)):
        return ArtifactChange.RUN_NOT_FOUND
    if lease is None:
        return 0, "", 0
    given = (run_id, Int4(lease.stage_number), lease.lease_token)
    found = await fetch(connection, statements.LEASED_STAGE, given)
    if not found:
        return ArtifactChange.LEASE_SUPERSEDED
    number, stage_id, generation = found[0]
    return number, stage_id, generation


def _same(before: ArtifactRow, after: ArtifactRow) -> bool:
    return (before.sha256, before.content_type) == (after.sha256, after.content_type)


def _values(artifact: ArtifactRow) -> tuple[Any, ...]:
    return (
        artifact.namespace,
        artifact.run_id,
        artifact.key,
        artifact.blob_id,
        artifact.content_type,
        Int8(artifact.size_bytes),
        artifact.sha256,
        artifact.created_at,
        Int4(artifact.stage_number),
        artifact.stage_id,
        Int4(artifact.generation),
    )
