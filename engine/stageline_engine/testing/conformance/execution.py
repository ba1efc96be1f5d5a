"""What running stages in this process promises, with any executor and on any store."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import orjson

from stageline_engine.commands import (
    Completed,
    Disposition,
    ExecuteJob,
    Failed,
    JobExecuted,
    JobOffer,
    LeaseOnce,
    Outcome,
    PollSuspended,
    StillWaiting,
    Suspended,
    SuspendedPolled,
)
from stageline_engine.events import StageError
from stageline_engine.execution import Execution
from stageline_engine.kernel import Kernel
from stageline_engine.limits import CHECK_TIMEOUT, LEASE_DURATION, PAYLOAD_INLINE_BYTES_MAX
from stageline_engine.model.job import JobKind
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.ports import JobVoice, StageExecutor
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.play import batch_stage
from stageline_engine.testing.scene import Scene

Behaviour = Callable[[JobOffer, JobVoice], Awaitable[Outcome]]
"""What the stage of a test does."""


class ExecutorConformance(ABC):
    """An executor returns what its stage says, and stops when it is cancelled."""

    @abstractmethod
    def executor(self, behaviour: Behaviour) -> StageExecutor:
        """Returns an executor whose stage ``a`` of workflow ``w`` does this."""

    @abstractmethod
    def offer(self) -> JobOffer:
        """Returns a job of that stage."""

    @abstractmethod
    def voice(self) -> JobVoice:
        """Returns a voice that hears everything."""

    async def test_what_the_stage_says_is_the_outcome(self) -> None:
        async def behave(offer: JobOffer, voice: JobVoice) -> Outcome:
            await voice.log("INFO", "hello")
            await voice.progress(0.5)
            await voice.fetch_outputs([])
            return Completed(orjson.dumps(offer.attempt))

        offer = self.offer()
        outcome = await self.executor(behave).execute(offer, self.voice())
        assert outcome == Completed(orjson.dumps(offer.attempt))

    async def test_what_the_stage_raises_is_its_failure(self) -> None:
        async def behave(offer: JobOffer, voice: JobVoice) -> Outcome:
            raise ValueError("it broke")

        outcome = await self.executor(behave).execute(self.offer(), self.voice())
        assert isinstance(outcome, Failed)
        assert (outcome.error.type, outcome.error.message) == ("ValueError", "it broke")

    async def test_a_cancelled_execution_stops_its_stage(self) -> None:
        begun, stopped = asyncio.Event(), asyncio.Event()

        async def behave(offer: JobOffer, voice: JobVoice) -> Outcome:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
            raise AssertionError("unreachable")

        task = asyncio.ensure_future(self.executor(behave).execute(self.offer(), self.voice()))
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert stopped.is_set()


class _Scripted:
    """An executor that does what its test says."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave

    async def execute(self, offer: JobOffer, voice: JobVoice) -> Outcome:
        return await self._behave(offer, voice)


def in_process(scene: Scene, behave: Behaviour) -> Kernel:
    """A kernel that runs stages by themselves, on the time of a scene."""
    backend = scene.backend
    execution = Execution(_Scripted(behave), backend.sessions, backend.queries, backend.logs, scene.clock)
    return Kernel(
        backend.persistence,
        backend.registry,
        scene.clock,
        scene.ids,
        payloads=scene.payloads,
        execution=execution,
    )


async def execute(kernel: Kernel, run_id: UUID, stage_id: str) -> JobExecuted:
    """Executes the job of a stage that must be there."""
    done = await kernel.dispatch(ExecuteJob("default", run_id, stage_id))
    assert isinstance(done, JobExecuted), done
    return done


async def say_stage(offer: JobOffer, voice: JobVoice) -> Outcome:
    """Completes with the stage's id."""
    return Completed(orjson.dumps(offer.stage_id))


async def suspend_at_once(offer: JobOffer, voice: JobVoice) -> Outcome:
    """Suspends, to be checked at once."""
    return Suspended(first_check_delay=timedelta(0))


class ExecutionConformance(Conformance):
    """``job.execute`` and ``stage.pollSuspended``."""

    async def test_executors_are_given_large_payloads_and_no_references(self) -> None:
        large = orjson.dumps("x" * PAYLOAD_INLINE_BYTES_MAX)
        heard: dict[str, str | None] = {}

        async def behave(offer: JobOffer, voice: JobVoice) -> Outcome:
            if offer.kind is JobKind.CHECK:
                heard["state"] = offer.suspended_state
                return Completed(large)
            if offer.stage_id == "batch":
                return Suspended(state=large, first_check_delay=timedelta(0))
            heard["input"] = heard.get("input") or offer.run_input
            heard[offer.stage_id] = next(iter(offer.outputs.values()), None)
            heard["fetched"] = (await voice.fetch_outputs(["a"])).get("a")
            return Completed(large)

        async with self.scene() as scene:
            await scene.register(workflow("w", "a", "b", batch_stage(), "c"))
            run_id, kernel = await scene.create("w", large), in_process(scene, behave)
            for stage_id in ("a", "b", "batch"):
                await execute(kernel, run_id, stage_id)
            assert (await kernel.dispatch(PollSuspended())).resumed == 1
            await execute(kernel, run_id, "c")
            again = await execute(kernel, run_id, "a")
            assert again.outcome == Completed(large)
            text = large.decode()
            assert heard == {"input": text, "a": None, "b": text, "state": text, "c": text, "fetched": text}
            assert (await scene.details(run_id)).run.state is RunState.COMPLETED

    async def test_a_run_goes_through_its_groups_in_process(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("w", "a", ["b", "c"]))
            run_id, kernel = await scene.create("w"), in_process(scene, say_stage)
            for stage_id in ("a", "b", "c"):
                done = await execute(kernel, run_id, stage_id)
                assert (done.disposition, done.ghost) == (Disposition.RECORDED, False)
            details = await scene.details(run_id)
            assert details.run.state is RunState.COMPLETED
            assert not await scene.backend.sessions.list("default", limit=10)

    async def test_in_process_and_a_worker_leave_the_same_rows(self) -> None:
        async with self.scene() as scene:
            registered = await scene.register(workflow("w", "a", batch_stage(), ["b", "c"]))
            outcomes: dict[str, list[Outcome]] = {
                "a": [Failed(StageError("ValueError", "again"), retry_after=timedelta(0)), Completed(b"1")],
                "batch": [
                    Suspended(first_check_delay=timedelta(0)),
                    StillWaiting(timedelta(0)),
                    Completed(b"2"),
                ],
                "b": [Completed(b"3")],
                "c": [Failed(StageError("ValueError", "for good"), retryable=False)],
            }
            here, there = await scene.create("w"), await scene.create("w")
            session_id = await scene.open_session()
            said: Outcome = Completed(b"0")

            async def say(offer: JobOffer, voice: JobVoice) -> Outcome:
                return said

            kernel = in_process(scene, say)
            for stage_id, tries in outcomes.items():
                for said in tries:
                    scene.clock.advance(timedelta(minutes=1))
                    await scene.renew(session_id)
                    assert (await execute(kernel, here, stage_id)).outcome == said
                    demand = scene.demand(session_id, registered, slots=1)
                    leased = await kernel.dispatch_many([LeaseOnce("default", demand, there, stage_id)])
                    (offer,) = leased.effects.offers
                    await scene.report(offer, said)
            assert await _story(scene, here) == await _story(scene, there)

    async def test_a_stage_that_is_complete_is_not_run_again(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("w", "a", "b"))
            run_id = await scene.create("w")
            await execute(in_process(scene, say_stage), run_id, "a")
            before = await scene.event_types(run_id)
            again = await execute(in_process(scene, suspend_at_once), run_id, "a")
            assert again == JobExecuted(Completed(b'"a"'), Disposition.ALREADY_RECORDED)
            assert await scene.event_types(run_id) == before

    async def test_what_is_not_ready_or_unknown_is_not_run(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("w", "a", "b"))
            run_id, kernel = await scene.create("w"), in_process(scene, say_stage)
            assert await execute(kernel, run_id, "b") == JobExecuted()
            for refused, reason in (
                (ExecuteJob("default", run_id, "z"), Reason.STAGE_NOT_FOUND),
                (ExecuteJob("another", run_id, "a"), Reason.RUN_NOT_FOUND),
            ):
                answer = await kernel.dispatch(refused)
                assert isinstance(answer, Rejection)
                assert answer.reason is reason

    async def test_a_job_of_a_cancelled_run_is_a_ghost(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("w", "a"))
            run_id = await scene.create("w")

            async def cancel_meanwhile(offer: JobOffer, voice: JobVoice) -> Outcome:
                await scene.cancel(run_id)
                return Completed(b"1")

            kernel = in_process(scene, cancel_meanwhile)
            done = await execute(kernel, run_id, "a")
            assert (done.disposition, done.ghost) == (Disposition.RUN_ENDED, True)
            assert await execute(kernel, run_id, "a") == JobExecuted(ghost=True)
            assert "stage:completed" not in await scene.event_types(run_id)

    async def test_a_lease_is_extended_while_the_stage_works_and_lost_with_its_run(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("w", "a"))
            run_id, working, stopped = await scene.create("w"), asyncio.Event(), asyncio.Event()

            async def work(offer: JobOffer, voice: JobVoice) -> Outcome:
                working.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.set()
                raise AssertionError("unreachable")

            task = asyncio.ensure_future(execute(in_process(scene, work), run_id, "a"))
            await working.wait()
            for _ in range(6):
                scene.clock.advance(LEASE_DURATION / 3)
                expected = scene.clock.now() + LEASE_DURATION
                await _until_expiry(scene, expected)
                assert (await scene.reap()).requeued == 0
            await scene.cancel(run_id)
            scene.clock.advance(LEASE_DURATION / 3)
            assert await task == JobExecuted(ghost=True)
            assert stopped.is_set()

    async def test_what_the_executor_raises_hands_the_job_back(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("w", "a"))
            run_id = await scene.create("w")

            async def break_down(offer: JobOffer, voice: JobVoice) -> Outcome:
                raise ConnectionError("no machine")

            try:
                await execute(in_process(scene, break_down), run_id, "a")
            except ConnectionError:
                pass
            else:
                raise AssertionError("it was swallowed")
            stage = (await scene.details(run_id)).stages[0].stage
            assert stage.state is StageState.PENDING
            done = await execute(in_process(scene, say_stage), run_id, "a")
            assert done.disposition is Disposition.RECORDED

    async def test_11_6_77_a_check_of_a_cancelled_run_resumes_nothing(self) -> None:
        async with self.scene() as scene:
            run_id = (await _suspended(scene, 1))[0]

            async def cancel_meanwhile(offer: JobOffer, voice: JobVoice) -> Outcome:
                await scene.cancel(run_id)
                return Completed(b"1")

            polled = await in_process(scene, cancel_meanwhile).dispatch(PollSuspended())
            assert polled == SuspendedPolled(0, 0, 0, 0, 0, ())
            assert (await in_process(scene, say_stage).dispatch(PollSuspended())).checked == 0
            assert (await scene.details(run_id)).stages[0].stage.state is StageState.CANCELLED

    async def test_11_6_79_a_slow_check_delays_no_other(self) -> None:
        async with self.scene() as scene:
            runs = await _suspended(scene, 40)
            others_are_done, left = asyncio.Event(), len(runs) - 1

            async def check(offer: JobOffer, voice: JobVoice) -> Outcome:
                nonlocal left
                assert offer.kind is JobKind.CHECK
                if offer.lease.run_id == runs[0]:
                    await others_are_done.wait()
                    scene.clock.advance(CHECK_TIMEOUT)
                    await asyncio.Event().wait()
                left -= 1
                if not left:
                    others_are_done.set()
                return Completed(b"1")

            polled = await in_process(scene, check).dispatch(PollSuspended(concurrency=4))
            assert polled == SuspendedPolled(40, 39, 0, 1, 1, tuple(runs[1:]))
            assert (await scene.details(runs[0])).stages[0].stage.state is StageState.SUSPENDED

    async def test_checks_say_ready_not_yet_or_failed(self) -> None:
        async with self.scene() as scene:
            runs = await _suspended(scene, 3)
            said: dict[UUID, Outcome] = {
                runs[0]: Completed(b"1"),
                runs[1]: StillWaiting(timedelta(seconds=5)),
                runs[2]: Failed(StageError("ValueError", "it broke"), retryable=False),
            }

            async def check(offer: JobOffer, voice: JobVoice) -> Outcome:
                return said[offer.lease.run_id]

            kernel = in_process(scene, check)
            assert await kernel.dispatch(PollSuspended()) == SuspendedPolled(3, 1, 1, 1, 0, (runs[0],))
            assert (await kernel.dispatch(PollSuspended())).checked == 0
            scene.clock.advance(timedelta(seconds=5))
            assert (await kernel.dispatch(PollSuspended(limit=1))).waiting == 1

    async def test_11_6_74_a_wait_that_is_over_is_not_checked(self) -> None:
        async with self.scene() as scene:
            (run_id,) = await _suspended(scene, 1)
            scene.clock.advance(timedelta(days=2))
            assert (await in_process(scene, say_stage).dispatch(PollSuspended())).checked == 0
            assert (await scene.details(run_id)).run.state is RunState.FAILED

    async def test_due_checks_are_listed_and_nothing_else(self) -> None:
        async with self.scene() as scene:
            (run_id,) = await _suspended(scene, 1)
            assert await scene.backend.queries.list_due_checks(limit=10) == []
            await scene.promote()
            (due,) = await scene.backend.queries.list_due_checks(limit=10)
            assert (due.namespace, due.run_id, due.stage_id) == ("default", run_id, "batch")
            await scene.create("w")
            assert len(await scene.backend.queries.list_due_checks(limit=10)) == 1


async def _suspended(scene: Scene, count: int) -> list[UUID]:
    """Runs whose stage waits, its check due at once."""
    await scene.register(workflow("w", batch_stage()))
    runs = [await scene.create("w") for _ in range(count)]
    kernel = in_process(scene, suspend_at_once)
    for run_id in runs:
        assert (await execute(kernel, run_id, "batch")).disposition is Disposition.RECORDED
    return runs


async def _story(scene: Scene, run_id: UUID) -> list[object]:
    """What became of a run, without the ids."""
    details = await scene.details(run_id)
    stages = [
        (
            each.stage.stage_id,
            each.stage.state,
            each.stage.attempt,
            each.stage.generation,
            each.result and each.result.output,
        )
        for each in details.stages
    ]
    events = await scene.event_types(run_id)
    return [details.run.state, details.run.current_group, stages, events]


async def _until_expiry(scene: Scene, expected: object) -> None:
    """Waits until the one living session was extended."""
    for _ in range(2000):
        (session,) = await scene.backend.sessions.list("default", limit=10)
        if session.expires_at == expected:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"the lease was not extended to {expected}")
