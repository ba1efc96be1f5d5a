"""What a LogStore must do."""

from dataclasses import replace
from uuid import UUID

from stageline_engine.ports import LogLine
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.scene import Scene


def line(scene: Scene, run_id: UUID, message: str, *, stage_number: int = 1, **metadata: object) -> LogLine:
    """One line at the scene's time."""
    return LogLine(run_id, stage_number, 1, "INFO", message, metadata, scene.clock.now(), generation=2)


class LogConformance(Conformance):
    """Lines come back in order, as they were, and to their own namespace only."""

    async def test_lines_come_back_in_order_with_growing_ids(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            lines = [line(scene, run_id, f"line {n}", n=n, nested={"a": [1.5, None, "ü"]}) for n in range(3)]
            await scene.backend.logs.append(lines[:2])
            await scene.backend.logs.append(lines[2:])
            stored = await scene.backend.logs.list("default", run_id, limit=10)
            assert [replace(found, id=0) for found in stored] == lines
            ids = [found.id for found in stored]
            assert ids == sorted(set(ids))
            assert ids[0] > 0

    async def test_list_goes_on_after_an_id(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            logs = scene.backend.logs
            await logs.append([line(scene, run_id, str(n)) for n in range(5)])
            first = await logs.list("default", run_id, limit=2)
            rest = await logs.list("default", run_id, after_id=first[-1].id, limit=10)
            assert [found.message for found in (*first, *rest)] == ["0", "1", "2", "3", "4"]

    async def test_list_can_be_of_one_stage(self) -> None:
        async with self.scene_with_run(["a", "b"]) as (scene, _, run_id):
            logs = scene.backend.logs
            await logs.append([line(scene, run_id, f"of {n}", stage_number=n) for n in (1, 2, 1)])
            found = await logs.list("default", run_id, stage_number=2, limit=10)
            assert [one.message for one in found] == ["of 2"]

    async def test_lines_of_other_runs_and_namespaces_stay_unseen(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            other, logs = await scene.create("flow"), scene.backend.logs
            await logs.append([line(scene, run_id, "mine"), line(scene, other, "other")])
            assert [found.message for found in await logs.list("default", run_id, limit=10)] == ["mine"]
            assert list(await logs.list("another", run_id, limit=10)) == []
            assert list(await logs.list("default", scene.ids.new_id(), limit=10)) == []

    async def test_append_of_nothing_is_nothing(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await scene.backend.logs.append([])
            assert list(await scene.backend.logs.list("default", run_id, limit=10)) == []
