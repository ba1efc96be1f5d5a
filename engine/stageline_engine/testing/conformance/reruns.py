"""Rerun by generation, repair of what stands still, and remarks."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from stageline_engine.commands import (
    AnnotateRun,
    Disposition,
    ReportJob,
    RerunRun,
    RunAnnotated,
    RunRerunResult,
)
from stageline_engine.events import Annotation
from stageline_engine.model.run import RunState
from stageline_engine.ports import AnnotationFilter
from stageline_engine.records import AnnotationRecord
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.definitions import stage
from stageline_engine.testing.play import Play
from stageline_engine.testing.scene import completed, failed


def rerun(run_id: UUID, from_stage_id: str, **fields: object) -> RerunRun:
    """The command that reruns from a stage."""
    return RerunRun("default", run_id, from_stage_id, **fields)  # type: ignore[arg-type]


class RerunConformance(Conformance):
    """SPEC scenarios 86 to 91: what is before is kept, what comes after runs again, the old generation is fenced."""

    async def test_11_7_86_stages_before_keep_their_outputs_and_those_after_run_again(self) -> None:
        async with self.play("a", "b", "c", "d") as (play, run_id):
            await play.finish(run_id)
            result = await play.scene.kernel.dispatch(rerun(run_id, "c", reason="a better prompt"))
            assert result == RunRerunResult(2, ("c", "d"))
            offer = await play.offer()
            assert (offer.stage_id, offer.generation, offer.attempt) == ("c", 2, 1)
            assert offer.outputs == {"b": '"b"'}
            await play.scene.report(offer, completed("better"))
            await play.finish(run_id)
            details = await play.scene.details(run_id)
            assert [entry.stage.generation for entry in details.stages] == [1, 1, 2, 2]
            assert [entry.result.output for entry in details.stages if entry.result] == [
                '"a"',
                '"b"',
                '"better"',
                '"d"',
            ]
            again = await play.scene.kernel.dispatch(rerun(run_id, "d"))
            assert again == RunRerunResult(2, ("d",)) or again == RunRerunResult(3, ("d",))

    async def test_11_7_86_an_ended_run_tells_of_its_rerun(self) -> None:
        async with self.play("a", "b") as (play, run_id):
            await play.finish(run_id)
            await play.scene.kernel.dispatch(rerun(run_id, "b"))
            told = await play.payload(run_id, "run:rerun")
            assert (told["from_stage_id"], told["group"], told["generation"]) == ("b", 2, 2)
            assert await play.run_state(run_id) is RunState.RUNNING

    async def test_11_7_88_the_whole_parallel_group_runs_again(self) -> None:
        async with self.play("a", ["b", "c"], "d") as (play, run_id):
            await play.finish(run_id)
            await play.scene.kernel.dispatch(rerun(run_id, "c"))
            assert sorted(offer.stage_id for offer in await play.offers()) == ["b", "c"]

    async def test_11_7_89_what_cannot_be_rerun_is_refused_and_nothing_changes(self) -> None:
        async with self.play("a", "b") as (play, run_id):
            running = await play.scene.kernel.dispatch(rerun(run_id, "a"))
            await play.scene.report(await play.offer(), failed(retryable=False))
            unknown = await play.scene.kernel.dispatch(rerun(run_id, "nowhere"))
            early = await play.scene.kernel.dispatch(rerun(run_id, "b"))
            events = len(await play.scene.events(run_id))
            reasons = [answer.reason for answer in (running, unknown, early) if isinstance(answer, Rejection)]
            assert reasons == [
                Reason.RUN_NOT_RERUNNABLE,
                Reason.STAGE_NOT_FOUND,
                Reason.PREDECESSORS_INCOMPLETE,
            ]
            assert await play.run_state(run_id) is RunState.FAILED
            assert events == len(await play.scene.events(run_id))

    async def test_a_failed_run_is_rerun_from_where_it_failed(self) -> None:
        async with self.play("a", "b") as (play, run_id):
            await play.scene.report(await play.offer(), completed("a"))
            await play.scene.report(await play.offer(), failed(retryable=False))
            await play.scene.kernel.dispatch(rerun(run_id, "b"))
            details = await play.scene.details(run_id)
            assert (details.run.error, details.run.ended_at) == (None, None)
            await play.finish(run_id)
            assert await play.run_state(run_id) is RunState.COMPLETED

    async def test_11_7_91_a_zombie_of_the_old_generation_is_fenced(self) -> None:
        async with self.play("a", ["b", "c"]) as (play, run_id):
            await play.scene.report(await play.offer(), completed("a"))
            zombie, other = await play.offers()
            play.scene.clock.advance(timedelta(hours=1))
            await play.scene.reap()
            play.session_id = await play.scene.open_session()
            for offer in await play.offers():
                await play.scene.report(offer, failed(retryable=False))
            await play.scene.kernel.dispatch(rerun(run_id, "b"))
            fresh = await play.offers()
            for late in (zombie, other):
                recorded = await play.scene.report(late, completed("zombie"))
                assert recorded.disposition is Disposition.SUPERSEDED
            for offer in fresh:
                await play.scene.report(offer, completed("fresh"))
            details = await play.scene.details(run_id)
            assert [entry.result.output for entry in details.stages[1:] if entry.result] == [
                '"fresh"',
                '"fresh"',
            ]

    async def test_the_same_key_reruns_once(self) -> None:
        async with self.play("a") as (play, run_id):
            await play.finish(run_id)
            command = rerun(run_id, "a", idempotency_key="once")
            first = await play.scene.kernel.dispatch(command)
            await play.finish(run_id)
            assert await play.scene.kernel.dispatch(command) == first
            assert await play.run_state(run_id) is RunState.COMPLETED

    async def test_a_rerun_may_bring_another_config(self) -> None:
        async with self.play("a") as (play, run_id):
            await play.finish(run_id)
            await play.scene.kernel.dispatch(rerun(run_id, "a", config=b'{"a": {"model": "better"}}'))
            assert (await play.offer()).config == '{"model":"better"}'

    async def test_the_slices_of_stages_that_are_not_named_stay(self) -> None:
        async with self.play("a", "b") as (play, _):
            run_id = await play.scene.create("flow", config=b'{"a": {"model": "good"}, "b": {"size": 1}}')
            await play.finish(run_id)
            for override in (b'{"a": {"model": "better"}}', b'{"b": {"size": 2}}'):
                await play.scene.kernel.dispatch(rerun(run_id, "a", config=override))
                await play.finish(run_id)
            details = await play.scene.details(run_id)
            assert details.payload.config == '{"a":{"model":"better"},"b":{"size":2}}'

    async def test_the_same_key_is_recognised_although_the_config_has_changed_since(self) -> None:
        async with self.play("a") as (play, run_id):
            await play.finish(run_id)
            once = rerun(run_id, "a", config=b'{"a": {"model": "better"}}', idempotency_key="once")
            first = await play.scene.kernel.dispatch(once)
            await play.finish(run_id)
            await play.scene.kernel.dispatch(rerun(run_id, "a", config=b'{"a": {"model": "best"}}'))
            assert await play.scene.kernel.dispatch(once) == first

    async def test_lease_epochs_never_go_back(self) -> None:
        async with self.play("a", "b") as (play, run_id):
            epochs: list[int] = []
            for _ in range(3):
                await play.finish(run_id)
                epochs.append((await play.scene.details(run_id)).stages[1].stage.lease_epoch)
                await play.scene.kernel.dispatch(rerun(run_id, "a"))
            assert epochs == [1, 2, 3]

    async def test_11_4_44_a_config_that_does_not_fit_never_reaches_a_stage(self) -> None:
        schema = '{"type":"object","properties":{"length":{"type":"integer"}}}'
        async with self.play(stage("a", config_schema=schema, default_config='{"length":1}')) as (
            play,
            run_id,
        ):
            await play.finish(run_id)
            refused = await play.scene.kernel.dispatch(
                rerun(run_id, "a", config=b'{"a": {"length": "long"}}')
            )
            assert isinstance(refused, Rejection)
            assert refused.reason is Reason.INVALID_CONFIG
            assert [violation.field for violation in refused.violations] == ["config.a.length"]
            assert await play.run_state(run_id) is RunState.COMPLETED
            await play.scene.kernel.dispatch(rerun(run_id, "a"))
            assert (await play.offer()).config == '{"length":1}'


class AnnotationConformance(Conformance):
    """Remarks are kept once each, told on wish, and found by what they say."""

    async def test_11_10_115_one_row_per_id_and_the_event_with_it(self) -> None:
        async with self.play("a") as (play, run_id):
            said = Annotation("n-1", "decision.outcome", '"yes"', emit_event=True)
            first = await play.scene.kernel.dispatch(AnnotateRun("default", run_id, (said,)))
            again = await play.scene.kernel.dispatch(AnnotateRun("default", run_id, (said,)))
            assert (first, again) == (RunAnnotated(("n-1",)), RunAnnotated(()))
            assert (await play.scene.event_types(run_id)).count("annotation:created") == 1
            [record] = await self._list(play, run_id)
            assert (record.annotation.key, record.annotation.value) == ("decision.outcome", '"yes"')

    async def test_remarks_of_a_report_are_kept_with_it_and_dropped_with_a_ghost(self) -> None:
        async with self.play("a") as (play, run_id):
            offer = await play.offer()
            lease = offer.lease
            said = Annotation("n-1", "decision.confidence", "0.9")
            command = ReportJob(
                "default", run_id, lease.stage_number, lease.lease_token, completed(), annotations=(said,)
            )
            ghost = ReportJob(
                "default", run_id, 1, play.scene.ids.new_token(), completed(), (Annotation("n-2", "k", "1"),)
            )
            await play.scene.kernel.dispatch_many([ghost, command])
            [record] = await self._list(play, run_id)
            kept = record.annotation
            assert (kept.id, kept.scope, kept.scope_id) == ("n-1", "stage", "a")
            assert (kept.stage_number, kept.generation, kept.attempt) == (1, 1, 1)

    async def test_remarks_that_cannot_be_kept_do_not_cost_the_report(self) -> None:
        async with self.play("a") as (play, run_id):
            lease = (await play.offer()).lease
            unfit = (Annotation("n\0", "key", "1"), Annotation("n-2", "key", "{not JSON", scope="\0"))
            command = ReportJob(
                "default", run_id, lease.stage_number, lease.lease_token, completed(), annotations=unfit
            )
            recorded = await play.scene.kernel.dispatch(command)
            assert "annotations.1.scope" in recorded.note  # type: ignore[union-attr]
            assert await play.run_state(run_id) is RunState.COMPLETED
            assert await self._list(play, run_id) == []

    async def test_remarks_made_at_the_start_come_with_the_run(self) -> None:
        async with self.play("a") as (play, _):
            said = Annotation("n-1", "trigger.source", '"cron"')
            run_id = await play.scene.create("flow", annotations=(said,))
            assert [record.annotation for record in await self._list(play, run_id)] == [said]

    async def test_filters_hold_together_and_in_order_of_time(self) -> None:
        async with self.play("a") as (play, run_id):
            for number in range(3):
                said = Annotation(
                    f"n-{number}", f"key.{number % 2}", "1", actor_kind="human", actor_id=str(number)
                )
                await play.scene.kernel.dispatch(AnnotateRun("default", run_id, (said,)))
                play.scene.clock.advance(timedelta(seconds=1))
            ids = [r.annotation.id for r in await self._list(play, run_id, key_prefix="key.")]
            assert ids == ["n-0", "n-1", "n-2"]
            assert [r.annotation.id for r in await self._list(play, run_id, key="key.0")] == ["n-0", "n-2"]
            both = await self._list(play, run_id, key="key.0", actor_id="2")
            assert [record.annotation.id for record in both] == ["n-2"]
            since = await self._list(play, run_id, since=play.scene.clock.now() - timedelta(seconds=1))
            assert [record.annotation.id for record in since] == ["n-2"]

    async def test_another_namespaces_remarks_do_not_exist(self) -> None:
        async with self.play("a") as (play, run_id):
            said = Annotation("n-1", "key", "1")
            answer = await play.scene.kernel.dispatch(AnnotateRun("other", run_id, (said,)))
            assert isinstance(answer, Rejection)
            assert answer.reason is Reason.RUN_NOT_FOUND
            queries = play.scene.backend.queries
            assert not await queries.list_annotations("other", run_id, AnnotationFilter(), limit=9)

    @staticmethod
    async def _list(play: Play, run_id: UUID, **which: Any) -> list[AnnotationRecord]:
        queries = play.scene.backend.queries
        return list(await queries.list_annotations("default", run_id, AnnotationFilter(**which), limit=100))
