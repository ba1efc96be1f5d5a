"""AI calls over a stream: booked once, whatever became of the lease, and acknowledged after the commit."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID, uuid4

from stageline.v1 import error_pb2, report_pb2, usage_pb2
from stageline_engine.model.run import RunState
from stageline_engine.ports import UsageFilter, UsageSum
from stageline_engine.testing.definitions import workflow
from stageline_server.dispatch.ports import Ports
from tests.support.faults import FaultyPersistence
from tests.support.plane import UNHURRIED, Deployment, PlaneServer
from tests.support.raw_worker import RawWorker, report_item
from tests.support.usage import record, report_with, usage_item
from tests.waiting import eventually

RECORDED = report_pb2.REPORT_DISPOSITION_RECORDED


async def total(server: PlaneServer) -> UsageSum:
    (found,) = await server.ports.usage.sum_calls("default", UsageFilter(), limit=1)
    return found


async def acknowledged(worker: RawWorker) -> list[str]:
    return list((await worker.next("record_acknowledgement")).record_acknowledgement.usage_ids)


async def test_calls_are_acknowledged_and_booked_once(server: PlaneServer) -> None:
    worker = await server.connect("one")
    run_id = await server.create("one")
    offer = await worker.offer()
    first, second = record("0.25"), record("0.5")
    await worker.send(usage_item(offer.lease_token, first), usage_item(offer.lease_token, first))
    assert await acknowledged(worker) == await acknowledged(worker) == [first.usage_id]
    await worker.send(report_with(offer, [first, second]))
    assert (await worker.acknowledgement()).disposition == RECORDED
    assert sorted(await acknowledged(worker)) == sorted([first.usage_id, second.usage_id])
    details = await server.until_run(run_id, RunState.COMPLETED)
    assert (details.run.total_cost, details.run.total_tokens) == (Decimal("0.75"), 30)
    assert (await total(server)).calls == 2


async def test_calls_after_the_report_and_after_the_cancellation_are_booked(server: PlaneServer) -> None:
    worker = await server.connect("one", slots=2)
    done, cancelled = await server.create("one"), await server.create("one")
    offers = {offer.run_id: offer for offer in await worker.offers(2)}
    await worker.report(offers[str(done)])
    assert (await worker.acknowledgement()).disposition == RECORDED
    await server.cancel(cancelled)
    for run_id in (done, cancelled):
        await worker.send(usage_item(offers[str(run_id)].lease_token, record("1")))
        assert len(await acknowledged(worker)) == 1
    await worker.send(report_with(offers[str(cancelled)], [record("2")]))
    assert (await worker.acknowledgement()).disposition == report_pb2.REPORT_DISPOSITION_RUN_ENDED
    assert len(await acknowledged(worker)) == 1
    found = await total(server)
    assert (found.cost, found.wasted_cost) == (Decimal(4), Decimal(3))


async def test_a_bad_call_is_refused_by_its_id_and_harms_no_other(server: PlaneServer) -> None:
    worker = await server.connect("one")
    await server.create("one")
    offer = await worker.offer()
    bad = [
        record(topic="two words"),
        record("1e3"),
        record(call_type=usage_pb2.CALL_TYPE_UNSPECIFIED),
        record(usage_id="no uuid"),
        record(metadata=b"\xff"),
        record(input_tokens=-1),
    ]
    good = record()
    items = [usage_item(offer.lease_token, call) for call in (*bad, good)]
    sequence = await worker.send(*items, usage_item(b"?", record()))
    for index, call in enumerate(bad):
        error = (await worker.next("error")).error
        assert (error.frame_sequence, error.item_index) == (sequence, index)
        assert error.error.reason == error_pb2.ERROR_REASON_INVALID_FIELD
        assert error.error.metadata["usage_id"] == call.usage_id
    assert (await worker.next("error")).error.item_index == len(items)
    assert await acknowledged(worker) == [good.usage_id]
    await worker.send(report_with(offer, [bad[0], record()]))
    assert (await worker.next("error")).error.error.metadata["usage_id"] == bad[0].usage_id
    assert (await worker.acknowledgement()).disposition == RECORDED
    assert (await total(server)).calls == 2


async def test_a_lease_of_no_known_run_is_refused(server: PlaneServer) -> None:
    worker = await server.connect("one")
    await server.create("one")
    token = (await worker.offer()).lease_token
    call = record()
    await worker.send(usage_item(token[:1] + uuid4().bytes + token[17:], call))
    error = (await worker.next("error")).error.error
    assert (error.reason, error.metadata["usage_id"]) == (error_pb2.ERROR_REASON_RUN_NOT_FOUND, call.usage_id)


async def test_a_thousand_calls_in_one_frame(server: PlaneServer) -> None:
    worker = await server.connect("one")
    run_id = await server.create("one")
    offer = await worker.offer()
    calls = [record("0.000001") for _ in range(999)]
    await worker.send(
        *(usage_item(offer.lease_token, call) for call in calls), report_item(offer.lease_token)
    )
    told: set[str] = set()
    while len(told) < len(calls):
        told.update(await acknowledged(worker))
    details = await server.until_run(run_id, RunState.COMPLETED)
    assert details.run.total_cost == Decimal("0.000999")


async def test_calls_outlive_an_outage(deployment: Deployment) -> None:
    switches: list[FaultyPersistence] = []

    def change(ports: Ports) -> Ports:
        switches.append(FaultyPersistence(ports.persistence))
        return replace(ports, persistence=switches[0])

    server = await deployment.serve(UNHURRIED, change)
    await server.register(workflow("one", "only"))
    worker = await server.connect("one")
    await server.create("one")
    offer = await worker.offer()
    switches[0].down = True
    call = record()
    await worker.send(usage_item(offer.lease_token, call))

    async def failed() -> bool:
        return switches[0].failures >= 2

    await eventually(failed, what="the database to be asked in vain")
    switches[0].down = False
    assert await acknowledged(worker) == [call.usage_id]
    (booked,) = await server.ports.usage.list_calls("default", UsageFilter(), limit=2)
    assert booked.row.call.id == UUID(call.usage_id)
    assert (booked.row.generation, booked.row.attempt, booked.row.stage_id) == (1, 1, "only")
