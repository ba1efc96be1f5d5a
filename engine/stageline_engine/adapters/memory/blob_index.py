"""Which stored bytes there are, in memory. Each method is atomic, as it does not wait."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from stageline_engine.adapters.memory.state import MemoryState
from stageline_engine.errors import ConcurrentChangeError
from stageline_engine.model.blob import ArtifactChange, ArtifactRow, Blob, BlobState, LeaseClaim, PayloadRow
from stageline_engine.ports import PinnedRun


class MemoryBlobIndex:
    """The BlobIndex port. See there for what each method promises."""

    def __init__(self, state: MemoryState) -> None:
        """Takes the state that the other stores share."""
        self._state = state

    async def begin(self, blob: Blob, now: datetime) -> None:
        """Announces a blob."""
        self._state.blobs[blob] = (BlobState.WRITING, now)

    async def drop(self, blob: Blob, now: datetime) -> None:
        """Drops a blob that nothing names."""
        if self._state_of(blob) is BlobState.WRITING:
            self._state.blobs[blob] = (BlobState.DROPPED, now)

    async def keep_payload(self, payload: PayloadRow, now: datetime, run_id: UUID | None = None) -> None:
        """Names a blob as a payload."""
        key = (payload.namespace, payload.sha256)
        known = self._state.stored_payloads.get(key)
        if known is None:
            self._name(payload.blob, now)
            self._state.stored_payloads[key] = payload
        else:
            keep_until = max(known.keep_until, payload.keep_until)
            self._state.stored_payloads[key] = replace(known, keep_until=keep_until)
            await self.drop(payload.blob, now)
        if run_id is not None:
            self._state.payload_uses.setdefault((run_id, payload.sha256), False)

    async def find_payload(
        self, namespace: str, sha256: bytes, keep_until: datetime | None = None, run_id: UUID | None = None
    ) -> PayloadRow | None:
        """Returns a payload."""
        known = self._state.stored_payloads.get((namespace, sha256))
        if known is None or (run_id is not None and (run_id, sha256) not in self._state.payload_uses):
            return None
        if keep_until is not None and keep_until > known.keep_until:
            known = self._state.stored_payloads[namespace, sha256] = replace(known, keep_until=keep_until)
        return known

    async def put_artifact(
        self, artifact: ArtifactRow, now: datetime, lease: LeaseClaim | None = None
    ) -> ArtifactChange:
        """Names a blob as an artifact."""
        refused = self._refused(artifact.namespace, artifact.run_id, lease)
        if refused is not None:
            return refused
        if lease is not None:
            stage = self._state.stages[artifact.run_id][lease.stage_number]
            artifact = replace(
                artifact, stage_number=stage.number, stage_id=stage.stage_id, generation=stage.generation
            )
        artifacts = self._state.artifacts.setdefault(artifact.run_id, {})
        before = artifacts.get(artifact.key)
        if before is not None and _same(before, artifact):
            artifacts[artifact.key] = replace(
                before,
                stage_number=artifact.stage_number,
                stage_id=artifact.stage_id,
                generation=artifact.generation,
            )
            return ArtifactChange.UNCHANGED
        self._name(artifact.blob, now)
        if before is not None:
            self._state.blobs[before.blob] = (BlobState.DROPPED, now)
        artifacts[artifact.key] = artifact
        return ArtifactChange.STORED

    async def delete_artifact(
        self, namespace: str, run_id: UUID, key: str, now: datetime, lease: LeaseClaim | None = None
    ) -> ArtifactChange:
        """Takes an artifact away."""
        refused = self._refused(namespace, run_id, lease)
        if refused is not None:
            return refused
        artifact = self._state.artifacts.get(run_id, {}).pop(key, None)
        if artifact is None:
            return ArtifactChange.ABSENT
        self._state.blobs[artifact.blob] = (BlobState.DROPPED, now)
        return ArtifactChange.DELETED

    async def get_artifact(self, namespace: str, run_id: UUID, key: str) -> ArtifactRow | None:
        """Returns an artifact."""
        artifact = self._state.artifacts.get(run_id, {}).get(key)
        return artifact if artifact is not None and artifact.namespace == namespace else None

    async def list_artifacts(
        self, namespace: str, run_id: UUID, *, key_prefix: str = "", after_key: str = "", limit: int
    ) -> Sequence[ArtifactRow]:
        """Returns a run's artifacts by key."""
        kept = sorted(self._state.artifacts.get(run_id, {}).items())
        return [
            artifact
            for key, artifact in kept
            if artifact.namespace == namespace and key.startswith(key_prefix) and key > after_key
        ][:limit]

    async def pinned_run(self, run_id: UUID) -> PinnedRun | None:
        """Returns which version a run is pinned to."""
        run = self._state.runs.get(run_id)
        return PinnedRun(run.namespace, run.workflow_name, run.workflow_version) if run else None

    async def expire_payloads(self, now: datetime, keep_until: datetime, limit: int) -> int:
        """Takes away payloads that no run refers to."""
        runs = self._state.runs
        used = {
            (runs[run_id].namespace, sha256)
            for (run_id, sha256), referenced in self._state.payload_uses.items()
            if referenced
        }
        over = [row for row in self._state.stored_payloads.values() if row.keep_until <= now]
        over.sort(key=lambda row: row.keep_until)
        for row in over[:limit]:
            key = (row.namespace, row.sha256)
            if key in used:
                self._state.stored_payloads[key] = replace(row, keep_until=keep_until)
            else:
                del self._state.stored_payloads[key]
                self._state.blobs[row.blob] = (BlobState.DROPPED, now)
        return min(len(over), limit)

    async def waste(self, written_before: datetime, limit: int) -> Sequence[Blob]:
        """Returns blobs whose bytes may go."""
        for blob, (state, since) in self._state.blobs.items():
            if state is BlobState.WRITING and since < written_before:
                self._state.blobs[blob] = (BlobState.DROPPED, since)
        dropped = [blob for blob in self._state.blobs if self._state_of(blob) is BlobState.DROPPED]
        return dropped[:limit]

    async def forget(self, blobs: Collection[Blob]) -> None:
        """Takes away rows of dropped blobs."""
        for blob in blobs:
            if self._state_of(blob) is BlobState.DROPPED:
                del self._state.blobs[blob]

    def _state_of(self, blob: Blob) -> BlobState | None:
        return self._state.blobs.get(blob, (None,))[0]

    def _name(self, blob: Blob, now: datetime) -> None:
        if self._state_of(blob) is not BlobState.WRITING:
            raise ConcurrentChangeError(f"the upload {blob.id} was given up")
        self._state.blobs[blob] = (BlobState.STORED, now)

    def _refused(self, namespace: str, run_id: UUID, lease: LeaseClaim | None) -> ArtifactChange | None:
        """Why a run's artifacts may not be changed; None where they may."""
        run = self._state.runs.get(run_id)
        if run is None or run.namespace != namespace:
            return ArtifactChange.RUN_NOT_FOUND
        if lease is None:
            return None
        job = self._state.jobs.get((run_id, lease.stage_number))
        live = job is not None and job.lease_token == lease.lease_token
        return None if live else ArtifactChange.LEASE_SUPERSEDED


def _same(before: ArtifactRow, after: ArtifactRow) -> bool:
    return (before.sha256, before.content_type) == (after.sha256, after.content_type)
