"""ArtifactService: artifacts of runs, and payloads that are too large for a message."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc

from stageline.v1 import artifact_service_pb2 as messages
from stageline.v1 import artifact_service_pb2_grpc
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import answering, streaming
from stageline_server.services.artifact_reader import ArtifactReader
from stageline_server.services.artifact_writer import ArtifactWriter

Context = grpc.aio.ServicerContext[Any, Any]


class ArtifactService(artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Streams bytes in and out; what they are is the engine's."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane to work with."""
        self._reader = ArtifactReader(plane)
        self._writer = ArtifactWriter(plane)

    @answering
    async def PutArtifact(
        self, request_iterator: AsyncIterator[messages.PutArtifactRequest], context: Context
    ) -> messages.PutArtifactResponse:
        """Stores bytes that the client streams."""
        return messages.PutArtifactResponse(artifact=await self._writer.put(request_iterator))

    @streaming
    async def GetArtifact(
        self, request: messages.GetArtifactRequest, context: Context
    ) -> AsyncGenerator[messages.GetArtifactResponse, None]:
        """Streams stored bytes."""
        async for part in self._reader.get(request):
            yield part

    @answering
    async def ListArtifacts(
        self, request: messages.ListArtifactsRequest, context: Context
    ) -> messages.ListArtifactsResponse:
        """Lists the artifacts of a run."""
        return await self._reader.page(request)

    @answering
    async def DeleteArtifact(
        self, request: messages.DeleteArtifactRequest, context: Context
    ) -> messages.DeleteArtifactResponse:
        """Deletes an artifact."""
        return messages.DeleteArtifactResponse(deleted=await self._writer.delete(request))
