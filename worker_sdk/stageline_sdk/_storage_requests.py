"""What a stage asks of its run's storage: plain values, which a process can send to another one."""

from dataclasses import dataclass
from pathlib import Path

from stageline_sdk.artifacts import ArtifactData


@dataclass(frozen=True, slots=True)
class PutArtifact:
    """Store bytes, or the file at a path. Answered with an `Artifact`."""

    key: str
    data: bytes | Path
    content_type: str


@dataclass(frozen=True, slots=True)
class GetArtifact:
    """Read an artifact. Answered with its bytes; written into the file at a path where there is one."""

    key: str
    into: Path | None = None


@dataclass(frozen=True, slots=True)
class ListArtifacts:
    """List artifacts whose key has a prefix. Answered with a list of `Artifact`."""

    prefix: str


@dataclass(frozen=True, slots=True)
class DeleteArtifact:
    """Delete an artifact. Answered with whether there was one."""

    key: str


StorageRequest = PutArtifact | GetArtifact | ListArtifacts | DeleteArtifact

TEXT_TYPE = "text/plain; charset=utf-8"
JSON_TYPE = "application/json"
BYTES_TYPE = "application/octet-stream"


def content_type_of(data: ArtifactData, given: str) -> str:
    """Return the media type to put with."""
    return given or (TEXT_TYPE if isinstance(data, str) else BYTES_TYPE)
