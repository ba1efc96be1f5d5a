"""What must hold when several servers do the same at once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from stageline_engine import commands
from stageline_engine.commands import Disposition, FlushOutbox, RunCreation
from stageline_engine.kernel import Kernel
from stageline_engine.limits import SESSION_TIMEOUT
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.scene import Scene, completed
from stageline_engine.testing.sink import CollectingSink

SERVERS = 4


class RaceConformance(Conformance):
    """Locks are taken in one order or passed over, so that nothing happens twice and nobody waits for ever."""

    async def test_every_job_is_leased_once(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("flow", "a"))
            run_ids = {await scene.create("flow") for _ in range(20)}
            sessions = [await scene.open_session() for _ in range(SERVERS)]
            leased: Counter[UUID] = Counter()

            async def lease_all(session_id: UUID) -> None:
                while leased.total() < len(run_ids):
                    offers = await scene.lease(session_id, registered, slots=3)
                    leased.update(offer.lease.run_id for offer in offers)
                    await asyncio.sleep(0)

            await asyncio.gather(*[lease_all(session_id) for session_id in sessions])
            assert leased == dict.fromkeys(run_ids, 1)

    async def test_11_3_31_no_job_is_a_ghost_because_its_run_was_not_yet_visible(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("flow", "a"))
            sessions = [await scene.open_session() for _ in range(SERVERS)]
            dispositions: Counter[Disposition] = Counter()
            runs_wanted = 40

            async def create_half() -> None:
                for _ in range(runs_wanted // 2):
                    await scene.create("flow")

            async def work(session_id: UUID) -> None:
                while dispositions.total() < runs_wanted:
                    for offer in await scene.lease(session_id, registered, slots=3):
                        dispositions[(await scene.report(offer, completed())).disposition] += 1
                    await asyncio.sleep(0)

            await asyncio.gather(create_half(), create_half(), *[work(session) for session in sessions])
            assert dispositions == {Disposition.RECORDED: runs_wanted}

    async def test_one_key_makes_one_run(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", "a"))
            answers = await asyncio.gather(
                *[scene.try_create("flow", idempotency_key="key") for _ in range(8)]
            )
            made = {answer.run_id for answer in answers if isinstance(answer, RunCreation)}
            refused = {answer.reason for answer in answers if isinstance(answer, Rejection)}
            assert len(made) == 1
            assert refused <= {Reason.REQUEST_IN_PROGRESS}
            again = await scene.try_create("flow", idempotency_key="key")
            assert isinstance(again, RunCreation)
            assert ({again.run_id}, again.replayed) == (made, True)

    async def test_siblings_that_end_at_once_start_the_next_group_once(self) -> None:
        async with self.scene_with_run([f"s{n}" for n in range(8)], "join") as (scene, registered, run_id):
            offers = await scene.lease(await scene.open_session(), registered)
            recorded = await asyncio.gather(*[scene.report(offer, completed(1)) for offer in offers])
            assert {answer.disposition for answer in recorded} == {Disposition.RECORDED}
            assert (await scene.event_types(run_id)).count("run:advanced") == 1
            details = await scene.details(run_id)
            assert [entry.stage.stage_id for entry in details.stages][-1] == "join"
            assert (details.run.open_stages, details.run.current_group) == (1, 2)

    async def test_one_report_sent_twice_at_once_is_recorded_once(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            [offer] = await scene.lease(await scene.open_session(), registered)
            answers = await asyncio.gather(*[scene.report(offer, completed(n)) for n in range(SERVERS)])
            told = Counter(answer.disposition for answer in answers)
            assert told == {Disposition.RECORDED: 1, Disposition.ALREADY_RECORDED: SERVERS - 1}
            assert (await scene.event_types(run_id)).count("stage:completed") == 1

    async def test_cancel_and_report_at_once_tell_one_story(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("flow", "a"))
            run_ids = [await scene.create("flow") for _ in range(10)]
            offers = await scene.lease(await scene.open_session(), registered)
            await asyncio.gather(
                *[scene.cancel(run_id) for run_id in run_ids],
                *[scene.report(offer, completed()) for offer in offers],
            )
            for run_id in run_ids:
                await self._told_once(scene, run_id)

    async def _told_once(self, scene: Scene, run_id: UUID) -> None:
        details, types = await scene.details(run_id), await scene.event_types(run_id)
        if details.run.state is RunState.COMPLETED:
            assert types[-2:] == ["stage:completed", "workflow:completed"]
        else:
            assert types[-2:] == ["stage:cancelled", "workflow:cancelled"]
            assert details.stages[0].stage.state is StageState.CANCELLED
        assert len(types) == 5

    async def test_batches_over_the_same_runs_in_any_order_do_not_deadlock(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("flow", ["a", "b"]))
            run_ids = [await scene.create("flow") for _ in range(10)]
            offers = await scene.lease(await scene.open_session(), registered)
            reports = [(offer, completed()) for offer in offers]
            forward = [one for one in reports if one[0].stage_id == "a"]
            backward = [one for one in reports if one[0].stage_id == "b"][::-1]
            await asyncio.gather(scene.report_many(*forward), scene.report_many(*backward))
            states = {(await scene.details(run_id)).run.state for run_id in run_ids}
            assert states == {RunState.COMPLETED}

    async def test_two_reapers_hand_a_job_on_once(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            await scene.lease(await scene.open_session(), registered)
            scene.clock.advance(SESSION_TIMEOUT)
            reaped = await asyncio.gather(*[scene.reap() for _ in range(SERVERS)])
            assert sum(answer.requeued for answer in reaped) == 1
            assert (await scene.event_types(run_id)).count("stage:requeued") == 1

    async def test_11_10_113_two_flushers_publish_each_event_once(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", "a"))
            run_ids = [await scene.create("flow") for _ in range(20)]
            sink, backend = CollectingSink(), scene.backend
            kernels = [
                Kernel(backend.persistence, backend.registry, scene.clock, scene.ids, {"sink": sink})
                for _ in range(SERVERS)
            ]

            async def flush_all(kernel: Kernel) -> None:
                while (await kernel.dispatch(FlushOutbox(limit=7))).published:
                    pass

            await asyncio.gather(*[flush_all(kernel) for kernel in kernels])
            told = {run_id: [event.sequence for event in sink.of_run(run_id)] for run_id in run_ids}
            assert told == {run_id: [1, 2] for run_id in run_ids}

    async def test_hundreds_of_commands_pass_through_one_batch(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("flow", "a", "b"))
            batch = [commands.CreateRun("default", "flow", b"{}", priority=n % 3) for n in range(300)]
            demand = scene.demand(await scene.open_session(), registered, slots=1000)
            dispatched = await scene.kernel.dispatch_many(batch, [demand])
            assert len({answer.run_id for answer in _creations(dispatched.results)}) == 300
            assert len(dispatched.effects.offers) == 300
            reports = [(offer, completed(offer.stage_id)) for offer in dispatched.effects.offers]
            reported = await scene.report_many(*reports, demands=[demand])
            assert len(reported.effects.offers) == 300
            assert {offer.outputs["a"] for offer in reported.effects.offers} == {'"a"'}


def _creations(results: Sequence[RunCreation | Rejection]) -> list[RunCreation]:
    return [answer for answer in results if isinstance(answer, RunCreation)]
