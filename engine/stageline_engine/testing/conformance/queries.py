"""What RunQueries must answer."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from stageline_engine.commands import JobOffer, ReportProgress
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.ports import RunFilter, Statistics, Workload
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.scene import completed, failed


class QueryConformance(Conformance):
    """Answers are what was last committed, in a total order, and never another namespace's."""

    async def test_a_run_comes_with_its_payload_and_stages(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", ["a", "b"], "c"))
            text = b' {"b": 1, "a": "\\u00fc \xc3\xbc", "b2": 1.0e2} '
            run_id = await scene.create(
                "flow", text, config=b'{"a": {"n": 1}}', labels={"k": "v"}, priority=7
            )
            details = await scene.details(run_id)
            run, payload = details.run, details.payload
            assert (run.id, run.namespace, run.workflow_name, run.workflow_version) == (
                run_id,
                "default",
                "flow",
                1,
            )
            assert (run.state, run.priority, run.current_group, run.open_stages) == (
                RunState.RUNNING,
                7,
                1,
                2,
            )
            assert (run.created_at, run.started_at, run.ended_at) == (
                scene.clock.now(),
                scene.clock.now(),
                None,
            )
            assert (run.total_cost, run.total_tokens, run.error) == (Decimal(0), 0, None)
            assert payload.input.strip() == text.decode().strip()
            assert payload.config.replace(" ", "") == '{"a":{"n":1}}'
            assert dict(payload.labels) == {"k": "v"}
            assert [entry.stage.stage_id for entry in details.stages] == ["a", "b"]

    async def test_a_stage_tells_who_works_on_it_and_when_it_may_be_leased(self) -> None:
        async with self.scene_with_run(["a", "b", "c"]) as (scene, registered, run_id):
            session_id = await scene.open_session(worker_name="höst-1.7")
            first, _second = await scene.lease(session_id, registered, slots=2)
            await scene.report(first, failed(retry_after=timedelta(seconds=90)))
            delayed, leased, ready = (await scene.details(run_id)).stages
            now = scene.clock.now()
            assert (delayed.worker_name, delayed.available_at) == ("", now + timedelta(seconds=90))
            assert (leased.worker_name, leased.available_at) == ("höst-1.7", None)
            assert (ready.worker_name, ready.available_at) == ("", now)
            assert leased.result is None
            assert delayed.result is not None
            assert delayed.result.error == failed().error
            assert (delayed.stage.attempt, delayed.stage.state) == (1, StageState.PENDING)

    async def test_a_completed_stage_has_its_output_unless_the_view_leaves_it_out(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            [offer] = await scene.lease(await scene.open_session(), registered)
            await scene.report(offer, completed({"b": 1, "a": [True, None]}, pages=3.0))
            [full] = (await scene.details(run_id)).stages
            assert full.result is not None
            assert full.result.output == '{"b":1,"a":[true,null]}'
            assert (dict(full.result.metrics), full.result.error) == ({"pages": 3.0}, None)
            assert (full.worker_name, full.available_at) == ("", None)
            basic = await scene.backend.queries.get_run("default", run_id, with_outputs=False)
            assert basic is not None
            assert basic.stages[0].result is not None
            assert basic.stages[0].result.output is None
            assert dict(basic.stages[0].result.metrics) == {"pages": 3.0}

    async def test_a_stage_tells_what_its_present_try_said_last(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            session_id = await scene.open_session()
            [offer] = await scene.lease(session_id, registered)
            await scene.kernel.dispatch(_progress(offer, 0.25, "first"))
            scene.clock.advance(timedelta(seconds=3))
            told = [_progress(offer, 0.5), _progress(offer, None, "half", pages=7)]
            await scene.kernel.dispatch_many(told)
            [stage] = (await scene.details(run_id)).stages
            assert stage.progress is not None
            assert (stage.progress.fraction, stage.progress.message) == (None, "half")
            assert (dict(stage.progress.details), stage.progress.told_at) == ({"pages": 7}, scene.clock.now())
            await scene.report(offer, failed(retry_after=timedelta(0)))
            await scene.promote()
            [again] = await scene.lease(session_id, registered)
            assert (await scene.details(run_id)).stages[0].progress is None
            await scene.kernel.dispatch(_progress(again, 1.0, "done"))
            await scene.report(again, completed())
            [stage] = (await scene.details(run_id)).stages
            assert stage.progress is not None
            assert (stage.progress.fraction, stage.progress.message) == (1.0, "done")

    async def test_the_time_of_tries_adds_up_without_what_lies_between(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            [first] = await scene.lease(await scene.open_session(), registered)
            scene.clock.advance(timedelta(seconds=3))
            await scene.report(first, failed(retry_after=timedelta(hours=1)))
            scene.clock.advance(timedelta(hours=1))
            await scene.promote()
            [second] = await scene.lease(await scene.open_session(), registered)
            scene.clock.advance(timedelta(seconds=5))
            running = (await scene.details(run_id)).stages[0].stage
            assert (running.active, running.active_until(scene.clock.now())) == (
                timedelta(seconds=3),
                timedelta(seconds=8),
            )
            await scene.report(second, completed())
            scene.clock.advance(timedelta(hours=1))
            stage = (await scene.details(run_id)).stages[0].stage
            assert stage.active == stage.active_until(scene.clock.now()) == timedelta(seconds=8)

    async def test_another_namespaces_run_does_not_exist(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            [offer] = await scene.lease(await scene.open_session(), registered)
            await scene.report(offer, completed())
            queries = scene.backend.queries
            assert await queries.get_run("another", run_id, with_outputs=True) is None
            assert await queries.list_events("another", run_id, after_sequence=0, limit=10) is None
            assert dict(await queries.read_outputs("another", run_id, [1])) == {}
            assert list((await queries.list_runs(RunFilter("another"), limit=10)).runs) == []
            unknown = scene.ids.new_id()
            assert await queries.get_run("default", unknown, with_outputs=True) is None
            assert await queries.list_events("default", unknown, after_sequence=0, limit=10) is None
            assert dict(await queries.read_outputs("default", unknown, [1])) == {}

    async def test_pages_of_runs_are_the_newest_first_without_gap_or_repeat(self) -> None:
        async with self.scene_with_run() as (scene, _, first):
            created = [first, *[await scene.create("flow") for _ in range(4)]]
            queries, which, pages, before = scene.backend.queries, RunFilter("default"), [], None
            while True:
                page = await queries.list_runs(which, before=before, limit=2)
                pages.append([run.id for run in page.runs])
                before = page.next_before
                if before is None:
                    break
            newest = created[::-1]
            assert pages == [newest[:2], newest[2:4], newest[4:]]
            exact = await queries.list_runs(which, limit=5)
            assert (len(exact.runs), exact.next_before) == (5, None)

    async def test_filters_must_all_hold(self) -> None:
        async with self.scene_with_run() as (scene, _, first):
            await scene.register(workflow("other", "a"))
            start = scene.clock.now()
            scene.clock.advance(timedelta(seconds=1))
            second = await scene.create("other")
            scene.clock.advance(timedelta(seconds=1))
            third = await scene.create("flow")
            await scene.cancel(third)

            async def ids(**fields: object) -> list[object]:
                which = RunFilter("default", **fields)  # type: ignore[arg-type]
                return [run.id for run in (await scene.backend.queries.list_runs(which, limit=10)).runs]

            assert await ids() == [third, second, first]
            assert await ids(workflow_name="flow") == [third, first]
            assert await ids(states={RunState.RUNNING}) == [second, first]
            assert await ids(states=[RunState.CANCELLED, RunState.COMPLETED]) == [third]
            assert await ids(created_after=start + timedelta(seconds=1)) == [third, second]
            assert await ids(created_before=start + timedelta(seconds=1)) == [first]
            assert await ids(workflow_name="flow", states={RunState.RUNNING}, created_after=start) == [first]
            assert await ids(workflow_name="absent") == []

    async def test_runs_are_found_by_all_of_their_labels(self) -> None:
        async with self.scene_with_run() as (scene, _, unlabelled):
            await scene.register(workflow("other", "a"))
            both = {"team": "a", "env": "prod"}
            created = [await scene.create("other", labels=labels) for labels in (both, {"team": "a"})]

            async def ids(**labels: str) -> list[object]:
                page = await scene.backend.queries.list_runs(RunFilter("default", labels=labels), limit=10)
                return [run.id for run in page.runs]

            assert await ids(team="a") == created[::-1]
            assert await ids(team="a", env="prod") == created[:1]
            assert await ids(team="b") == []
            page = await scene.backend.queries.list_runs(RunFilter("default"), limit=10)
            told = {run_id: dict(labels) for run_id, labels in page.labels.items()}
            assert told == {created[0]: both, created[1]: {"team": "a"}, unlabelled: told[unlabelled]}

    async def test_events_come_in_order_from_a_sequence_on_with_the_runs_state(self) -> None:
        async with self.scene_with_run() as (scene, registered, run_id):
            [offer] = await scene.lease(await scene.open_session(), registered)
            scene.clock.advance(timedelta(milliseconds=1500))
            await scene.report(offer, completed())
            queries = scene.backend.queries
            answer = await queries.list_events("default", run_id, after_sequence=0, limit=100)
            assert answer is not None
            events, state = answer
            assert state is RunState.COMPLETED
            assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
            assert {event.run_id for event in events} == {run_id}
            assert events[4].occurred_at == scene.clock.now()
            assert events[3].causation_id == events[4].causation_id != events[2].causation_id
            for after_sequence, limit, expected in ((3, 1, [events[3]]), (3, 9, [*events[3:]]), (5, 9, [])):
                rest = await queries.list_events(
                    "default", run_id, after_sequence=after_sequence, limit=limit
                )
                assert rest is not None
                assert (list(rest[0]), rest[1]) == (expected, RunState.COMPLETED)

    async def test_outputs_are_those_of_completed_stages(self) -> None:
        async with self.scene_with_run(["a", "b", "c"]) as (scene, registered, run_id):
            first, second, _ = await scene.lease(await scene.open_session(), registered)
            await scene.report_many((first, completed(0)), (second, failed(retryable=False)))
            found = await scene.backend.queries.read_outputs("default", run_id, [1, 2, 3, 4])
            assert dict(found) == {1: "0"}
            assert dict(await scene.backend.queries.read_outputs("default", run_id, [])) == {}

    async def test_jobs_and_dead_letters_of_all_namespaces_are_counted(self) -> None:
        async with self.scene() as scene:
            nothing = await scene.backend.queries.workload()
            assert nothing == Workload(0, 0, 0, None, 0)
            registered = await scene.register(workflow("flow", ["a", "b", "c"]))
            await scene.within("another").register(workflow("flow", "only"))
            begun_at = scene.clock.now()
            run_id = await scene.create("flow")
            scene.clock.advance(timedelta(seconds=5))
            await scene.within("another").create("flow")
            session_id = await scene.open_session()
            [offer, _] = await scene.lease(session_id, registered, slots=2)
            await scene.report(offer, failed())
            assert await scene.backend.queries.workload() == Workload(2, 1, 1, begun_at, 0)
            here = await scene.backend.queries.statistics("default")
            assert here == Statistics({RunState.RUNNING: 1}, Workload(1, 1, 1, begun_at, 0), 0, 1, 100)
            await scene.cancel(run_id)
            assert (await scene.backend.queries.workload())[:3] == (1, 0, 0)
            there = await scene.backend.queries.statistics("another")
            assert (there.runs, there.work[:3], there.sessions) == ({RunState.RUNNING: 1}, (1, 0, 0), 0)
            here = await scene.backend.queries.statistics("default")
            assert (here.runs, here.work[:3]) == ({RunState.CANCELLED: 1}, (0, 0, 0))
            nowhere = await scene.backend.queries.statistics("nowhere")
            assert nowhere == Statistics({}, nothing, 0, 0, 0)

    async def test_a_lease_is_live_until_it_is_reported(self) -> None:
        async with self.scene_with_run(["a", "b"]) as (scene, registered, run_id):
            session_id, queries = await scene.open_session(), scene.backend.queries
            [offer] = await scene.lease(session_id, registered, slots=1)
            token, unknown = offer.lease.lease_token, scene.ids.new_token()
            assert await queries.lease_is_live("default", run_id, 1, token)
            assert not await queries.lease_is_live("another", run_id, 1, token)
            assert not await queries.lease_is_live("default", run_id, 1, unknown)
            assert not await queries.lease_is_live("default", run_id, 2, token)
            assert not await queries.lease_is_live("default", run_id, 3, token)
            await scene.report(offer, failed(retry_after=timedelta()))
            assert not await queries.lease_is_live("default", run_id, 1, token)
            await scene.promote()
            [again] = await scene.lease(session_id, registered, slots=1)
            assert not await queries.lease_is_live("default", run_id, 1, token)
            assert await queries.lease_is_live("default", run_id, 1, again.lease.lease_token)


def _progress(offer: JobOffer, fraction: float | None, message: str = "", **details: Any) -> ReportProgress:
    lease = offer.lease
    names = (offer.namespace, lease.run_id, lease.stage_number, lease.lease_token)
    return ReportProgress(*names, fraction, message, details)
