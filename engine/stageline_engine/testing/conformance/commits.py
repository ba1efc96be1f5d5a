"""What ``commit`` must promise: guards on every write, all or nothing, and the inputs of leased jobs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.errors import ConcurrentChangeError
from stageline_engine.events import StageError
from stageline_engine.model.job import JobRow
from stageline_engine.model.run import RunError, RunRow
from stageline_engine.model.stage import StageRow
from stageline_engine.ports import InputRequest, LoadedRun
from stageline_engine.records import ChangeSet, EventRow, KeyRecord, StageResult
from stageline_engine.testing.conformance.base import Conformance, load
from stageline_engine.testing.expectations import raises
from stageline_engine.testing.scene import Scene, completed

STALE = 1000
"""Added to a version: no row has come that far."""


class CommitConformance(Conformance):
    """A write names the version that it read. One stale row, and nothing of the transaction is written."""

    async def test_every_written_version_grows_by_one(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            async with scene.backend.persistence.begin() as work:
                before = await load(work, run_id)
                assert (before.run.version, before.stages[0].version, before.jobs[0].version) == (1, 1, 1)
                changes = ChangeSet(
                    runs_updated=[before.run],
                    stages_updated=[before.stages[0]],
                    jobs_updated=[before.jobs[0]],
                )
                await work.commit(changes)
            async with scene.backend.persistence.begin() as work:
                after = await load(work, run_id)
                assert after.run == replace(before.run, version=2)
                assert list(after.stages) == [replace(before.stages[0], version=2)]
                assert list(after.jobs) == [replace(before.jobs[0], version=2)]

    async def test_every_field_of_a_run_is_kept(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            error = RunError("Кодер", "several\nlines \U0001f4a5", "a")
            async with scene.backend.persistence.begin() as work:
                run = replace((await load(work, run_id)).run, error=error, failed_stages=3, event_sequence=9)
                await work.commit(ChangeSet(runs_updated=[run]))
            assert (await scene.details(run_id)).run == replace(run, version=2)

    async def test_a_stale_run_is_refused(self) -> None:
        await self._refused(lambda scene, before: ChangeSet(runs_updated=[_stale(before.run)]))

    async def test_a_stale_stage_is_refused(self) -> None:
        await self._refused(lambda scene, before: ChangeSet(stages_updated=[_stale(before.stages[0])]))

    async def test_a_stale_job_is_refused(self) -> None:
        await self._refused(lambda scene, before: ChangeSet(jobs_updated=[_stale(before.jobs[0])]))

    async def test_a_stale_deletion_is_refused(self) -> None:
        await self._refused(lambda scene, before: ChangeSet(jobs_deleted=[_stale(before.jobs[0])]))

    async def test_a_run_that_exists_is_not_inserted(self) -> None:
        await self._refused(lambda scene, before: ChangeSet(runs_inserted=[before.run]))

    async def test_a_stage_that_exists_is_not_inserted(self) -> None:
        await self._refused(lambda scene, before: ChangeSet(stages_inserted=[before.stages[0]]))

    async def test_a_job_that_exists_is_not_inserted(self) -> None:
        await self._refused(lambda scene, before: ChangeSet(jobs_inserted=[before.jobs[0]]))

    async def test_a_sequence_that_exists_is_not_inserted(self) -> None:
        def again(scene: Scene, before: LoadedRun) -> ChangeSet:
            event = EventRow(
                before.run.id,
                before.run.event_sequence,
                "stage:progress",
                b"{}",
                scene.clock.now(),
                scene.ids.new_id(),
            )
            return ChangeSet(events=[event])

        await self._refused(again)

    async def test_one_stale_row_among_good_ones_undoes_all(self) -> None:
        def mixed(scene: Scene, before: LoadedRun) -> ChangeSet:
            good_run = replace(before.run, priority=99)
            good_stage = replace(before.stages[0], delivery=5)
            return ChangeSet(
                runs_updated=[good_run],
                stages_updated=[good_stage, _stale(before.stages[1])],
                jobs_deleted=[before.jobs[0]],
            )

        await self._refused(mixed)

    async def _refused(self, changes: Callable[[Scene, LoadedRun], ChangeSet]) -> None:
        """Expects that a commit of these changes is refused and leaves no trace."""
        async with self.scene_with_run(["a", "b"]) as (scene, _, run_id):
            before = await scene.details(run_id), await scene.events(run_id)
            with raises(ConcurrentChangeError):
                async with scene.backend.persistence.begin() as work:
                    await work.commit(changes(scene, await load(work, run_id)))
            assert (await scene.details(run_id), await scene.events(run_id)) == before

    async def test_a_key_that_exists_is_not_inserted(self) -> None:
        async with self.scene() as scene:
            key = KeyRecord("default", "run.create", "k", b"\x00\xff", b"[1]", scene.clock.now())
            async with scene.backend.persistence.begin() as work:
                await work.commit(ChangeSet(keys=[key]))
            with raises(ConcurrentChangeError):
                async with scene.backend.persistence.begin() as work:
                    await work.commit(ChangeSet(keys=[replace(key, result=b"[2]")]))
            async with scene.backend.persistence.begin() as work:
                name = (key.namespace, key.command, key.key)
                assert await work.reserve_keys({name}) == {name: key}

    async def test_an_empty_commit_is_no_error(self) -> None:
        async with self.scene() as scene, scene.backend.persistence.begin() as work:
            assert list(await work.commit(ChangeSet())) == []

    async def test_inputs_are_what_the_requests_name(self) -> None:
        async with self.scene_with_run("a", "b") as (scene, _, _run_id):
            run_id = await scene.create("flow", b'{"url": "x"}', config=b'{"a": {"n": 1}}')
            async with scene.backend.persistence.begin() as work:
                await load(work, run_id)
                first = InputRequest(run_id, 1, "a", True, (), 1000)
                second = InputRequest(run_id, 2, "b", False, (1,), 1000)
                of_first, of_second = await work.commit(ChangeSet(), [first, second])
            assert (of_first.config.replace(" ", ""), of_first.run_input) == ('{"n":1}', '{"url": "x"}')
            assert (of_second.config, of_second.run_input, dict(of_second.outputs)) == ("{}", None, {})

    async def test_outputs_come_in_order_as_long_as_they_fit(self) -> None:
        async with self._completed_group() as (scene, run_id):
            for bytes_max, expected in ((2, []), (3, [2]), (7, [2]), (8, [2, 1]), (11, [2, 1, 3])):
                request = InputRequest(run_id, 4, "d", False, (2, 1, 9, 3), bytes_max)
                async with scene.backend.persistence.begin() as work:
                    await load(work, run_id)
                    [inputs] = await work.commit(ChangeSet(), [request])
                assert list(inputs.outputs) == expected, bytes_max

    @asynccontextmanager
    async def _completed_group(self) -> AsyncIterator[tuple[Scene, UUID]]:
        """A run whose stages 1, 2 and 3 have outputs of 5, 3 and 3 bytes."""
        async with self.scene_with_run(["a", "b", "c"], "d") as (scene, registered, run_id):
            offers = await scene.lease(await scene.open_session(), registered)
            for offer, text in zip(offers, ("123", "1", "2"), strict=True):
                await scene.report(offer, completed(text))
            yield scene, run_id

    async def test_inputs_see_the_outputs_of_the_same_commit(self) -> None:
        async with self.scene_with_run(["a", "b"], "c") as (scene, registered, _run_id):
            first, second = await scene.lease(await scene.open_session(), registered)
            await scene.report(first, completed("early"))
            demand = scene.demand(await scene.open_session(), registered)
            dispatched = await scene.report_many((second, completed("late")), demands=[demand])
            [offer] = dispatched.effects.offers
            assert dict(offer.outputs) == {"a": '"early"', "b": '"late"'}

    async def test_the_result_of_a_later_try_replaces_the_earlier_one(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            [generation] = [entry.stage.generation for entry in (await scene.details(run_id)).stages]
            failure = StageResult(run_id, 1, generation, None, {}, StageError("E", "m", "at line 1"))
            success = StageResult(run_id, 1, generation, '{"b": 1, "a": [1.0, 1e2]}', {"pages": 3.5}, None)
            for result in (failure, success):
                async with scene.backend.persistence.begin() as work:
                    await load(work, run_id)
                    await work.commit(ChangeSet(results=[result]))
                [stage] = (await scene.details(run_id)).stages
                assert stage.result == result


Row = TypeVar("Row", RunRow, StageRow, JobRow)


def _stale(row: Row) -> Row:
    """The row as somebody would write it who read another version."""
    return replace(row, version=row.version + STALE)
