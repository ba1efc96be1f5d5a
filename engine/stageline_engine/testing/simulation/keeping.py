"""What lies beside the database: artifacts by name, payloads by reference, and that nothing of it is lost or left behind."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from stageline_engine.blob_upkeep import clean_blobs
from stageline_engine.blobs import get_bytes
from stageline_engine.limits import PAGE_SIZE_MAX, PAYLOAD_GRACE, UPLOAD_TIME_MAX
from stageline_engine.model.stored_payload import StoredPayload, is_reference, reference_in
from stageline_engine.testing.scene import Scene

if TYPE_CHECKING:
    from stageline_engine.testing.simulation.history import History

LONGEST_GRACE = max(PAYLOAD_GRACE, UPLOAD_TIME_MAX)


class KeptArtifact(NamedTuple):
    """Bytes under a name, and the stage that put them; 0 for a client."""

    data: bytes
    stage_number: int


class Keeping:
    """What the world was told is stored.

    Attributes:
        artifacts: By run and key.
        texts: Payloads by SHA-256.
        uses: Which runs may refer to which payloads: each keeps its payload.
    """

    def __init__(self) -> None:
        """Nothing is stored yet."""
        self.artifacts: dict[tuple[UUID, str], KeptArtifact] = {}
        self.texts: dict[bytes, bytes] = {}
        self.uses: set[tuple[UUID, bytes]] = set()

    def rerun(self, run_id: UUID, numbers: Iterable[int]) -> None:
        """Stages run again: what they had put is gone."""
        numbers = frozenset(numbers)
        for (of, key), kept in list(self.artifacts.items()):
            if of == run_id and kept.stage_number in numbers:
                del self.artifacts[of, key]

    def forget(self, run_ids: frozenset[UUID]) -> None:
        """Runs are gone with all that was theirs."""
        self.artifacts = {key: kept for key, kept in self.artifacts.items() if key[0] not in run_ids}
        self.uses = {use for use in self.uses if use[0] not in run_ids}

    async def put(
        self, history: "History", namespace: str, text: bytes, run_id: UUID | None = None
    ) -> StoredPayload:
        """Puts a payload, for a run's worker or for a client."""
        stored = await history.world.same(
            lambda scene: scene.payloads.put(namespace, text, run_id=run_id), namespace
        )
        assert isinstance(stored, StoredPayload)
        self.texts[stored.sha256] = text
        if run_id is not None:
            self.uses.add((run_id, stored.sha256))
        return stored

    async def check_artifacts(self, history: "History", run_id: UUID) -> None:
        """A run has the artifacts that the world knows of, and no other; each has its bytes."""

        async def read(scene: Scene) -> dict[str, bytes]:
            rows = await scene.backend.blob_index.list_artifacts(scene.namespace, run_id, limit=PAGE_SIZE_MAX)
            return {row.key: await get_bytes(scene.blobs, row.blob.key) for row in rows}

        found = await history.world.same(read, history.runs[run_id].namespace)
        assert found == {key: kept.data for (of, key), kept in self.artifacts.items() if of == run_id}

    async def check_payloads(self, history: "History", run_id: UUID) -> None:
        """Whatever a run refers to is there, to the byte."""

        async def read(scene: Scene) -> list[str]:
            details = await scene.details(run_id)
            texts = [details.payload.input, *(one.result.output for one in details.stages if one.result)]
            named = [text for text in texts if text is not None and is_reference(text)]
            for text in named:
                reference = reference_in(text)
                assert reference is not None
                assert (await scene.payloads.text(scene.namespace, text)).encode() == self.texts[
                    reference.sha256
                ]
            return named

        await history.world.same(read, history.runs[run_id].namespace)

    async def clean(self, history: "History") -> None:
        """Removes what nobody needs; every run still has what it needs."""

        async def send(scene: Scene) -> None:
            while (await clean_blobs(scene.blobs, scene.backend.blob_index, scene.clock)).more:
                pass

        await history.world.same(send)
        for run_id in history.runs:
            await self.check_artifacts(history, run_id)
            await self.check_payloads(history, run_id)

    async def check_nothing_is_left(self, history: "History") -> None:
        """When all grace is over, the store has what runs need, and not a blob more."""
        for _ in range(2):
            history.world.advance(LONGEST_GRACE)
            await self.clean(history)
        needed = {(history.runs[run_id].namespace, sha256) for run_id, sha256 in self.uses}

        async def count(scene: Scene) -> int:
            return len([entry async for entry in scene.blobs.list()])

        assert await history.world.same(count) == len(self.artifacts) + len(needed)
