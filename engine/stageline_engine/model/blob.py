"""What is known of stored bytes: of each blob, of payloads, which are found by their content, of artifacts, by name."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class BlobState(StrEnum):
    """Where a blob stands between the store, which has its bytes, and the rows that name it."""

    WRITING = "WRITING"
    """Its upload has begun, and no row names it. After a day it is of a process that died."""
    STORED = "STORED"
    """Whole, and named by a payload or an artifact."""
    DROPPED = "DROPPED"
    """No row names it any more: its bytes are to be removed."""


class ArtifactChange(StrEnum):
    """What became of a change to an artifact."""

    STORED = "STORED"
    UNCHANGED = "UNCHANGED"
    DELETED = "DELETED"
    ABSENT = "ABSENT"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    LEASE_SUPERSEDED = "LEASE_SUPERSEDED"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes in the store. Their key is used once only, so that no late deletion can hit what came after it."""

    id: UUID
    namespace: str

    @property
    def key(self) -> str:
        """Its key in the BlobStore."""
        return f"{self.namespace}/{self.id}"


@dataclass(frozen=True, slots=True)
class PayloadRow:
    """A stored payload; its key is (namespace, sha256).

    Attributes:
        namespace: The tenant.
        sha256: Of the JSON text.
        size_bytes: Of the JSON text.
        blob_id: Where it is.
        keep_until: Until then it is kept though no run refers to it.
    """

    namespace: str
    sha256: bytes
    size_bytes: int
    blob_id: UUID
    keep_until: datetime

    @property
    def blob(self) -> Blob:
        """Where its bytes are."""
        return Blob(self.blob_id, self.namespace)


@dataclass(frozen=True, slots=True)
class LeaseClaim:
    """Under which lease a worker acts: its run's stage, and the secret that must be the present one."""

    stage_number: int
    lease_token: UUID


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """A named artifact of a run; its key is (run_id, key).

    Attributes:
        namespace: The run's.
        run_id: The run.
        key: Its name.
        blob_id: Where it is.
        content_type: Media type.
        size_bytes: Its length.
        sha256: Of its bytes.
        created_at: When it was put.
        stage_number: The stage that put it; 0 where a client did.
        stage_id: The stage's id; empty where a client did.
        generation: Of the stage that put it; 0 where a client did.
    """

    namespace: str
    run_id: UUID
    key: str
    blob_id: UUID
    content_type: str
    size_bytes: int
    sha256: bytes
    created_at: datetime
    stage_number: int = 0
    stage_id: str = ""
    generation: int = 0

    @property
    def blob(self) -> Blob:
        """Where its bytes are."""
        return Blob(self.blob_id, self.namespace)
