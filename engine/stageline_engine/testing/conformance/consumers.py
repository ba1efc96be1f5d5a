"""What a UnitOfWork must do for several consumers of events: each its own streams; and the log that all are read from."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from stageline_engine.ports import ENTRY_READ, DeadLetterKey, LogCursor, OutboxSettlement
from stageline_engine.records import ChangeSet, EventSource
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.conformance.outbox import CLAIM, claim, sequence, settle, told
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.scene import Scene

HOUR = timedelta(hours=1)


async def read_all(scene: Scene, limit: int = 100, namespace: str = "default") -> list[tuple[UUID, int]]:
    """Reads the whole log, page by page."""
    await sequence(scene)
    cursor, found, more = LogCursor(), [], True
    while more:
        page = await scene.backend.queries.read_log(namespace, cursor, limit)
        found += [(logged.event.run_id, logged.event.sequence) for logged in page.events]
        cursor, more = page.cursor, page.more
    return found


class ConsumerConformance(Conformance):
    """One consumer's trouble is its own."""

    async def test_each_consumer_has_streams_of_its_own(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await sequence(scene, "a", "b")
            [batch] = await claim(scene, consumer="a")
            assert batch.source == EventSource(run_id, "default", "flow")
            assert told(await claim(scene, consumer="b")) == {run_id: [1, 2]}
            locked_until = scene.clock.now() + CLAIM
            await settle(scene, OutboxSettlement(run_id, locked_until, 2), consumer="a")
            dead = OutboxSettlement(run_id, locked_until, 1, tries=20, dead_at=scene.clock.now())
            await settle(scene, dead, consumer="b")
            await scene.cancel(run_id)
            assert told(await claim(scene, consumer="a")) == {run_id: [3, 4]}
            assert await claim(scene, consumer="b") == []
            [letter] = await scene.backend.queries.list_dead_letters("default", limit=9)
            assert letter.key == DeadLetterKey(run_id, "b", 2)
            assert (letter.dead_at, letter.source.workflow_name) == (scene.clock.now(), "flow")

    async def test_dead_letters_are_found_by_consumer_and_run_and_revived_one_by_one(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await sequence(scene, "a", "b")
            locked_until = scene.clock.now() + CLAIM
            for consumer in ("a", "b"):
                await claim(scene, consumer=consumer)
                dead = OutboxSettlement(run_id, locked_until, 0, tries=20, dead_at=scene.clock.now())
                await settle(scene, dead, consumer=consumer)
            queries, a, b = (
                scene.backend.queries,
                DeadLetterKey(run_id, "a", 1),
                DeadLetterKey(run_id, "b", 1),
            )

            async def keys(**which: object) -> list[DeadLetterKey]:
                found = await queries.list_dead_letters("default", limit=9, **which)  # type: ignore[arg-type]
                return [letter.key for letter in found]

            assert await keys() == [a, b]
            assert await keys(after=a) == await keys(consumer="b") == [b]
            assert await keys(run_id=run_id) == [a, b]
            assert await keys(run_id=UUID(int=1)) == []
            async with scene.backend.persistence.begin() as work:
                assert await work.revive_outbox([a._replace(sequence=2)], skip=True, limit=9) == []
                assert await work.revive_outbox([a], consumer="b", skip=False, limit=9) == []
                assert await work.revive_outbox([a], skip=True, limit=9) == [a]
                await work.commit(ChangeSet())
            assert await keys() == [b]
            assert told(await claim(scene, consumer="a")) == {run_id: [2]}

    async def test_a_new_consumer_is_told_of_what_comes_without_a_gap(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await sequence(scene, "old")
            await sequence(scene, "new")
            assert await claim(scene, consumer="new") == []
            await scene.cancel(run_id)
            assert told(await claim(scene, consumer="new")) == {run_id: [3, 4]}
            assert told(await claim(scene, consumer="old")) == {run_id: [1, 2, 3, 4]}

    async def test_a_consumer_that_nobody_keeps_is_forgotten_with_its_streams(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await sequence(scene, "gone", "kept")
            scene.clock.advance(2 * HOUR)
            await sequence(scene, "kept")
            async with scene.backend.persistence.begin() as work:
                assert list(await work.forget_consumers(scene.clock.now() - HOUR)) == ["gone"]
                await work.commit(ChangeSet())
            await scene.cancel(run_id)
            assert told(await claim(scene, consumer="kept")) == {run_id: [1, 2, 3, 4]}
            async with scene.backend.persistence.begin() as work:
                assert await work.claim_outbox("gone", scene.clock.now(), 9, scene.clock.now() + CLAIM) == []

    async def test_the_next_time_leaves_out_the_claim_that_asks(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            locked_until = scene.clock.now() + CLAIM
            await claim(scene)
            again_at = scene.clock.now() + timedelta(seconds=5)
            await settle(scene, OutboxSettlement(run_id, locked_until, 0, tries=1, next_try_at=again_at))
            await scene.create("flow")
            await claim(scene)
            async with scene.backend.persistence.begin() as work:
                assert await work.next_outbox_due("sink", locked_until) == again_at
                assert await work.next_outbox_due("sink", again_at) == again_at
                assert await work.next_outbox_due("other", again_at) is None

    async def test_the_log_has_every_event_once_in_order_whatever_the_page(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", [f"s{n}" for n in range(9)]))
            runs = [await scene.create("flow") for _ in range(3)]
            for run_id in runs:
                await scene.cancel(run_id)
            expected = {run_id: [event.sequence for event in await scene.events(run_id)] for run_id in runs}
            for limit in (1, 2, 7, 100):
                assert _by_run(await read_all(scene, limit)) == expected
            assert await read_all(scene, namespace="elsewhere") == []

    async def test_a_reader_goes_on_where_it_was(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            await sequence(scene)
            queries = scene.backend.queries
            first = await queries.read_log("default", LogCursor(), 100)
            assert [logged.event.sequence for logged in first.events] == [1, 2]
            assert (first.cursor.sequence, first.more) == (ENTRY_READ, False)
            assert first.events[0].source == EventSource(run_id, "default", "flow")
            assert (await queries.read_log("default", first.cursor, 100)).events == []
            await scene.cancel(run_id)
            assert (await queries.read_log("default", first.cursor, 100)).events == []
            assert await sequence(scene) == 1
            again = await queries.read_log("default", first.cursor, 100)
            assert [logged.event.sequence for logged in again.events] == [3, 4]

    async def test_those_who_sequence_at_once_give_each_commit_one_place(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", "a"))
            run_ids = [await scene.create("flow") for _ in range(30)]
            taken = await asyncio.gather(*(sequence(scene, limit=4) for _ in range(10)))
            assert sum(taken) == 30
            assert _by_run(await read_all(scene)) == {run_id: [1, 2] for run_id in run_ids}

    async def test_events_that_were_rolled_back_are_in_no_log(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            async with scene.backend.persistence.begin() as work:
                await work.sequence_events(scene.clock.now(), 9)
            assert await read_all(scene) == [(run_id, 1), (run_id, 2)]


def _by_run(found: Sequence[tuple[UUID, int]]) -> dict[UUID, list[int]]:
    by_run: dict[UUID, list[int]] = {}
    for run_id, number in found:
        by_run.setdefault(run_id, []).append(number)
    return by_run
