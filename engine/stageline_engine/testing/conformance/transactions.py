"""What a Persistence must promise of its transactions: locks, isolation, roll-back."""

from msgspec.structs import replace

from stageline_engine.model.stage import StageState
from stageline_engine.ports import ALL_STAGES
from stageline_engine.records import ChangeSet
from stageline_engine.testing.conformance.base import Conformance, load
from stageline_engine.testing.expectations import raises, waits_until_released
from stageline_engine.testing.scene import completed


class StopError(Exception):
    """Ends a transaction without a commit."""


class TransactionConformance(Conformance):
    """Left without ``commit``, nothing happened; what one has locked, another waits for or passes over."""

    async def test_load_gives_the_run_with_the_selected_stages_and_their_live_jobs(self) -> None:
        async with self.scene_with_run(["a", "b", "c"]) as (scene, registered, run_id):
            session_id = await scene.open_session()
            first, *_ = await scene.lease(session_id, registered)
            await scene.report(first, completed())
            async with scene.backend.persistence.begin() as work:
                [loaded] = await work.load_runs({run_id: frozenset({1, 3, 9})})
                assert loaded.run.id == run_id
                assert [stage.number for stage in loaded.stages] == [1, 3]
                assert [stage.state for stage in loaded.stages] == [StageState.COMPLETED, StageState.RUNNING]
                assert [job.stage_number for job in loaded.jobs] == [3]
                assert loaded.jobs[0].session_id == session_id

    async def test_load_gives_all_stages_or_none(self) -> None:
        async with (
            self.scene_with_run(["a", "b"], "c") as (scene, _, run_id),
            scene.backend.persistence.begin() as work,
        ):
            [bare] = await work.load_runs({run_id: frozenset()})
            assert (list(bare.stages), list(bare.jobs)) == ([], [])
            [full] = await work.load_runs({run_id: ALL_STAGES})
            assert [stage.stage_id for stage in full.stages] == ["a", "b"]
            assert [job.stage_number for job in full.jobs] == [1, 2]

    async def test_load_leaves_out_what_does_not_exist_and_orders_by_id(self) -> None:
        async with self.scene_with_run() as (scene, _, first):
            second = await scene.create("flow")
            async with scene.backend.persistence.begin() as work:
                wanted = {second: ALL_STAGES, scene.ids.new_id(): ALL_STAGES, first: ALL_STAGES}
                assert [loaded.run.id for loaded in await work.load_runs(wanted)] == [first, second]
                assert list(await work.load_runs({})) == []

    async def test_load_waits_for_a_lock_and_reads_what_was_committed(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            persistence = scene.backend.persistence
            async with persistence.begin() as first, persistence.begin() as second:
                run = (await load(first, run_id)).run
                waiting = await waits_until_released(load(second, run_id))
                await first.commit(ChangeSet(runs_updated=[replace(run, priority=77)]))
                assert (await waiting).run.priority == 77

    async def test_a_rollback_frees_the_locks(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            persistence = scene.backend.persistence
            async with persistence.begin() as second:
                async with persistence.begin() as first:
                    before = (await load(first, run_id)).run
                    waiting = await waits_until_released(load(second, run_id))
                assert (await waiting).run == before

    async def test_nothing_is_written_without_commit(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            before = await scene.details(run_id)

            async def give_up() -> None:
                async with scene.backend.persistence.begin() as work:
                    await load(work, run_id)
                    await work.reserve_keys({("default", "run.create", "key")})
                    await work.promote_jobs(scene.clock.now(), 10)
                    raise StopError

            with raises(StopError):
                await give_up()
            assert await scene.details(run_id) == before

    async def test_what_is_not_committed_is_not_seen(self) -> None:
        async with self.scene() as scene:
            session_id = await scene.open_session()
            expired_at = (await scene.backend.sessions.list("default", limit=1))[0].expires_at
            async with scene.backend.persistence.begin() as work:
                assert list(await work.expire_sessions(expired_at, 10)) == [session_id]
                [seen] = await scene.backend.sessions.list("default", limit=10)
                assert seen.ended_at is None
            [kept] = await scene.backend.sessions.list("default", limit=10)
            assert kept == seen

    async def test_transactions_on_different_runs_do_not_wait(self) -> None:
        async with self.scene_with_run() as (scene, _, first):
            second, persistence = await scene.create("flow"), scene.backend.persistence
            async with persistence.begin() as one, persistence.begin() as other:
                await load(one, first)
                assert (await load(other, second)).run.id == second

    async def test_outputs_are_those_of_completed_stages_within_the_limit(self) -> None:
        async with self.scene_with_run(["a", "b", "c"]) as (scene, registered, run_id):
            session_id = await scene.open_session()
            small, large, _ = await scene.lease(session_id, registered)
            await scene.report_many((small, completed("12345678")), (large, completed("123456789")))
            async with scene.backend.persistence.begin() as work:
                await load(work, run_id)
                found = await work.load_outputs({run_id: [1, 2, 3, 4]}, 10)
                assert dict(found) == {(run_id, 1): '"12345678"'}
                found = await work.load_outputs({run_id: [2, 1]}, 11)
                assert dict(found) == {(run_id, 1): '"12345678"', (run_id, 2): '"123456789"'}
