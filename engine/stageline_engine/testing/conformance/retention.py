"""What a UnitOfWork must forget, and what it must not."""

from datetime import timedelta
from decimal import Decimal

from stageline_engine.commands import HistoryPurged, PurgeHistory
from stageline_engine.events import Annotation
from stageline_engine.ports import ALL_STAGES, LogLine, PurgeBefore, Purged
from stageline_engine.records import ChangeSet
from stageline_engine.rejections import Rejection
from stageline_engine.testing.ai_calls import LedgerScene
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.conformance.consumers import read_all
from stageline_engine.testing.conformance.outbox import claim, purge_ended_runs, sequence
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.scene import SERVER, Scene, completed, failed

DAY = timedelta(days=1)


class RetentionConformance(Conformance):
    """Only what has ended long ago is forgotten, with all that is its own."""

    async def test_ended_runs_go_the_oldest_first_and_open_ones_stay(self) -> None:
        async with self.scene_with_run() as (scene, _, old):
            still_open = await scene.create("flow")
            await scene.cancel(old)
            scene.clock.advance(DAY)
            young = await scene.create("flow")
            await scene.cancel(young)
            assert await purge_ended_runs(scene, scene.clock.now(), 9) == [old]
            assert await purge_ended_runs(scene, scene.clock.now(), 9) == []
            queries = scene.backend.queries
            assert await queries.get_run("default", old, with_outputs=True) is None
            assert await queries.list_events("default", old, after_sequence=0, limit=9) is None
            for kept in (still_open, young):
                assert await queries.get_run("default", kept, with_outputs=True) is not None
            assert await purge_ended_runs(scene, scene.clock.now() + DAY, 9) == [young]

    async def test_a_limit_is_kept(self) -> None:
        async with self.scene_with_run() as (scene, _, first):
            second = await scene.create("flow")
            await scene.cancel(second)
            scene.clock.advance(timedelta(seconds=1))
            await scene.cancel(first)
            scene.clock.advance(DAY)
            assert await purge_ended_runs(scene, scene.clock.now(), 1) == [second]
            assert await purge_ended_runs(scene, scene.clock.now(), 1) == [first]

    async def test_a_locked_run_is_passed_over(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await scene.cancel(run_id)
            scene.clock.advance(DAY)
            async with scene.backend.persistence.begin() as work:
                await work.load_runs({run_id: ALL_STAGES})
                assert await purge_ended_runs(scene, scene.clock.now(), 9) == []
            assert await purge_ended_runs(scene, scene.clock.now(), 9) == [run_id]

    async def test_a_run_stays_while_a_consumer_has_not_taken_its_events(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await scene.cancel(run_id)
            await sequence(scene, "slow")
            scene.clock.advance(DAY)
            assert await purge_ended_runs(scene, scene.clock.now(), 9) == []
            assert len(await claim(scene, consumer="slow")) == 1

    async def test_a_run_stays_while_an_event_of_it_has_no_place_in_the_log(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await sequence(scene, "new")
            await scene.cancel(run_id)
            scene.clock.advance(DAY)
            purge = PurgeHistory(runs=timedelta(0))
            assert await scene.kernel.dispatch(purge) == HistoryPurged()
            assert len(await claim(scene, consumer="new")) == 1

    async def test_logs_and_remarks_go_with_their_run(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            kept = await scene.create("flow")
            for each in (run_id, kept):
                line = LogLine(each, 1, 1, "INFO", "said", {}, scene.clock.now())
                await scene.backend.logs.append([line])
            remark = Annotation("n-1", "decision.outcome", "1")
            await scene.cancel(await scene.create("flow", annotations=(remark,)))
            await scene.cancel(run_id)
            scene.clock.advance(DAY)
            assert len(await purge_ended_runs(scene, scene.clock.now(), 9)) == 2
            assert list(await scene.backend.logs.list("default", run_id, limit=9)) == []
            [line] = await scene.backend.logs.list("default", kept, limit=9)
            assert await scene.backend.logs.list("default", kept, after_id=line.id, limit=9) == []

    async def test_waste_stays_waste_and_what_counted_still_counts_when_the_run_is_gone(self) -> None:
        async with self.play("a", "b") as (play, run_id):
            ledger, scene = LedgerScene(play.scene), play.scene
            failing = await play.offer()
            await ledger.report(failing, failed(retry_after=timedelta(0)), ledger.new_call("1"))
            await scene.promote()
            counting = await play.offer()
            await ledger.report(counting, completed(1), ledger.new_call("2"), ledger.new_call(None))
            await ledger.record_under(await play.offer(), ledger.new_call("4"))
            await ledger.record(ledger.new_call("8"), run_id=run_id, stage_id="b")
            await scene.cancel(run_id)
            booked, total = await ledger.calls(), await ledger.check_totals(run_id)
            assert (total.calls, total.wasted_calls, total.wasted_cost) == (5, 2, Decimal(5))
            scene.clock.advance(DAY)
            assert await purge_ended_runs(scene, scene.clock.now(), 9) == [run_id]
            assert await ledger.total() == await ledger.total(run_id=run_id) == total
            assert [(one.row.call, one.wasted) for one in await ledger.calls()] == [
                (one.row.call, one.wasted) for one in booked
            ]

    async def test_keys_go_by_their_own_age_and_may_then_be_used_anew(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", "a"))
            first = await scene.create("flow", idempotency_key="k")
            scene.clock.advance(DAY)
            younger = await scene.create("flow", idempotency_key="l")
            before = PurgeBefore(keys=scene.clock.now())
            assert await _purge_records(scene, before, 9) == Purged(keys=1)
            assert await _purge_records(scene, before, 9) == Purged()
            assert await scene.create("flow", idempotency_key="l") == younger
            assert await scene.create("flow", idempotency_key="k") != first

    async def test_the_log_is_trimmed_from_its_beginning_and_keeps_its_newest_entry(self) -> None:
        async with self.scene_with_run() as (scene, _, first):
            second = await scene.create("flow")
            await sequence(scene)
            scene.clock.advance(DAY)
            before = PurgeBefore(log=scene.clock.now())
            assert await _purge_records(scene, before, 9) == Purged(log=1)
            assert await read_all(scene) == [(second, 1), (second, 2)]
            await scene.cancel(first)
            await sequence(scene)
            assert await _purge_records(scene, before, 9) == Purged(log=1)
            assert {run_id for run_id, _ in await read_all(scene)} == {first}
            oldest, newest = await scene.backend.queries.log_bounds()
            assert oldest == newest > 0

    async def test_ended_sessions_go_and_living_ones_stay(self) -> None:
        async with self.scene() as scene:
            ended, living = await scene.open_session(), await scene.open_session()
            await scene.backend.sessions.end(ended, SERVER, scene.clock.now(), "GOODBYE")
            scene.clock.advance(DAY)
            before = PurgeBefore(sessions=scene.clock.now())
            assert await _purge_records(scene, before, 9) == Purged(sessions=1)
            left = await scene.backend.sessions.list("default", include_ended=True, limit=9)
            assert [session.id for session in left] == [living]

    async def test_a_purged_run_leaves_no_hole_in_the_log_for_readers(self) -> None:
        async with self.scene_with_run() as (scene, _, gone):
            await scene.cancel(gone)
            scene.clock.advance(DAY)
            kept = await scene.create("flow")
            await sequence(scene)
            await purge_ended_runs(scene, scene.clock.now(), 9)
            for limit in (1, 9):
                assert await read_all(scene, limit) == [(kept, 1), (kept, 2)]

    async def test_one_command_forgets_all_kinds_and_says_whether_there_is_more(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", "a"))
            runs = [await scene.create("flow", idempotency_key=f"k{n}") for n in range(3)]
            for run_id in runs:
                await scene.cancel(run_id)
            await sequence(scene)
            scene.clock.advance(2 * DAY)
            assert await _purge(scene, PurgeHistory()) == HistoryPurged()
            purge = PurgeHistory(runs=DAY, limit=20)
            done = await _purge(scene, purge)
            assert (set(done.run_ids), done.keys, done.log, done.more) == (set(runs[:2]), 3, 5, True)
            done = await _purge(scene, purge)
            assert (done.run_ids, done.keys, done.log, done.more) == ((runs[2],), 0, 0, False)


async def _purge(scene: Scene, command: PurgeHistory) -> HistoryPurged:
    result = await scene.kernel.dispatch(command)
    assert not isinstance(result, Rejection)
    return result


async def _purge_records(scene: Scene, before: PurgeBefore, limit: int) -> Purged:
    async with scene.backend.persistence.begin() as work:
        purged = await work.purge_records(before, limit)
        await work.commit(ChangeSet())
    return purged
