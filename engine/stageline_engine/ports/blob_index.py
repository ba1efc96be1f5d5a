"""Which stored bytes there are, and who needs them: the rows beside the BlobStore.

Bytes and rows are in two places, so one order holds everywhere. A blob is announced (``begin``), its bytes are put, then a
row names it; where the row is not written, ``drop`` says that the bytes may go. Bytes are removed only after the commit
that took the last row away, by ``waste`` and ``forget``. So a row never names bytes that are gone, and what a crash leaves
is found.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from stageline_engine.model.blob import ArtifactChange, ArtifactRow, Blob, LeaseClaim, PayloadRow


class PinnedRun(NamedTuple):
    """Which version a run is pinned to."""

    namespace: str
    workflow_name: str
    workflow_version: int


class BlobIndex(Protocol):
    """Rows of blobs, payloads and artifacts. Another namespace's rows do not exist.

    Atomic: each method is one transaction. Any method may raise ``StorageUnavailableError`` where the database is away; whether it has
    been done is unknown then, and each is safe to repeat.
    """

    async def begin(self, blob: Blob, now: datetime) -> None:
        """Announces a blob whose bytes are about to be put."""
        ...

    async def drop(self, blob: Blob, now: datetime) -> None:
        """Says that a blob that was announced will not be named: its bytes may go. One that was named is left alone."""
        ...

    async def keep_payload(self, payload: PayloadRow, now: datetime, run_id: UUID | None = None) -> None:
        """Names an announced blob as a payload. Where the payload is there already, the blob is dropped instead.

        Args:
            payload: The payload; its life is prolonged to ``keep_until``.
            now: The present time.
            run_id: Lets this run's workers refer to it, and read it.

        Raises:
            ConcurrentChangeError: The blob was announced too long ago, and was given up.
        """
        ...

    async def find_payload(
        self, namespace: str, sha256: bytes, keep_until: datetime | None = None, run_id: UUID | None = None
    ) -> PayloadRow | None:
        """Returns a payload, or None.

        Args:
            namespace: The tenant.
            sha256: Its content.
            keep_until: Prolongs its life to this time, if that is later.
            run_id: Only where this run refers to it or a worker of it has put it.
        """
        ...

    async def put_artifact(
        self, artifact: ArtifactRow, now: datetime, lease: LeaseClaim | None = None
    ) -> ArtifactChange:
        """Names an announced blob as an artifact, in the place of the one of the same key, whose blob is dropped.

        Where the key has the same bytes and media type already, or the run or the lease is not there, the announced blob
        is left to be dropped.

        Args:
            artifact: The artifact. With a lease, its stage and generation are those of the lease's stage.
            now: The present time.
            lease: The worker's right; it is held against the run's lock, so that no lease that has ended can write.

        Returns:
            ``STORED``, ``UNCHANGED``, ``RUN_NOT_FOUND`` or ``LEASE_SUPERSEDED``.

        Raises:
            ConcurrentChangeError: The blob was announced too long ago, and was given up.
        """
        ...

    async def delete_artifact(
        self, namespace: str, run_id: UUID, key: str, now: datetime, lease: LeaseClaim | None = None
    ) -> ArtifactChange:
        """Takes an artifact away.

        Returns:
            ``DELETED``, ``ABSENT``, ``RUN_NOT_FOUND`` or ``LEASE_SUPERSEDED``.
        """
        ...

    async def get_artifact(self, namespace: str, run_id: UUID, key: str) -> ArtifactRow | None:
        """Returns an artifact, or None."""
        ...

    async def list_artifacts(
        self, namespace: str, run_id: UUID, *, key_prefix: str = "", after_key: str = "", limit: int
    ) -> Sequence[ArtifactRow]:
        """Returns a run's artifacts by key, after a key."""
        ...

    async def pinned_run(self, run_id: UUID) -> PinnedRun | None:
        """Returns which version a run is pinned to; None where there is no such run."""
        ...

    async def expire_payloads(self, now: datetime, keep_until: datetime, limit: int) -> int:
        """Takes payloads away whose time is over and that no run refers to; their blobs are dropped.

        A transaction that is about to refer to a payload holds its row, so it is passed over; one that comes too late
        finds no row, and fails as a concurrent change.

        Args:
            now: Payloads whose ``keep_until`` is over by then are looked at.
            keep_until: When those that a run refers to are looked at again.
            limit: Payloads that are looked at.

        Returns:
            How many were looked at.
        """
        ...

    async def waste(self, written_before: datetime, limit: int) -> Sequence[Blob]:
        """Returns dropped blobs, and announced ones that nobody named since ``written_before``, which are dropped by it."""
        ...

    async def forget(self, blobs: Collection[Blob]) -> None:
        """Takes away the rows of dropped blobs whose bytes are gone."""
        ...
