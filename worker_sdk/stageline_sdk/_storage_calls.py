"""Carries out what stages ask of their run's storage."""

import asyncio
from pathlib import Path
from typing import Any

from stageline_sdk._artifact_calls import ArtifactCalls
from stageline_sdk._artifact_data import decode_artifact, source_of
from stageline_sdk._storage_requests import (
    DeleteArtifact,
    GetArtifact,
    ListArtifacts,
    PutArtifact,
    StorageRequest,
)
from stageline_sdk.artifacts import Artifact


async def perform(calls: ArtifactCalls, run_id: str, request: StorageRequest) -> Any:
    """Carry a request out.

    Raises:
        ApiError: The server refused it, or could not be reached.
    """
    match request:
        case PutArtifact(key=key, data=data, content_type=content_type):
            async with source_of(data) as source:
                stored = await calls.put(
                    run_id, key, source.begin, content_type=content_type, size_bytes=source.size_bytes
                )
                return decode_artifact(stored)
        case GetArtifact(key=key, into=None):
            return await calls.get(run_id, key)
        case GetArtifact(key=key, into=Path() as path):
            return await _download(calls, run_id, key, path)
        case ListArtifacts(prefix=prefix):
            return [decode_artifact(message) async for message in calls.list(run_id, prefix)]
        case DeleteArtifact(key=key):
            return await calls.delete(run_id, key)


async def _download(calls: ArtifactCalls, run_id: str, key: str, path: Path) -> Artifact:
    with await asyncio.to_thread(path.open, "wb") as file:
        return decode_artifact(await calls.get_into(run_id, key, file))
