"""The remarks about a run: what is stored, and what must be."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from stageline_engine.ports import AnnotationFilter
from stageline_engine.testing.scene import Scene

if TYPE_CHECKING:
    from stageline_engine.testing.simulation.history import History


async def remarks_of(history: "History", run_id: UUID) -> set[str]:
    """Which remarks a run has."""

    async def read(scene: Scene) -> Any:
        which = AnnotationFilter(key_prefix="key.")
        namespace = history.runs[run_id].namespace
        return list(await scene.backend.queries.list_annotations(namespace, run_id, which, limit=100))

    return {record.annotation.id for record in await history.world.same(read)}


async def check_remarks(history: "History", run_id: UUID) -> None:
    """Every acknowledged remark is there, and no other, unless others are on their way."""
    stored, known = await remarks_of(history, run_id), history.annotations[run_id]
    assert stored >= known if history.at_once else stored == known
