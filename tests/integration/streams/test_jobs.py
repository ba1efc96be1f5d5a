"""From an offer to its report, and what follows."""

import asyncio
from typing import Any

import orjson

from stageline.v1 import error_pb2, failure_pb2, job_pb2, report_pb2, run_pb2, worker_pb2
from stageline_engine import limits
from stageline_engine.model.run import RunState
from stageline_engine.testing.definitions import stage, workflow
from tests.support.plane import PlaneServer
from tests.support.raw_worker import RawWorker, credits_item, report_item

RECORDED = report_pb2.REPORT_DISPOSITION_RECORDED
ALREADY_RECORDED = report_pb2.REPORT_DISPOSITION_ALREADY_RECORDED
SUPERSEDED = report_pb2.REPORT_DISPOSITION_SUPERSEDED
REFUSED = report_pb2.REPORT_DISPOSITION_REFUSED


async def test_a_run_goes_through_its_groups(server: PlaneServer) -> None:
    worker = await server.connect("chain")
    run_id = await server.create("chain", b'{"n":1}', priority=7)
    first = await worker.offer()
    assert (first.run_id, first.stage_id, first.run_input.json) == (str(run_id), "first", b'{"n":1}')
    assert (first.attempt, first.delivery, first.generation, first.priority) == (1, 1, 1, 7)
    await worker.send(report_item(first.lease_token, b'{"first":1}'))
    parallel = {offer.stage_id: offer for offer in await worker.offers(2)}
    assert set(parallel) == {"left", "right"}
    assert parallel["left"].outputs["first"].json == b'{"first":1}'
    assert not parallel["left"].HasField("run_input")
    for offer in parallel.values():
        await worker.report(offer)
    last = await worker.offer()
    assert (list(last.input_stage_ids), last.kind) == (["left", "right"], job_pb2.JOB_KIND_EXECUTE)
    await worker.report(last)
    await server.until_run(run_id, RunState.COMPLETED)
    answers = [(await worker.acknowledgement()).disposition for _ in range(4)]
    assert answers == [RECORDED] * 4


async def test_the_next_offer_rides_with_the_acknowledgement(server: PlaneServer) -> None:
    worker = await server.connect("chain", slots=1)
    await server.create("chain")
    offer = await worker.offer()
    await worker.report(offer, credits_item(1))
    frame = await worker.next_frame()
    while not frame.items:
        frame = await worker.next_frame()
    kinds = sorted(item.WhichOneof("item") or "" for item in frame.items)
    assert kinds == ["offer", "report_acknowledgement"]


async def test_the_slot_that_a_report_frees_is_for_what_follows(server: PlaneServer) -> None:
    """Also while others wait: they are less urgent, and the report makes the next job ready in its own transaction."""
    await server.register(workflow("two", "a", "b"))
    worker = await server.connect("two", slots=1)
    first = await server.create("two")
    offer = await worker.offer()
    await server.create("two")
    await worker.send(credits_item(1), report_item(offer.lease_token))
    following = await worker.offer()
    assert (following.run_id, following.stage_id) == (str(first), "b")


async def test_there_are_never_more_offers_than_credits(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=3, free=2)
    runs = [await server.create("one") for _ in range(8)]
    held = await worker.offers(2)
    await worker.ping_pong()
    assert not worker.waiting("offer")
    await worker.send(credits_item(0))
    for done in range(2):
        await worker.report(held[done], credits_item(1))
        held.append(await worker.offer())
    await worker.ping_pong()
    assert not worker.waiting("offer")
    await worker.send(credits_item(99))  # more than it said it had in all
    held += await worker.offers(3)
    await worker.ping_pong()
    assert not worker.waiting("offer")
    for offer in held[2:]:
        await worker.report(offer)
    await worker.send(credits_item(3))
    await worker.report(await worker.offer())
    for run_id in runs:
        await server.until_run(run_id, RunState.COMPLETED)


async def test_offers_that_were_not_acknowledged_count_against_the_credit(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=2)
    worker.acknowledging = False
    runs = [await server.create("one") for _ in range(4)]
    held = await worker.offers(2)
    await worker.send(credits_item(2))  # said of a moment before the two offers
    await worker.ping_pong()
    assert not worker.waiting("offer")
    worker.acknowledging = True
    for offer in held:
        await worker.report(offer)
    await worker.send(credits_item(2))
    for offer in await worker.offers(2):
        await worker.report(offer)
    for run_id in runs:
        await server.until_run(run_id, RunState.COMPLETED)


async def test_many_workers_never_hold_more_than_their_slots(server: PlaneServer) -> None:
    workers = [await server.connect("chain", slots=slots) for slots in (1, 2, 5)]
    runs = [await server.create("chain") for _ in range(30)]

    async def work(worker: RawWorker, slots: int) -> None:
        held: list[job_pb2.JobOffer] = []
        while True:
            if not held:
                held.append(await worker.offer())
            held += [(await worker.next("offer")).offer for _ in worker.waiting("offer")]
            assert len(held) <= slots
            offer = held.pop(0)
            await worker.report(offer, credits_item(slots - len(held)))

    tasks = [
        asyncio.create_task(work(worker, slots)) for worker, slots in zip(workers, (1, 2, 5), strict=True)
    ]
    done = asyncio.gather(*(server.until_run(run_id, RunState.COMPLETED) for run_id in runs))
    parts: set[asyncio.Future[Any]] = {done, *tasks}
    finished, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    assert finished == {done}
    await done


async def test_sessions_of_different_stages_do_not_starve_each_other(server: PlaneServer) -> None:
    """A lease for both finds less than all slots together, and yet one of them has more to do."""
    await server.register(workflow("busy", "b"))
    busy = await server.connect("busy", slots=1, free=0)
    idle = await server.connect("one", slots=50, free=0)
    runs = [await server.create("busy") for _ in range(5)]
    await idle.send(credits_item(50))
    await idle.ping_pong()
    await busy.send(credits_item(1))
    for _ in runs:
        await busy.report(await busy.offer(), credits_item(1))
    for run_id in runs:
        await server.until_run(run_id, RunState.COMPLETED)


async def test_a_copy_of_a_report_is_told_so(server: PlaneServer) -> None:
    worker = await server.connect("one")
    await server.create("one")
    offer = await worker.offer()
    await worker.send(report_item(offer.lease_token), report_item(offer.lease_token, b'{"other":1}'))
    assert (await worker.acknowledgement()).disposition == RECORDED
    answer = await worker.acknowledgement()
    assert (answer.disposition, answer.lease_token) == (ALREADY_RECORDED, offer.lease_token)
    await worker.report(offer)
    assert (await worker.acknowledgement()).disposition == ALREADY_RECORDED


async def test_a_token_that_is_not_the_live_one_is_superseded(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=1)
    run_id = await server.create("one")
    old = await worker.offer()
    await worker.report(old, credits_item(1), returned=report_pb2.Returned())
    new = await worker.offer()
    assert (new.attempt, new.delivery) == (1, 1)
    assert new.lease_token != old.lease_token
    strange = [old.lease_token, b"", b"x" * 37, old.lease_token[:-1], b"\0" * 9999]
    for token in strange:
        await worker.send(report_item(token, b'{"stale":1}'))
    assert (await worker.acknowledgement()).disposition == RECORDED
    answers = [await worker.acknowledgement() for _ in strange]
    assert {answer.disposition for answer in answers} == {SUPERSEDED}
    assert sorted(answer.lease_token for answer in answers) == sorted(token[:64] for token in strange)
    await worker.send(report_item(new.lease_token, b'{"fresh":1}'))
    details = await server.until_run(run_id, RunState.COMPLETED)
    assert details.stages[0].result is not None
    assert details.stages[0].result.output == '{"fresh":1}'


async def test_a_token_with_any_byte_changed_is_superseded(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=1)
    run_id = await server.create("one")
    token = (await worker.offer()).lease_token
    changed = [
        token[:index] + bytes([token[index] ^ bit]) + token[index + 1 :]
        for index in range(len(token))
        for bit in (1, 128)
    ]
    await worker.send(*(report_item(each) for each in changed))
    answers = [await worker.acknowledgement() for _ in changed]
    assert {answer.disposition for answer in answers} == {SUPERSEDED}
    assert {answer.lease_token for answer in answers} == set(changed)
    assert (await server.details(run_id)).run.state is RunState.RUNNING
    await worker.send(report_item(token))
    assert (await worker.acknowledgement()).disposition == RECORDED


async def test_a_failure_is_tried_again(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=1)
    run_id = await server.create("one")
    offer = await worker.offer()
    error = failure_pb2.StageError(kind=77, type="ValueError", message="no\0", retryable=True)  # type: ignore[arg-type]
    error.retry_after.seconds = 0
    await worker.report(offer, credits_item(1), failed=report_pb2.Failed(error=error))
    again = await worker.offer()
    assert again.attempt == 2
    error.retryable = False
    error.retry_after.seconds = 2**62
    await worker.report(again, failed=report_pb2.Failed(error=error))
    details = await server.until_run(run_id, RunState.FAILED)
    assert details.run.error is not None
    assert details.run.error.code == "ValueError"


async def test_an_outcome_that_is_not_allowed_fails_the_attempt(server: PlaneServer) -> None:
    await server.register(workflow("strict", stage("s", output_schema='{"type":"string"}')))
    worker = await server.connect("strict")
    reference = report_pb2.Completed()
    reference.output.reference.size_bytes = 9
    outcomes: list[dict[str, Any]] = [
        {"completed": report_pb2.Completed()},
        {"completed": reference},
        {"suspended": report_pb2.Suspended()},
        {"still_waiting": report_pb2.StillWaiting()},
        {"metrics": {"only": 1.0}},
    ]
    for outcome in outcomes:
        run_id = await server.create("strict")
        await worker.report(await worker.offer(), **outcome)
        answer = await worker.acknowledgement()
        assert answer.disposition == REFUSED, outcome
        assert answer.error.reason == error_pb2.ERROR_REASON_INVALID_OUTPUT
        assert answer.error.message
        details = await server.until_run(run_id, RunState.FAILED)
        assert details.run.error is not None
        assert details.run.error.code == "INVALID_OUTPUT"
        await worker.send(credits_item(10))


async def test_the_answer_to_a_bad_output_goes_into_a_frame(server: PlaneServer) -> None:
    schema = '{"type":"object","additionalProperties":{"type":"string"}}'
    await server.register(workflow("strict", stage("s", output_schema=schema)))
    worker = await server.connect("strict")
    run_id = await server.create("strict")
    offer = await worker.offer()
    names = ",".join(f'"{letter * 2500}":1' for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST")
    await worker.send(report_item(offer.lease_token, f"{{{names}}}".encode()))
    assert (await worker.acknowledgement()).disposition == REFUSED
    assert worker.frames[-1].ByteSize() <= limits.FRAME_BYTES_MAX
    await server.until_run(run_id, RunState.FAILED)


async def test_a_progress_and_its_watcher(server: PlaneServer) -> None:
    worker = await server.connect("one")
    run_id = await server.create("one")
    offer = await worker.offer()
    with server.plane.hub.watch(run_id) as watch:
        progress = run_pb2.StageProgress(fraction=0.5, message="half", details=b'{"pages":3}')
        item = worker_pb2.Progress(lease_token=offer.lease_token, progress=progress)
        await worker.send(worker_pb2.WorkerItem(progress=item))
        told = None
        while told is None:
            await asyncio.wait_for(watch.changed(), 20)
            events = await server.ports.queries.list_events("default", run_id, after_sequence=0, limit=100)
            assert events is not None
            told = next((event for event in events[0] if event.type == "stage:progress"), None)
    assert orjson.loads(told.payload)["fraction"] == 0.5
    assert (await server.details(run_id)).run.state is RunState.RUNNING
    await worker.report(offer)
    await server.until_run(run_id, RunState.COMPLETED)


async def test_log_lines_are_stored(server: PlaneServer) -> None:
    worker = await server.connect("one")
    run_id = await server.create("one")
    offer = await worker.offer()
    entries = [
        run_pb2.LogEntry(level=run_pb2.LOG_LEVEL_ERROR, message="b\0d", fields=b'{"n":1}'),
        run_pb2.LogEntry(level=99, message="unknown level", fields=b"{"),  # type: ignore[arg-type]
        run_pb2.LogEntry(message="deep", fields=b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"),
    ]
    entries[2].log_time.seconds = 2**61
    batch = worker_pb2.LogBatch(lease_token=offer.lease_token, entries=entries, dropped_count=4)
    await worker.send(worker_pb2.WorkerItem(logs=batch), report_item(offer.lease_token))
    assert (await worker.acknowledgement()).disposition == RECORDED
    await server.plane.logs.flushed()
    lines = await server.ports.logs.list("default", run_id, limit=10)
    assert [(line.level, line.message) for line in lines[1:]] == [
        ("ERROR", "b�d"),
        ("INFO", "unknown level"),
        ("INFO", "deep"),
    ]
    assert "4 lines were dropped" in lines[0].message
    assert (lines[1].metadata, lines[1].attempt, lines[1].stage_number) == ({"n": 1}, 1, 1)
    assert not worker.waiting("error")


async def test_logs_and_progress_of_other_leases_are_refused(server: PlaneServer) -> None:
    owner, other = await server.connect("one", slots=1), await server.connect("one", free=0)
    await server.create("one")
    offer = await owner.offer()
    await other.send(worker_pb2.WorkerItem(logs=worker_pb2.LogBatch(lease_token=offer.lease_token)))
    error = (await other.next("error")).error
    assert error.error.reason == error_pb2.ERROR_REASON_LEASE_SUPERSEDED
    await owner.report(offer)
    await owner.acknowledgement()
    late = worker_pb2.Progress(lease_token=offer.lease_token)
    await owner.send(worker_pb2.WorkerItem(progress=late))
    directive = (await owner.next("directive")).directive
    assert directive.reason == worker_pb2.STOP_REASON_LEASE_LOST
    assert directive.lease_token == offer.lease_token
