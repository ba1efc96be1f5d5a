"""Bytes to and from the server: payloads that are too large for a message, and artifacts of runs."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, BinaryIO

import grpc

from stageline.v1 import artifact_service_pb2 as messages
from stageline.v1 import artifact_service_pb2_grpc, payload_pb2
from stageline_sdk._calls import Caller
from stageline_sdk._connection import Connection
from stageline_sdk.errors import InternalError

CHUNK_BYTES = 256 * 1024
PAGE_SIZE = 1000

Chunks = Callable[[], AsyncIterator[bytes]]
"""Begins to read what is put; called again for another try."""

Receive = Callable[[bytes], object]
"""Takes the next bytes of what is got."""


class ArtifactCalls:
    """The calls of ArtifactService. What breaks off is tried again from its beginning."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        connection: Connection,
        namespace: str,
        *,
        retry_for: timedelta,
        lease_token: bytes = b"",
    ) -> None:
        """Takes a channel, how to speak over it, and under which lease; none for a client."""
        self._stub: artifact_service_pb2_grpc.ArtifactServiceAsyncStub = (
            artifact_service_pb2_grpc.ArtifactServiceStub(channel)
        )
        self._connection = connection
        self._namespace = namespace
        self._lease_token = lease_token
        self._caller = Caller(connection, call_timeout=timedelta(seconds=30), retry_for=retry_for)

    async def put_payload(self, text: bytes) -> payload_pb2.PayloadReference:
        """Store a payload and return its reference.

        Raises:
            ApiError: The server refused it, or could not be reached.
        """
        digest = hashlib.sha256(text).digest()
        header = self._header(size_bytes=len(text), sha256=digest)
        header.payload.SetInParent()
        await self._put(header, lambda: in_chunks(text))
        return payload_pb2.PayloadReference(sha256=digest, size_bytes=len(text))

    async def get_payload(self, reference: payload_pb2.PayloadReference) -> bytes:
        """Return a payload's text, which is what its reference says.

        Raises:
            ApiError: The server refused, could not be reached, or sent other bytes.
        """
        request = self._get_request(payload_sha256=reference.sha256)
        text = bytearray()

        def begin() -> Receive:
            text.clear()
            return text.extend

        await self._get(request, begin, reference.sha256)
        return bytes(text)

    async def resolve(self, *payloads: payload_pb2.Payload) -> None:
        """Put what they refer to in the place of references; what several refer to is fetched once."""
        fetched: dict[bytes, bytes] = {}
        for payload in payloads:
            if payload.WhichOneof("body") == "reference":
                digest = payload.reference.sha256
                if digest not in fetched:
                    fetched[digest] = await self.get_payload(payload.reference)
                payload.json = fetched[digest]

    async def offload(self, payload: payload_pb2.Payload, bytes_max: int) -> None:
        """Put a reference in the place of a text that is too long for a message."""
        if len(payload.json) > bytes_max:
            payload.reference.CopyFrom(await self.put_payload(payload.json))

    async def put(
        self, run_id: str, key: str, begin: Chunks, *, size_bytes: int, content_type: str = ""
    ) -> messages.Artifact:
        """Store an artifact.

        Raises:
            ApiError: The server refused it, or could not be reached.
        """
        header = self._header(content_type=content_type, size_bytes=size_bytes)
        if not size_bytes:  # 0 says nothing of the size
            header.sha256 = hashlib.sha256(b"").digest()
        header.artifact.run_id, header.artifact.key = run_id, key
        return await self._put(header, begin)

    async def get(self, run_id: str, key: str) -> bytes:
        """Return the bytes of an artifact.

        Raises:
            ApiError: There is none, or the server could not be reached, or sent other bytes.
        """
        data = bytearray()

        def begin() -> Receive:
            data.clear()
            return data.extend

        await self._get(self._artifact_request(run_id, key), begin)
        return bytes(data)

    async def get_into(self, run_id: str, key: str, file: BinaryIO) -> messages.Artifact:
        """Write an artifact into a file that can be sought, from where it stands. Raises as `get`."""
        start = file.tell()

        def begin() -> Receive:
            file.seek(start)
            file.truncate()
            return file.write

        return await self._get(self._artifact_request(run_id, key), begin)

    async def list(self, run_id: str, prefix: str = "") -> AsyncIterator[messages.Artifact]:
        """Yield the artifacts of a run, by key.

        Raises:
            ApiError: There is no such run, or the server could not be reached.
        """
        request = messages.ListArtifactsRequest(
            namespace=self._namespace,
            run_id=run_id,
            key_prefix=prefix,
            page_size=PAGE_SIZE,
            lease_token=self._lease_token,
        )
        while True:
            response = await self._caller(self._stub.ListArtifacts, request)
            for artifact in response.artifacts:
                yield artifact
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    async def delete(self, run_id: str, key: str) -> bool:
        """Delete an artifact, and say whether there was one.

        Raises:
            ApiError: There is no such run, or the server could not be reached.
        """
        request = messages.DeleteArtifactRequest(
            namespace=self._namespace,
            artifact=messages.ArtifactKey(run_id=run_id, key=key),
            lease_token=self._lease_token,
        )
        return (await self._caller(self._stub.DeleteArtifact, request)).deleted

    def _header(self, **fields: Any) -> messages.PutArtifactHeader:
        return messages.PutArtifactHeader(namespace=self._namespace, lease_token=self._lease_token, **fields)

    def _get_request(self, **target: Any) -> messages.GetArtifactRequest:
        return messages.GetArtifactRequest(namespace=self._namespace, lease_token=self._lease_token, **target)

    def _artifact_request(self, run_id: str, key: str) -> messages.GetArtifactRequest:
        return self._get_request(artifact=messages.ArtifactKey(run_id=run_id, key=key))

    async def _put(self, header: messages.PutArtifactHeader, begin: Chunks) -> messages.Artifact:
        unreadable: list[Exception] = []

        async def parts() -> AsyncIterator[messages.PutArtifactRequest]:
            yield messages.PutArtifactRequest(header=header)
            try:
                async for chunk in begin():
                    yield messages.PutArtifactRequest(chunk=chunk)
            except Exception as error:
                unreadable.append(error)
                raise

        async def attempt() -> messages.PutArtifactResponse:
            try:
                response: messages.PutArtifactResponse = await self._stub.PutArtifact(
                    parts(), metadata=self._connection.metadata
                )
            except asyncio.CancelledError:
                if unreadable:  # gRPC cancels the call, and forgets why
                    raise unreadable[0] from None
                raise
            return response

        return (await self._caller.repeat(attempt)).artifact

    async def _get(
        self, request: messages.GetArtifactRequest, begin: Callable[[], Receive], sha256: bytes = b""
    ) -> messages.Artifact:
        async def attempt() -> messages.Artifact:
            header, digest, receive = messages.Artifact(), hashlib.sha256(), begin()
            call: Any = self._stub.GetArtifact(request, metadata=self._connection.metadata)
            try:
                async for part in call:
                    if part.HasField("header"):
                        header = part.header
                        continue
                    digest.update(part.chunk)
                    receive(part.chunk)
            finally:
                call.cancel()
            if digest.digest() != (sha256 or header.sha256):
                raise InternalError(
                    "the bytes that came are not those that were stored: their SHA-256 differs"
                )
            return header

        return await self._caller.repeat(attempt)


async def in_chunks(data: bytes) -> AsyncIterator[bytes]:
    """Yield bytes in pieces that fit in a message."""
    view = memoryview(data)
    for start in range(0, len(view), CHUNK_BYTES):
        yield bytes(view[start : start + CHUNK_BYTES])
