"""A run's storage in a dictionary, for tests of stages."""

import hashlib
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stageline_sdk._storage_requests import (
    DeleteArtifact,
    GetArtifact,
    ListArtifacts,
    PutArtifact,
    StorageRequest,
)
from stageline_sdk.artifacts import Artifact
from stageline_sdk.errors import NotFoundError


def store_in(kept: MutableMapping[str, bytes], request: StorageRequest) -> Any:
    """Carry a request out.

    Raises:
        NotFoundError: There is no artifact of this key.
    """
    match request:
        case PutArtifact(key=key, data=data):
            kept[key] = data.read_bytes() if isinstance(data, Path) else data
            return _artifact(key, kept[key], request.content_type)
        case GetArtifact(key=key, into=into):
            if key not in kept:
                raise NotFoundError(f"there is no artifact {key!r}", reason="ARTIFACT_NOT_FOUND")
            if into is None:
                return kept[key]
            into.write_bytes(kept[key])
            return _artifact(key, kept[key])
        case ListArtifacts(prefix=prefix):
            return [_artifact(key, data) for key, data in sorted(kept.items()) if key.startswith(prefix)]
        case DeleteArtifact(key=key):
            return kept.pop(key, None) is not None


def _artifact(key: str, data: bytes, content_type: str = "") -> Artifact:
    digest = hashlib.sha256(data).hexdigest()
    return Artifact("test", key, content_type, len(data), digest, "", datetime.now(UTC))
