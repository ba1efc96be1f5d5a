"""Gives stored bytes out, as they are read."""

from collections.abc import AsyncIterator
from uuid import UUID

from stageline.v1 import artifact_service_pb2 as messages
from stageline_engine.artifact_store import ArtifactStore
from stageline_engine.blobs import closing
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.model.stored_payload import SHA256_BYTES
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError, accepted, invalid_field
from stageline_server.mapping.artifacts import artifact_message, lease_of, place_of
from stageline_server.mapping.fields import namespace_of, page_size_of, run_id_of
from stageline_server.mapping.page_tokens import page_token, position_of
from stageline_server.services.artifact_writer import superseded
from stageline_server.streams.tokens import LeaseToken

Part = messages.GetArtifactResponse


class ArtifactReader:
    """Answers GetArtifact and ListArtifacts. A worker reads what its lease's run holds, and nothing else."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane."""
        ports = plane.ports
        self._queries, self._index, self._blobs = ports.queries, ports.blob_index, ports.blobs
        self._artifacts = ArtifactStore(ports.blobs, ports.blob_index, ports.clock, ports.ids)

    async def get(self, request: messages.GetArtifactRequest) -> AsyncIterator[Part]:
        """Yields a header, then chunks.

        Raises:
            RefusedError: As the protocol says of GetArtifact.
            StorageUnavailableError: The store or the database is away.
        """
        namespace, token = namespace_of(request.namespace), lease_of(request.lease_token)
        if token is not None:
            await self._require(namespace, token.run_id, token)
        match request.WhichOneof("target"):
            case "artifact":
                header, chunks = await self._open_artifact(namespace, request.artifact, token)
            case "payload_sha256":
                header, chunks = await self._open_payload(namespace, request.payload_sha256, token)
            case _:
                raise invalid_field("target", "is required: set artifact or payload_sha256")
        async with closing(chunks) as stream:
            yield Part(header=header)
            async for chunk in stream:
                yield Part(chunk=chunk)

    async def _open_artifact(
        self, namespace: str, key: messages.ArtifactKey, token: LeaseToken | None
    ) -> tuple[messages.Artifact, AsyncIterator[bytes]]:
        place = place_of(namespace, key, token)
        if token is None:
            await self._require(namespace, place.run_id, None)
        row, chunks = accepted(await self._artifacts.open(place))
        return artifact_message(row), chunks

    async def _open_payload(
        self, namespace: str, sha256: bytes, token: LeaseToken | None
    ) -> tuple[messages.Artifact, AsyncIterator[bytes]]:
        if len(sha256) != SHA256_BYTES:
            raise invalid_field("payload_sha256", f"must have {SHA256_BYTES} bytes, but has {len(sha256)}")
        row = await self._index.find_payload(namespace, sha256, run_id=token.run_id if token else None)
        if row is None:
            message = "No payload of this SHA-256 is stored where this caller may read it."
            raise RefusedError(Refusal("PAYLOAD_NOT_FOUND", message, {"sha256": sha256.hex()}))
        header = messages.Artifact(
            content_type="application/json", size_bytes=row.size_bytes, sha256=row.sha256
        )
        return header, self._blobs.get(row.blob.key)

    async def page(self, request: messages.ListArtifactsRequest) -> messages.ListArtifactsResponse:
        """Returns one page, by key.

        Raises:
            RefusedError: As the protocol says of ListArtifacts.
            StorageUnavailableError: The database is away.
        """
        namespace, run_id = namespace_of(request.namespace), run_id_of(request.run_id)
        size, token = page_size_of(request.page_size), lease_of(request.lease_token)
        binding = ("ListArtifacts", namespace, str(run_id), request.key_prefix)
        after = position_of(request.page_token, binding, str) or ""
        await self._require(namespace, run_id, token)
        rows = await self._index.list_artifacts(
            namespace, run_id, key_prefix=request.key_prefix, after_key=after, limit=size
        )
        return messages.ListArtifactsResponse(
            artifacts=map(artifact_message, rows),
            next_page_token=page_token(binding, rows[-1].key) if len(rows) == size else "",
        )

    async def _require(self, namespace: str, run_id: UUID, token: LeaseToken | None) -> None:
        """Refuses who may not read a run: there is none for a client, or it is not the one of a worker's live lease."""
        if token is not None:
            if token.run_id != run_id:
                raise invalid_field("run_id", "is not the run of the lease")
            if not await self._queries.lease_is_live(namespace, run_id, token.stage_number, token.secret):
                raise superseded()
            return
        pinned = await self._index.pinned_run(run_id)
        if pinned is None or pinned.namespace != namespace:
            raise RefusedError(run_not_found(namespace, str(run_id)))
