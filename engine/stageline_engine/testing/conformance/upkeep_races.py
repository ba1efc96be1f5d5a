"""What several servers do by themselves, or are asked for, at the same moment: each thing happens once."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from stageline_engine.commands import (
    AnnotateRun,
    ClaimPendingRuns,
    ExpireDeadlines,
    ReapStuckRuns,
    ReplayDeadLetters,
    RerunRun,
    ResumeStage,
    SuspendCondition,
)
from stageline_engine.events import Annotation
from stageline_engine.kernel import Kernel
from stageline_engine.limits import POLL_INTERVAL_DEFAULT
from stageline_engine.ports import OutboxSettlement
from stageline_engine.records import ChangeSet
from stageline_engine.rejections import Rejection
from stageline_engine.testing.conformance.base import Conformance, load
from stageline_engine.testing.conformance.outbox import claim, settle
from stageline_engine.testing.definitions import digest_of, workflow
from stageline_engine.testing.play import batch_stage, timed_stage
from stageline_engine.testing.scene import SINK, Scene, completed, failed

SERVERS = 4
MINUTE = timedelta(minutes=1)


async def at_once(scene: Scene, *commands: Any) -> list[Any]:
    """Dispatches each command by a kernel of its own, all at the same time."""
    backend = scene.backend
    kernels = [Kernel(backend.persistence, backend.registry, scene.clock, scene.ids) for _ in commands]
    return list(
        await asyncio.gather(
            *[kernel.dispatch(command) for kernel, command in zip(kernels, commands, strict=True)]
        )
    )


def carried_out(answers: Sequence[Any]) -> list[Any]:
    """The answers that are no refusals."""
    return [answer for answer in answers if not isinstance(answer, Rejection)]


class UpkeepRaceConformance(Conformance):
    """Whoever comes second finds it done."""

    async def test_11_3_25_every_pending_run_is_claimed_once(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", "a"))
            later = scene.clock.now() + MINUTE
            run_ids = [await scene.create("flow", start_at=later) for _ in range(20)]
            scene.clock.advance(MINUTE)
            claimed: Counter[Any] = Counter()
            while claimed.total() < len(run_ids):
                for answer in await at_once(scene, *[ClaimPendingRuns(limit=3)] * SERVERS):
                    claimed.update(answer.run_ids)
            assert claimed == dict.fromkeys(run_ids, 1)

    async def test_a_deadline_is_acted_on_once(self) -> None:
        async with self.play(timed_stage("a", schedule_to_start=MINUTE)) as (play, run_id):
            play.scene.clock.advance(MINUTE)
            answers = await at_once(play.scene, *[ExpireDeadlines()] * SERVERS)
            assert sum(answer.stages for answer in answers) == 1
            assert (await play.scene.event_types(run_id)).count("stage:failed") == 1

    async def test_a_due_check_is_made_ready_and_leased_once(self) -> None:
        async with self.play(batch_stage()) as (play, _):
            await play.suspend()
            play.scene.clock.advance(POLL_INTERVAL_DEFAULT)
            answers = await asyncio.gather(*[play.scene.promote() for _ in range(SERVERS)])
            assert sum(answer.promoted for answer in answers) == 1
            sessions = [await play.scene.open_session() for _ in range(SERVERS)]
            leased = await asyncio.gather(*[play.scene.lease(one, play.registered) for one in sessions])
            assert sum(len(offers) for offers in leased) == 1

    async def test_11_7_98_a_lost_job_is_restored_once_by_several_servers(self) -> None:
        async with self.play("a") as (play, run_id):
            async with play.scene.backend.persistence.begin() as work:
                await work.commit(ChangeSet(jobs_deleted=list((await load(work, run_id)).jobs)))
            answers = await at_once(play.scene, *[ReapStuckRuns()] * SERVERS)
            assert sum(answer.jobs_restored for answer in answers) == 1
            assert len(await play.offers()) == 1

    async def test_a_token_ends_a_wait_once_whoever_comes_first(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            condition = SuspendCondition(hashlib.sha256(b"token").digest(), "a word")
            await play.suspend(never_poll=True, conditions=(condition,))
            outcomes = [completed(n) for n in range(SERVERS)]
            answers = await at_once(
                play.scene, *[ResumeStage("default", run_id, "batch", b"token", each) for each in outcomes]
            )
            assert len(carried_out(answers)) == 1
            assert (await play.scene.event_types(run_id)).count("stage:completed") == 1

    async def test_a_run_is_run_again_once(self) -> None:
        async with self.play("a") as (play, run_id):
            await play.finish(run_id)
            answers = await at_once(play.scene, *[RerunRun("default", run_id, "a")] * SERVERS)
            assert [answer.generation for answer in carried_out(answers)] == [2]
            assert len(await play.offers()) == 1

    async def test_a_remark_is_kept_once(self) -> None:
        async with self.play("a") as (play, run_id):
            said = (Annotation("n-1", "key", "1", emit_event=True),)
            answers = await at_once(play.scene, *[AnnotateRun("default", run_id, said)] * SERVERS)
            assert sorted(answer.added for answer in answers) == [(), (), (), ("n-1",)]
            assert (await play.scene.event_types(run_id)).count("annotation:created") == 1

    async def test_a_failure_and_a_cancellation_tell_one_story(self) -> None:
        async with self.play("a", "b") as (play, run_id):
            offer = await play.offer()
            await asyncio.gather(play.scene.cancel(run_id), play.scene.report(offer, failed(retryable=False)))
            ends = [
                type_
                for type_ in await play.scene.event_types(run_id)
                if type_ in ("workflow:cancelled", "workflow:failed")
            ]
            assert len(ends) == 1

    async def test_a_dead_letter_is_taken_up_once(self) -> None:
        async with self.scene_with_run() as (scene, _, run_id):
            locked_until = scene.clock.now() + MINUTE
            await claim(scene)
            await settle(
                scene, OutboxSettlement(run_id, locked_until, 1, tries=20, dead_at=scene.clock.now())
            )
            answers = await at_once(scene, *[ReplayDeadLetters()] * SERVERS)
            assert [answer.letters for answer in answers if answer.letters] == [((run_id, SINK, 2),)]

    async def test_a_definition_is_stored_once_and_others_are_versions_of_their_own(self) -> None:
        async with self.scene() as scene:
            same = [workflow("flow", "a")] * SERVERS
            others = [workflow("flow", "a", f"b-{n}") for n in range(SERVERS)]
            register = scene.backend.registry.register
            stored = await asyncio.gather(
                *[register("default", each, digest_of(each), scene.clock.now()) for each in [*same, *others]]
            )
            assert len({each.version for each in stored[:SERVERS]}) == 1
            assert sorted({each.version for each in stored}) == list(range(1, SERVERS + 2))
            routes = {route for each in stored for route in each.route_ids}
            assert len(routes) == 1 + 2 * SERVERS
