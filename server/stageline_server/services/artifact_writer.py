"""Takes bytes in, as they come: artifacts never in memory as a whole, payloads, which are parsed, at most a few at once."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

from stageline.v1 import artifact_service_pb2 as messages
from stageline_engine import limits
from stageline_engine.artifact_store import Announced, ArtifactStore, Sums, check_announced
from stageline_engine.payload_store import PAYLOADS_AT_ONCE
from stageline_engine.payloads import too_large
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError, accepted, invalid_field
from stageline_server.mapping.artifacts import announced_of, artifact_message, lease_of, place_of
from stageline_server.mapping.fields import namespace_of
from stageline_server.streams.tokens import LeaseToken

Parts = AsyncIterator[messages.PutArtifactRequest]

CHUNK_BYTES_MAX = 1024 * 1024
"""One chunk, as the protocol says."""


class ArtifactWriter:
    """Answers PutArtifact and DeleteArtifact."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane."""
        ports = plane.ports
        self._queries = ports.queries
        self._payloads = plane.payloads
        self._artifacts = ArtifactStore(ports.blobs, ports.blob_index, ports.clock, ports.ids)
        self._room = asyncio.Semaphore(PAYLOADS_AT_ONCE)

    async def put(self, parts: Parts) -> messages.Artifact:
        """Stores what is streamed.

        Raises:
            RefusedError: As the protocol says of PutArtifact.
            StorageUnavailableError: The store or the database is away.
        """
        header = await _header(parts)
        announced, token = announced_of(header), lease_of(header.lease_token)
        namespace = namespace_of(header.namespace)
        match header.WhichOneof("target"):
            case "artifact":
                place = place_of(namespace, header.artifact, token)
                return artifact_message(accepted(await self._artifacts.put(place, announced, _chunks(parts))))
            case "payload":
                if token is not None:
                    await self.require_live(namespace, token)
                async with self._room:
                    return await self._put_payload(namespace, announced, token, parts)
            case _:
                raise invalid_field("target", "is required: set artifact or payload")

    async def _put_payload(
        self, namespace: str, announced: Announced, token: LeaseToken | None, parts: Parts
    ) -> messages.Artifact:
        text = bytearray()
        async for chunk in _chunks(parts):
            text += chunk
            if len(text) > limits.PAYLOAD_BYTES_MAX:
                raise RefusedError(too_large("payload", len(text), limits.PAYLOAD_BYTES_MAX))
        sums = accepted(check_announced(announced, Sums(len(text), hashlib.sha256(text).digest()), "payload"))
        run_id = token.run_id if token else None
        accepted(await self._payloads.put(namespace, bytes(text), run_id=run_id))
        return messages.Artifact(
            content_type="application/json", size_bytes=sums.size_bytes, sha256=sums.sha256
        )

    async def delete(self, request: messages.DeleteArtifactRequest) -> bool:
        """Deletes an artifact, and says whether there was one.

        Raises:
            RefusedError: As the protocol says of DeleteArtifact.
            StorageUnavailableError: The database is away.
        """
        token = lease_of(request.lease_token)
        place = place_of(namespace_of(request.namespace), request.artifact, token)
        return accepted(await self._artifacts.delete(place))

    async def require_live(self, namespace: str, token: LeaseToken) -> None:
        """Refuses a lease that has ended.

        Raises:
            RefusedError: LEASE_SUPERSEDED.
        """
        if not await self._queries.lease_is_live(namespace, token.run_id, token.stage_number, token.secret):
            raise superseded()


def superseded() -> RefusedError:
    """The error of a lease that has ended."""
    return RefusedError(Refusal("LEASE_SUPERSEDED", "The lease is not the live one of its job any more."))


async def _header(parts: Parts) -> messages.PutArtifactHeader:
    first = await anext(aiter(parts), None)
    if first is None or first.WhichOneof("part") != "header":
        raise invalid_field("header", "must come in the first message")
    return first.header


async def _chunks(parts: Parts) -> AsyncIterator[bytes]:
    async for part in parts:
        if part.WhichOneof("part") != "chunk":
            raise invalid_field("chunk", "must be in every message after the first")
        if not 0 < len(part.chunk) <= CHUNK_BYTES_MAX:
            raise invalid_field("chunk", f"must have 1 to {CHUNK_BYTES_MAX} bytes, but has {len(part.chunk)}")
        yield part.chunk
