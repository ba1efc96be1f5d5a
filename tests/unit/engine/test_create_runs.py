"""SPEC 11.2: run.create and idempotency."""

import asyncio
from datetime import timedelta

import orjson
import pytest

from stageline_engine.commands import ClaimPendingRuns, CreateRun, PendingRunsClaimed, RunCreation
from stageline_engine.errors import BatchSizeError, ConcurrentChangeError, StorageUnavailableError
from stageline_engine.kernel import CONFLICT_RETRIES_MAX, Kernel
from stageline_engine.limits import COMMANDS_PER_BATCH_MAX, PAYLOAD_BYTES_MAX, REQUEST_ID_LENGTH_MAX
from stageline_engine.model.job import JobState
from stageline_engine.model.run import RunState
from stageline_engine.ports import ALL_STAGES, RunFilter
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing import Scene, stage, workflow
from stageline_engine.testing.simulation.unreliable import Loss, UnreliablePersistence

HOUR = timedelta(hours=1)
NUMBER = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'


async def runs_of(scene: Scene) -> int:
    page = await scene.backend.queries.list_runs(RunFilter(scene.namespace), limit=1000)
    return len(page.runs)


async def prepared(scene: Scene) -> None:
    configured = stage("a", config_schema=NUMBER, default_config='{"n":1,"kept":true}')
    await scene.register(workflow("flow", configured, "b", input_schema=NUMBER))


async def test_11_2_11_a_run_is_stored_with_defaults_and_starts_at_once(scene: Scene) -> None:
    await prepared(scene)
    run_id = await scene.create("flow", b'{"n": 3}', config=b'{"a": {"n": 2}}')
    details = await scene.details(run_id)
    assert (details.run.state, details.run.priority, details.run.version) == (RunState.RUNNING, 5, 1)
    assert details.payload.input == '{"n": 3}'
    assert orjson.loads(details.payload.config) == {"a": {"n": 2, "kept": True}}
    assert await scene.event_types(run_id) == ["workflow:created", "workflow:started"]
    async with scene.backend.persistence.begin() as work:
        [loaded] = await work.load_runs({run_id: ALL_STAGES})
    assert [job.state for job in loaded.jobs] == [JobState.READY]


@pytest.mark.parametrize(
    ("payload", "reason", "field"),
    [
        (b'{"n": "three"}', Reason.INVALID_INPUT, "input.n"),
        (b"{}", Reason.INVALID_INPUT, "input"),
        (b"{", Reason.MALFORMED_JSON, "input"),
        (b'{"n": 1, "s": "\\u0000"}', Reason.MALFORMED_JSON, "input"),
        (b"\xff", Reason.MALFORMED_JSON, "input"),
        (b'"' + b"x" * PAYLOAD_BYTES_MAX + b'"', Reason.PAYLOAD_TOO_LARGE, "input"),
    ],
)
async def test_11_2_13_bad_input_names_the_field_and_writes_nothing(
    scene: Scene, payload: bytes, reason: Reason, field: str
) -> None:
    await prepared(scene)
    answer = await scene.try_create("flow", payload)
    assert isinstance(answer, Rejection)
    assert (answer.reason, answer.violations[0].field) == (reason, field)
    assert await runs_of(scene) == 0


async def test_11_2_14_bad_config_names_the_stage_before_anything_runs(scene: Scene) -> None:
    await prepared(scene)
    answer = await scene.try_create("flow", b'{"n": 3}', config=b'{"a": {"n": "x"}, "unknown": {}}')
    assert isinstance(answer, Rejection)
    assert answer.reason is Reason.INVALID_CONFIG
    assert {violation.field for violation in answer.violations} == {"config.a.n", "config.unknown"}
    assert await runs_of(scene) == 0


async def test_11_2_16_same_key_returns_same_run(scene: Scene) -> None:
    await prepared(scene)
    first = await scene.try_create("flow", b'{"n": 3}', idempotency_key="key")
    again = await scene.try_create("flow", b'{"n": 3}', idempotency_key="key")
    assert isinstance(first, RunCreation)
    assert isinstance(again, RunCreation)
    assert (first.run_id, first.replayed, again.replayed) == (again.run_id, False, True)
    assert await runs_of(scene) == 1
    assert (await scene.event_types(first.run_id)).count("workflow:created") == 1


async def test_11_2_16_same_key_twice_in_one_batch_makes_one_run(scene: Scene) -> None:
    await prepared(scene)
    one = CreateRun("default", "flow", b'{"n": 3}', idempotency_key="key")
    other = CreateRun("default", "flow", b'{"n": 4}', idempotency_key="key")
    first, again, refused = (await scene.kernel.dispatch_many([one, one, other])).results
    assert isinstance(first, RunCreation)
    assert isinstance(again, RunCreation)
    assert first.run_id == again.run_id
    assert isinstance(refused, Rejection)
    assert refused.reason is Reason.REQUEST_ID_REUSED
    assert await runs_of(scene) == 1


async def test_11_2_17_different_keys_and_no_keys_make_runs_of_their_own(scene: Scene) -> None:
    await prepared(scene)
    for key in ("one", "two", "", ""):
        assert isinstance(await scene.try_create("flow", b'{"n": 3}', idempotency_key=key), RunCreation)
    assert await runs_of(scene) == 4


async def test_11_2_19_a_key_in_flight_is_told_to_be_and_makes_no_second_run(scene: Scene) -> None:
    await prepared(scene)
    async with scene.backend.persistence.begin() as work:
        await work.reserve_keys({("default", "run.create", "key")})
        answer = await scene.try_create("flow", b'{"n": 3}', idempotency_key="key")
    assert isinstance(answer, Rejection)
    assert answer.reason is Reason.REQUEST_IN_PROGRESS
    assert await runs_of(scene) == 0


async def test_11_2_19_many_at_once_with_one_key_make_one_run(scene: Scene) -> None:
    await prepared(scene)
    answers = await asyncio.gather(
        *[scene.try_create("flow", b'{"n": 3}', idempotency_key="key") for _ in range(10)]
    )
    assert len({answer.run_id for answer in answers if isinstance(answer, RunCreation)}) == 1
    assert await runs_of(scene) == 1


async def test_11_2_20_a_key_whose_call_was_refused_can_be_used_again(scene: Scene) -> None:
    await prepared(scene)
    assert isinstance(await scene.try_create("flow", b"{}", idempotency_key="key"), Rejection)
    assert isinstance(await scene.try_create("flow", b'{"n": 3}', idempotency_key="key"), RunCreation)


async def test_11_2_22_a_retry_after_a_lost_commit_makes_one_run(scene: Scene) -> None:
    await prepared(scene)
    persistence = UnreliablePersistence(scene.backend.persistence)
    kernel = Kernel(persistence, scene.backend.registry, scene.clock, scene.ids)
    command = CreateRun("default", "flow", b'{"n": 3}', idempotency_key="key")
    persistence.loss = Loss.BEFORE_COMMIT
    with pytest.raises(StorageUnavailableError):
        await kernel.dispatch(command)
    assert await runs_of(scene) == 0
    persistence.loss = None
    first = await kernel.dispatch(command)
    again = await kernel.dispatch(command)
    assert isinstance(first, RunCreation)
    assert isinstance(again, RunCreation)
    assert first.run_id == again.run_id
    assert await runs_of(scene) == 1


@pytest.mark.parametrize(
    "changed",
    [{"run_input": b'{"n": 4}'}, {"priority": 9}, {"config": b'{"a": {"n": 9}}'}, {"labels": {"k": "v"}}],
)
async def test_11_2_23_a_key_with_another_payload_is_refused(
    scene: Scene, changed: dict[str, object]
) -> None:
    await prepared(scene)
    request: dict[str, object] = {"run_input": b'{"n": 3}', "idempotency_key": "key"}
    await scene.create("flow", **request)  # type: ignore[arg-type]
    answer = await scene.try_create("flow", **{**request, **changed})  # type: ignore[arg-type]
    assert isinstance(answer, Rejection)
    assert (answer.reason, answer.metadata["request_id"]) == (Reason.REQUEST_ID_REUSED, "key")
    assert await runs_of(scene) == 1


async def test_a_replay_gives_the_version_that_the_first_call_was_pinned_to(scene: Scene) -> None:
    await scene.register(workflow("flow", "a"))
    first = await scene.try_create("flow", idempotency_key="key")
    await scene.register(workflow("flow", "a", "b"))
    again = await scene.try_create("flow", idempotency_key="key")
    assert isinstance(first, RunCreation)
    assert isinstance(again, RunCreation)
    assert (again.run_id, again.workflow_version) == (first.run_id, 1)


@pytest.mark.parametrize("key", ["\0", "k\0", "k" * (REQUEST_ID_LENGTH_MAX + 1)])
async def test_a_key_that_no_store_could_hold_is_refused_beside_good_neighbours(
    scene: Scene, key: str
) -> None:
    await prepared(scene)
    good = CreateRun("default", "flow", b'{"n": 3}', idempotency_key="good")
    bad = CreateRun("default", "flow", b'{"n": 3}', idempotency_key=key)
    made, refused = (await scene.kernel.dispatch_many([good, bad])).results
    assert isinstance(made, RunCreation)
    assert isinstance(refused, Rejection)
    assert (refused.reason, refused.violations[0].field) == (Reason.INVALID_FIELD, "request_id")


@pytest.mark.parametrize("name", ["absent", "", "Flow", "a\0b", "x" * 1000])
async def test_an_unknown_workflow_is_not_found(scene: Scene, name: str) -> None:
    await prepared(scene)
    answer = await scene.try_create(name)
    assert isinstance(answer, Rejection)
    assert (answer.reason, answer.metadata["workflow_name"]) == (Reason.WORKFLOW_NOT_FOUND, name)


async def test_an_unknown_version_is_told_from_an_unknown_workflow(scene: Scene) -> None:
    await scene.register(workflow("flow", "a"))
    second = await scene.register(workflow("flow", "a", "b"))
    newest, pinned = await scene.try_create("flow"), await scene.try_create("flow", workflow_version=1)
    assert isinstance(newest, RunCreation)
    assert isinstance(pinned, RunCreation)
    assert (newest.workflow_version, pinned.workflow_version) == (second.version, 1)
    answer = await scene.try_create("flow", workflow_version=3)
    assert isinstance(answer, Rejection)
    assert answer.reason is Reason.WORKFLOW_VERSION_NOT_FOUND


async def test_another_namespaces_workflow_does_not_exist(scene: Scene) -> None:
    await prepared(scene)
    answer = await scene.kernel.dispatch(CreateRun("another", "flow", b'{"n": 3}'))
    assert isinstance(answer, Rejection)
    assert answer.reason is Reason.WORKFLOW_NOT_FOUND


async def test_a_refused_creation_does_not_hurt_its_neighbours(scene: Scene) -> None:
    await prepared(scene)
    good, bad = CreateRun("default", "flow", b'{"n": 3}'), CreateRun("default", "flow", b"{}")
    results = (await scene.kernel.dispatch_many([good, bad] * (COMMANDS_PER_BATCH_MAX // 2))).results
    assert [isinstance(result, RunCreation) for result in results] == [True, False] * (
        COMMANDS_PER_BATCH_MAX // 2
    )
    assert await runs_of(scene) == COMMANDS_PER_BATCH_MAX // 2


async def test_a_batch_is_tried_again_after_a_concurrent_change_and_not_for_ever(scene: Scene) -> None:
    await prepared(scene)
    tries = 0

    class Contended(UnreliablePersistence):
        def begin(self):  # type: ignore[no-untyped-def] # noqa: ANN202
            nonlocal tries
            tries += 1
            if tries in failing:
                raise ConcurrentChangeError("somebody was faster")
            return super().begin()

    kernel = Kernel(Contended(scene.backend.persistence), scene.backend.registry, scene.clock, scene.ids)
    failing = range(1, CONFLICT_RETRIES_MAX)
    assert isinstance(await kernel.dispatch(CreateRun("default", "flow", b'{"n": 3}')), RunCreation)
    assert tries == CONFLICT_RETRIES_MAX
    failing, tries = range(1, CONFLICT_RETRIES_MAX + 1), 0
    with pytest.raises(ConcurrentChangeError):
        await kernel.dispatch(CreateRun("default", "flow", b'{"n": 3}'))
    assert tries == CONFLICT_RETRIES_MAX
    assert await runs_of(scene) == 1


@pytest.mark.parametrize("count", [0, COMMANDS_PER_BATCH_MAX + 1])
async def test_a_batch_has_a_size(scene: Scene, count: int) -> None:
    await prepared(scene)
    with pytest.raises(BatchSizeError, match="COMMANDS_PER_BATCH_MAX") as refused:
        await scene.kernel.dispatch_many([CreateRun("default", "flow", b'{"n": 3}')] * count)
    assert (refused.value.count, refused.value.limit) == (count, COMMANDS_PER_BATCH_MAX)
    assert await runs_of(scene) == 0
    whole = [CreateRun("default", "flow", b'{"n": 3}')] * COMMANDS_PER_BATCH_MAX
    assert len((await scene.kernel.dispatch_many(whole)).results) == COMMANDS_PER_BATCH_MAX


async def test_a_run_with_a_delay_waits_for_its_moment_and_can_be_cancelled_before(scene: Scene) -> None:
    await scene.register(workflow("flow", "a"))
    now = scene.clock.now()
    delayed = await scene.create("flow", start_delay=HOUR)
    timed = await scene.create("flow", start_at=now + HOUR)
    dropped = await scene.create("flow", start_at=now + HOUR)
    assert (await scene.cancel(dropped)).state is RunState.CANCELLED  # type: ignore[union-attr]
    scene.clock.advance(HOUR - timedelta(microseconds=1))
    assert await scene.kernel.dispatch(ClaimPendingRuns()) == PendingRunsClaimed((), now + HOUR)
    scene.clock.advance(timedelta(microseconds=1))
    claimed = await scene.kernel.dispatch(ClaimPendingRuns())
    assert claimed == PendingRunsClaimed((delayed, timed), None)
    assert (await scene.details(delayed)).run.state is RunState.RUNNING


async def test_a_repeat_with_the_same_delay_is_the_same_request(scene: Scene) -> None:
    await scene.register(workflow("flow", "a"))
    first = await scene.create("flow", start_delay=HOUR, idempotency_key="once")
    scene.clock.advance(HOUR / 2)
    assert await scene.create("flow", start_delay=HOUR, idempotency_key="once") == first
    other = await scene.try_create("flow", idempotency_key="once")
    assert isinstance(other, Rejection)
    assert other.reason is Reason.REQUEST_ID_REUSED


@pytest.mark.parametrize("delay", [timedelta(0), -HOUR])
async def test_a_start_that_has_passed_means_at_once(scene: Scene, delay: timedelta) -> None:
    await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow", start_at=scene.clock.now() + delay)
    assert (await scene.details(run_id)).run.state is RunState.RUNNING
