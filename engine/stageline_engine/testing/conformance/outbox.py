"""What a UnitOfWork must do with the outbox: claims that outlive the transaction, in order per run."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from stageline_engine.ports import OutboxBatch, OutboxSettlement
from stageline_engine.records import ChangeSet
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.scene import SINK, Scene

CLAIM = timedelta(minutes=1)


async def sequence(scene: Scene, *consumers: str, limit: int = 1000) -> int:
    """Keeps consumers, gives commits their places, and commits."""
    async with scene.backend.persistence.begin() as work:
        await work.keep_consumers(consumers, scene.clock.now())
        count = await work.sequence_events(scene.clock.now(), limit)
        await work.commit(ChangeSet())
    return count


async def purge_ended_runs(
    scene: Scene, ended_before: datetime | None = None, limit: int = 100
) -> list[UUID]:
    """Gives commits their places, and purges runs that ended before a time, or by now; returns which."""
    await sequence(scene)
    moment = ended_before or scene.clock.now() + timedelta(microseconds=1)
    async with scene.backend.persistence.begin() as work:
        gone = await work.purge_runs(moment, limit)
        await work.commit(ChangeSet())
    return list(gone)


async def claim(scene: Scene, limit: int = 100, consumer: str = SINK) -> Sequence[OutboxBatch]:
    """Sequences, claims what is due, for a minute, and commits."""
    await sequence(scene, consumer)
    now = scene.clock.now()
    async with scene.backend.persistence.begin() as work:
        batches = await work.claim_outbox(consumer, now, limit, now + CLAIM)
        await work.commit(ChangeSet())
    return batches


async def settle(scene: Scene, *settlements: OutboxSettlement, consumer: str = SINK) -> None:
    """Settles and commits."""
    async with scene.backend.persistence.begin() as work:
        await work.settle_outbox(consumer, settlements)
        await work.commit(ChangeSet())


def told(batches: Sequence[OutboxBatch]) -> dict[UUID, list[int]]:
    """The sequences of each batch by run."""
    return {batch.run_id: [event.sequence for event in batch.events] for batch in batches}


class OutboxConformance(Conformance):
    """Each run's events go out in their order, by one flusher at a time, and a refused one holds up its run only."""

    async def test_a_claim_gives_events_as_they_were_written(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            [batch] = await claim(scene)
            assert (batch.run_id, batch.tries) == (run_id, 0)
            assert list(batch.events) == list(await scene.events(run_id))

    async def test_a_claimed_stream_is_nobody_elses_until_the_claim_lapses(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await claim(scene)
            assert await claim(scene) == []
            scene.clock.advance(CLAIM - timedelta(microseconds=1))
            assert await claim(scene) == []
            scene.clock.advance(timedelta(microseconds=1))
            assert told(await claim(scene)) == {run_id: [1, 2]}

    async def test_a_claim_that_is_rolled_back_did_not_happen(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await sequence(scene, SINK)
            now = scene.clock.now()
            async with scene.backend.persistence.begin() as work:
                assert len(await work.claim_outbox(SINK, now, 10, now + CLAIM)) == 1
                assert await claim(scene) == []
            assert told(await claim(scene)) == {run_id: [1, 2]}

    async def test_published_events_do_not_come_again_and_later_ones_do(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            locked_until = await self._claimed_until(scene)
            await settle(scene, OutboxSettlement(run_id, locked_until, published_up_to=2))
            assert await claim(scene) == []
            await scene.cancel(run_id)
            assert told(await claim(scene)) == {run_id: [3, 4]}

    async def test_undelivered_events_of_a_namespace_are_counted(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            queries = scene.backend.queries
            locked_until = await self._claimed_until(scene)
            assert (await queries.statistics("default")).undelivered == 2
            assert (await queries.statistics("another")).undelivered == 0
            await settle(scene, OutboxSettlement(run_id, locked_until, published_up_to=1))
            assert (await queries.statistics("default")).undelivered == 1

    async def test_events_of_the_time_between_claim_and_settlement_are_due_at_once(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            locked_until = await self._claimed_until(scene)
            await scene.cancel(run_id)
            await settle(scene, OutboxSettlement(run_id, locked_until, published_up_to=2))
            assert told(await claim(scene)) == {run_id: [3, 4]}

    async def test_a_refused_event_waits_with_all_that_follow_it(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            locked_until = await self._claimed_until(scene)
            again_at = scene.clock.now() + timedelta(seconds=5)
            await settle(
                scene,
                OutboxSettlement(run_id, locked_until, 1, tries=3, next_try_at=again_at, last_error="down"),
            )
            await scene.cancel(run_id)
            assert await claim(scene) == []
            scene.clock.set(again_at)
            [batch] = await claim(scene)
            assert (batch.tries, told([batch])) == (3, {run_id: [2, 3, 4]})

    async def test_other_runs_go_on_beside_one_that_waits(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            locked_until = await self._claimed_until(scene)
            other = await scene.create("flow")
            later = scene.clock.now() + timedelta(hours=1)
            await settle(scene, OutboxSettlement(run_id, locked_until, 0, tries=1, next_try_at=later))
            assert told(await claim(scene)) == {other: [1, 2]}

    async def test_11_10_113_a_dead_letter_holds_its_stream(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            locked_until = await self._claimed_until(scene)
            await settle(
                scene,
                OutboxSettlement(
                    run_id, locked_until, 1, tries=20, dead_at=scene.clock.now(), last_error="\u00fc"
                ),
            )
            scene.clock.advance(timedelta(days=365))
            await scene.cancel(run_id)
            assert await claim(scene) == []

    async def test_the_settlement_of_a_claim_that_was_taken_anew_is_passed_over(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            lapsed = await self._claimed_until(scene)
            scene.clock.advance(CLAIM)
            assert told(await claim(scene)) == {run_id: [1, 2]}
            await settle(scene, OutboxSettlement(run_id, lapsed, published_up_to=1))
            assert await claim(scene) == []
            scene.clock.advance(CLAIM)
            assert told(await claim(scene)) == {run_id: [1, 2]}

    async def test_the_settlement_of_a_claim_that_lapsed_unnoticed_counts(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            locked_until = await self._claimed_until(scene)
            scene.clock.advance(2 * CLAIM)
            await settle(scene, OutboxSettlement(run_id, locked_until, published_up_to=1))
            assert told(await claim(scene)) == {run_id: [2]}

    async def test_a_limit_cuts_a_stream_and_leaves_the_others(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", "a"))
            first = await scene.create("flow")
            scene.clock.advance(timedelta(seconds=1))
            second = await scene.create("flow")
            assert told(await claim(scene, 3)) == {first: [1, 2], second: [1]}
            scene.clock.advance(CLAIM)
            assert told(await claim(scene, 1)) == {first: [1]}
            assert told(await claim(scene, 1)) == {second: [1]}

    async def test_one_event_at_a_time_publishes_all_in_the_end(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", [f"s{n}" for n in range(9)]))
            busy = await scene.create("flow")
            await scene.cancel(busy)
            scene.clock.advance(timedelta(seconds=1))
            waiting = await scene.create("flow")
            published = {busy: 0, waiting: 0}
            for _ in range(14):
                for batch in await claim(scene, 1):
                    assert batch.events[0].sequence == published[batch.run_id] + 1
                    published[batch.run_id] = batch.events[-1].sequence
                    locked_until = scene.clock.now() + CLAIM
                    await settle(scene, OutboxSettlement(batch.run_id, locked_until, published[batch.run_id]))
            assert published == {busy: 12, waiting: 2}

    async def test_who_has_waited_longest_comes_first(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", "a"))
            lapsed, refused = await scene.create("flow"), await scene.create("flow")
            locked_until = await self._claimed_until(scene)
            again_at = scene.clock.now() + timedelta(seconds=50)
            await settle(scene, OutboxSettlement(refused, locked_until, 0, tries=1, next_try_at=again_at))
            scene.clock.advance(timedelta(seconds=40))
            fresh = await scene.create("flow")
            scene.clock.advance(CLAIM)
            assert [batch.run_id for batch in await claim(scene)] == [fresh, refused, lapsed]

    async def _claimed_until(self, scene: Scene) -> datetime:
        """Claims everything and returns the name of the claim."""
        now = scene.clock.now()
        await claim(scene)
        return now + CLAIM
