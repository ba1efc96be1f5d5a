"""SPEC 11.4: execution and data flow, as far as the kernel carries them."""

import orjson
import pytest

from stageline_engine import commands
from stageline_engine.commands import Completed, Disposition, ProgressRecorded
from stageline_engine.limits import EVENT_OUTPUT_BYTES_MAX
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.rejections import Rejection
from stageline_engine.testing import Scene, stage, workflow
from stageline_engine.testing.scene import completed, failed


async def payloads(scene: Scene, run_id: object) -> list[tuple[str, dict[str, object]]]:
    return [(event.type, orjson.loads(event.payload)) for event in await scene.events(run_id)]  # type: ignore[arg-type]


async def test_11_4_37_each_stage_gets_the_output_before_it_and_the_last_is_the_runs(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a", "b", "c"))
    run_id = await scene.create("flow", b"1")
    session_id, seen = await scene.open_session(), []
    for _ in range(3):
        [offer] = await scene.lease(session_id, registered)
        given = offer.run_input if offer.run_input is not None else offer.outputs[offer.input_stage_ids[0]]
        seen.append(int(given))
        await scene.report(offer, completed(int(given) * 2))
    assert seen == [1, 2, 4]
    *_, (last, payload) = await payloads(scene, run_id)
    assert (last, payload["output"]) == ("workflow:completed", 8)


async def test_11_4_38_a_join_gets_the_outputs_of_its_group_by_id(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a", ["b", "c"], "d"))
    await scene.create("flow")
    session_id = await scene.open_session()
    for expected in ({}, {"a": '"a"'}, {"b": '"b"', "c": '"c"'}):
        offers = await scene.lease(session_id, registered)
        for offer in offers:
            assert dict(offer.outputs) == expected
            await scene.report(offer, completed(offer.stage_id))


@pytest.mark.parametrize("output", [0, "", False, None, [], {}])
async def test_11_4_41_falsy_outputs_are_outputs(scene: Scene, output: object) -> None:
    registered = await scene.register(workflow("flow", "a", "b"))
    run_id = await scene.create("flow")
    session_id = await scene.open_session()
    [offer] = await scene.lease(session_id, registered)
    await scene.report(offer, completed(output))
    [offer] = await scene.lease(session_id, registered)
    assert offer.outputs == {"a": orjson.dumps(output).decode()}
    await scene.report(offer, completed(output))
    assert (await payloads(scene, run_id))[-1][1]["output"] == output


async def test_11_4_43_a_stage_sees_only_its_own_slice_with_defaults(scene: Scene) -> None:
    definition = workflow("flow", [stage("a", default_config='{"n":1,"kept":[]}'), "b"])
    registered = await scene.register(definition)
    await scene.create("flow", config=b'{"a": {"n": 2}}')
    first, second = await scene.lease(await scene.open_session(), registered)
    assert orjson.loads(first.config) == {"n": 2, "kept": []}
    assert second.config == "{}"


@pytest.mark.parametrize(
    "output", [b'"text"', b"{", b"\xff", b'"' + b"x" * 5 * 1024 * 1024 + b'"', b'"\\u0000"']
)
async def test_11_4_47_an_output_that_cannot_be_accepted_fails_the_stage_for_good(
    scene: Scene, output: bytes
) -> None:
    definition = workflow("flow", stage("a", output_schema='{"type": "integer"}'), "b")
    registered = await scene.register(definition)
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    answer = await scene.report(offer, Completed(output))
    assert answer.disposition is Disposition.RECORDED
    assert "output" in answer.note
    details = await scene.details(run_id)
    assert details.run.state is RunState.FAILED
    assert details.run.error is not None
    assert (details.run.error.code, details.run.error.stage_id) == ("INVALID_OUTPUT", "a")
    assert [entry.stage.stage_id for entry in details.stages] == ["a"]


async def test_a_bad_output_does_not_hurt_its_neighbours_in_the_batch(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b"]))
    run_id = await scene.create("flow")
    first, second = await scene.lease(await scene.open_session(), registered)
    await scene.report_many((first, Completed(b"\xff")), (second, completed(1)))
    states = [entry.stage.state for entry in (await scene.details(run_id)).stages]
    assert states == [StageState.FAILED, StageState.COMPLETED]


async def test_11_4_49_metrics_are_on_the_stage_and_in_its_event(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    await scene.report(offer, completed(1, pages=3, ratio=0.5))
    [entry] = (await scene.details(run_id)).stages
    assert entry.result is not None
    assert dict(entry.result.metrics) == {"pages": 3, "ratio": 0.5}
    told = dict(await payloads(scene, run_id))["stage:completed"]
    assert told["metrics"] == {"pages": 3, "ratio": 0.5}


async def test_11_4_52_progress_is_told_in_order_before_the_completion(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    lease = offer.lease
    batch = [
        commands.ReportProgress(
            "default", run_id, lease.stage_number, lease.lease_token, fraction, f"{fraction}", {"n": fraction}
        )
        for fraction in (0.25, 0.5, None)
    ]
    assert (await scene.kernel.dispatch_many(batch)).results == [ProgressRecorded(True)] * 3
    await scene.report(offer, completed(1))
    assert (await scene.kernel.dispatch_many(batch)).results == [ProgressRecorded(False)] * 3
    story = await payloads(scene, run_id)
    assert [name for name, _ in story] == [
        "workflow:created",
        "workflow:started",
        "stage:started",
        "stage:progress",
        "stage:progress",
        "stage:progress",
        "stage:completed",
        "workflow:completed",
    ]
    assert story[3][1] == {"stage_id": "a", "fraction": 0.25, "message": "0.25", "details": {"n": 0.25}}
    assert "fraction" not in story[5][1]


async def test_11_4_55_the_same_report_twice_is_recorded_once(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a", "b"))
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    dispatched = await scene.report_many((offer, completed(1)), (offer, completed(2)))
    assert [answer.disposition for answer in dispatched.results if not isinstance(answer, Rejection)] == [
        Disposition.RECORDED,
        Disposition.ALREADY_RECORDED,
    ]
    assert (await scene.report(offer, failed())).disposition is Disposition.ALREADY_RECORDED
    assert (await scene.event_types(run_id)).count("stage:completed") == 1
    assert dict(await scene.backend.queries.read_outputs("default", run_id, [1])) == {1: "1"}


async def test_the_canonical_story_of_a_pipeline(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a", ["b", "c"]))
    run_id = await scene.create("flow")
    session_id = await scene.open_session()
    [offer] = await scene.lease(session_id, registered)
    await scene.report(offer, completed(1))
    first, second = await scene.lease(session_id, registered)
    await scene.report_many((second, completed("c")), (first, completed("b")))
    story = await payloads(scene, run_id)
    assert [(name, payload.get("stage_id")) for name, payload in story] == [
        ("workflow:created", None),
        ("workflow:started", None),
        ("stage:started", "a"),
        ("stage:completed", "a"),
        ("run:advanced", None),
        ("stage:started", "b"),
        ("stage:started", "c"),
        ("stage:completed", "c"),
        ("stage:completed", "b"),
        ("workflow:completed", None),
    ]
    assert story[4][1] == {"group": 2, "stage_ids": ["b", "c"]}
    assert story[-1][1]["output"] == {"b": "b", "c": "c"}
    sequences = [event.sequence for event in await scene.events(run_id)]
    assert sequences == list(range(1, 11))


async def test_all_events_of_a_batch_bear_its_time_and_its_cause(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    [offer] = await scene.lease(await scene.open_session(), registered)
    await scene.report(offer, completed(1))
    events = await scene.events(run_id)
    causes = [event.causation_id for event in events]
    assert causes[0] == causes[1] != causes[2] != causes[3] == causes[4]
    assert {event.occurred_at for event in events} == {scene.clock.now()}


async def test_the_output_of_parallel_last_stages_is_told_across_batches(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b"]))
    run_id = await scene.create("flow")
    for offer in await scene.lease(await scene.open_session(), registered):
        await scene.report(offer, completed({"of": offer.stage_id}))
    assert (await payloads(scene, run_id))[-1][1]["output"] == {"a": {"of": "a"}, "b": {"of": "b"}}


async def test_an_output_too_large_for_an_event_is_left_out_and_read_from_the_run(scene: Scene) -> None:
    registered = await scene.register(workflow("flow", ["a", "b"]))
    run_id = await scene.create("flow")
    for offer in await scene.lease(await scene.open_session(), registered):
        await scene.report(offer, completed("x" * (EVENT_OUTPUT_BYTES_MAX // 2)))
    last = (await payloads(scene, run_id))[-1][1]
    assert (last.get("output_omitted"), "output" in last) == (True, False)
    assert len(await scene.backend.queries.read_outputs("default", run_id, [1, 2])) == 2
