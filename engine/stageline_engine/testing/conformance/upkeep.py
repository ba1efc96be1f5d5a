"""What a UnitOfWork must find and take up by itself: times that have come, contradictions, dead letters, tokens, remarks."""

from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.commands import AnnotateRun
from stageline_engine.errors import ConcurrentChangeError
from stageline_engine.events import Annotation
from stageline_engine.model.definition import StageTimeouts
from stageline_engine.ports import DeadLetterKey, OutboxSettlement
from stageline_engine.records import ChangeSet, ResumeToken, SuspendedState
from stageline_engine.testing.conformance.base import Conformance, load
from stageline_engine.testing.conformance.outbox import claim, settle, told
from stageline_engine.testing.definitions import stage, workflow
from stageline_engine.testing.expectations import raises
from stageline_engine.testing.scene import SINK, Scene

MINUTE = timedelta(minutes=1)


class UpkeepConformance(Conformance):
    """Each search finds what is due, in its order, no more than asked for, and passes over what is locked."""

    async def test_pending_runs_are_claimed_by_urgency_and_passed_over_while_locked(self) -> None:
        async with self.scene_with_run() as (scene, _, _run_id):
            now = scene.clock.now()
            runs = [
                await scene.create("flow", start_at=now + minutes * MINUTE, priority=priority)
                for minutes, priority in ((3, 9), (1, 1), (2, 5))
            ]
            persistence = scene.backend.persistence
            async with persistence.begin() as work:
                assert await work.claim_pending_runs(now, 9) == ([], now + MINUTE)
                claimed, following = await work.claim_pending_runs(now + 2 * MINUTE, 9)
                assert ([run.id for run in claimed], following) == ([runs[2], runs[1]], now + 3 * MINUTE)
                async with persistence.begin() as other:
                    passed_over, _ = await other.claim_pending_runs(now + 3 * MINUTE, 9)
                    assert [run.id for run in passed_over] == [runs[0]]
            async with persistence.begin() as work:
                claimed, following = await work.claim_pending_runs(now + 3 * MINUTE, 1)
                assert ([run.id for run in claimed], following) == ([runs[0]], now + MINUTE)

    async def test_deadlines_are_found_in_their_order_with_the_next_one(self) -> None:
        async with self.scene() as scene:
            timed = stage("a", timeouts=StageTimeouts(schedule_to_start=MINUTE))
            await scene.register(workflow("flow", timed, run_timeout=3 * MINUTE))
            first = await scene.create("flow")
            begun = scene.clock.now()
            scene.clock.advance(timedelta(seconds=1))
            second = await scene.create("flow")
            ended = await scene.create("flow")
            await scene.cancel(ended)
            async with scene.backend.persistence.begin() as work:
                assert await work.due_deadlines(begun, 9) == ([], [], begun + MINUTE)
                late = begun + 4 * MINUTE
                assert await work.due_deadlines(late, 9) == ([(first, 1), (second, 1)], [first, second], None)
                next_one = begun + MINUTE + timedelta(seconds=1)
                assert await work.due_deadlines(late, 1) == ([(first, 1)], [first], next_one)

    async def test_runs_that_stand_still_are_found_and_healthy_ones_are_not(self) -> None:
        async with self.scene_with_run("a", "b") as (scene, _, stuck):
            await scene.create("flow")
            await scene.create("flow", start_at=scene.clock.now() + MINUTE)
            await scene.cancel(await scene.create("flow"))
            async with scene.backend.persistence.begin() as work:
                assert list(await work.stuck_runs(9)) == []
                await work.commit(ChangeSet(jobs_deleted=list((await load(work, stuck)).jobs)))
            async with scene.backend.persistence.begin() as work:
                assert list(await work.stuck_runs(9)) == [stuck]
                assert list(await work.stuck_runs(0)) == []

    async def test_a_resume_token_is_kept_and_used_once(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            token = ResumeToken(b"\0\xff" * 16, run_id, 1, 1, "a word", scene.clock.now() + MINUTE)
            used = replace(token, used_fingerprint=b"\0yes")
            await self._commit(scene, ChangeSet(resume_tokens=[token]))
            await self._commit(scene, ChangeSet(resume_tokens_used=[used]))
            with raises(ConcurrentChangeError):
                await self._commit(scene, ChangeSet(resume_tokens_used=[token]))
            foreign = replace(token, stage_number=2)
            await self._commit(scene, ChangeSet(resume_tokens=[foreign]))
            async with scene.backend.persistence.begin() as work:
                assert await work.load_resume_token(token.token_sha256) == used
                assert await work.load_resume_token(b"another") is None
            await self._commit(scene, ChangeSet(resume_tokens=[token]))
            async with scene.backend.persistence.begin() as work:
                assert await work.load_resume_token(token.token_sha256) == token

    async def test_a_wait_is_read_as_it_was_kept_in_its_generation(self) -> None:
        async with self.scene_with_run(["a", "b"]) as (scene, _, run_id):
            now = scene.clock.now()
            kept = SuspendedState(run_id, 1, 1, '{"n": 1}', now + MINUTE, timedelta(seconds=4))
            older = SuspendedState(run_id, 2, 0, "{}")
            await self._commit(scene, ChangeSet(suspended_states=[kept, older]))
            async with scene.backend.persistence.begin() as work:
                assert list(await work.load_waits([(run_id, 1), (run_id, 2), (run_id, 3)])) == [kept]
                assert list(await work.load_waits([])) == []

    async def test_configs_are_read_whole(self) -> None:
        async with self.scene_with_run() as (scene, _, plain):
            set_ = await scene.create("flow", config=b'{"a": {"size": 1}}')
            async with scene.backend.persistence.begin() as work:
                wanted = [plain, set_, scene.ids.new_id()]
                assert dict(await work.load_configs(wanted)) == {plain: "{}", set_: '{"a":{"size":1}}'}
                assert dict(await work.load_configs([])) == {}

    async def test_known_annotations_are_told_from_new_ones(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            other = await scene.create("flow")
            said = (Annotation("n-1", "key", "1"), Annotation("n-2", "key", "1"))
            await scene.kernel.dispatch(AnnotateRun("default", run_id, said))
            async with scene.backend.persistence.begin() as work:
                wanted = {run_id: {"n-1", "n-3", "n\0"}, other: {"n-1"}}
                assert list(await work.known_annotations(wanted)) == [(run_id, "n-1")]

    async def test_dead_letters_are_listed_by_run_and_replayed(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            other, living = await scene.create("flow"), await scene.create("flow")
            await self._kill(scene, run_id, other)
            queries = scene.backend.queries
            letters = await queries.list_dead_letters("default", limit=9)
            assert [(one.event.run_id, one.event.sequence) for one in letters] == [(run_id, 2), (other, 2)]
            assert {(one.tries, one.last_error) for one in letters} == {(20, "\u00fc")}
            assert [
                one.event.run_id
                for one in await queries.list_dead_letters("default", after=letters[0].key, limit=9)
            ] == [other]
            assert [one.event.run_id for one in await queries.list_dead_letters("default", limit=1)] == [
                run_id
            ]
            assert list(await queries.list_dead_letters("elsewhere", limit=9)) == []
            assert await self._revive(scene, living, other) == [other]
            assert told(await claim(scene))[other] == [2]
            assert [one.event.run_id for one in await queries.list_dead_letters("default", limit=9)] == [
                run_id
            ]
            assert await self._revive(scene, limit=0) == []
            assert await self._revive(scene) == [run_id]
            assert list(await queries.list_dead_letters("default", limit=9)) == []

    async def test_a_dead_letter_may_be_skipped(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            other = await scene.create("flow")
            await self._kill(scene, run_id, other)
            await scene.cancel(other)
            assert await self._revive(scene, skip=True) == [run_id, other]
            assert told(await claim(scene)) == {other: [3, 4]}
            await scene.cancel(run_id)
            assert told(await claim(scene)) == {run_id: [3, 4]}

    async def _kill(self, scene: Scene, *run_ids: UUID) -> None:
        """Has each run's second event dead-lettered."""
        locked_until: datetime = scene.clock.now() + MINUTE
        await claim(scene)
        dead = [
            OutboxSettlement(
                run_id, locked_until, 1, tries=20, dead_at=scene.clock.now(), last_error="\u00fc"
            )
            for run_id in run_ids
        ]
        await settle(scene, *dead)

    async def _revive(self, scene: Scene, *run_ids: UUID, skip: bool = False, limit: int = 9) -> list[UUID]:
        async with scene.backend.persistence.begin() as work:
            letters = [DeadLetterKey(run_id, SINK, 2) for run_id in run_ids]
            revived = await work.revive_outbox(letters, skip=skip, limit=limit)
            await work.commit(ChangeSet())
        return [key.run_id for key in revived]

    async def _commit(self, scene: Scene, changes: ChangeSet) -> None:
        async with scene.backend.persistence.begin() as work:
            await work.commit(changes)
