"""The database goes away for a while, forgets to answer, or cannot store one thing among many."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from stageline.v1 import report_pb2, session_pb2, worker_pb2
from stageline_engine.commands import CancelRun, CreateRun, RunCreation
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.model.run import RunState
from stageline_engine.records import ChangeSet
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.expectations import waits_until_released
from stageline_server.dispatch.ports import Ports
from tests.support.faults import FaultyPersistence
from tests.support.plane import UNHURRIED, Deployment, PlaneServer, with_recheck
from tests.support.raw_worker import credits_item
from tests.waiting import eventually


async def faulty(deployment: Deployment, *, recheck: bool = False) -> tuple[PlaneServer, FaultyPersistence]:
    """A server whose database does what the test says."""
    switches: list[FaultyPersistence] = []

    def change(ports: Ports) -> Ports:
        switches.append(FaultyPersistence(ports.persistence))
        return replace(ports, persistence=switches[0])

    server = await deployment.serve(with_recheck() if recheck else UNHURRIED, change)
    await server.register(workflow("one", "only"))
    await server.register(workflow("chain", "first", "last"))
    return server, switches[0]


async def until_failed(faults: FaultyPersistence, times: int = 1) -> None:
    """Waits until the database has been asked in vain so often."""

    async def failed() -> bool:
        return faults.failures >= times

    await eventually(failed, what=f"{times} failures")


async def test_reports_outlive_an_outage_and_creations_fail_typed(deployment: Deployment) -> None:
    server, faults = await faulty(deployment)
    worker = await server.connect("chain", slots=1)
    run_id = await server.create("chain")
    offer = await worker.offer()
    faults.down = True
    await worker.report(offer, credits_item(1))
    await until_failed(faults, 2)
    with pytest.raises(StorageUnavailableError):
        await server.create("chain")
    with pytest.raises(StorageUnavailableError):
        await server.plane.cancel_run(CancelRun("default", run_id))
    assert not worker.waiting("report_acknowledgement")
    faults.down = False
    assert (await worker.acknowledgement()).disposition == report_pb2.REPORT_DISPOSITION_RECORDED
    await worker.report(await worker.offer())
    await server.until_run(run_id, RunState.COMPLETED)


async def test_a_job_is_leased_after_an_outage(deployment: Deployment) -> None:
    server, faults = await faulty(deployment)
    worker = await server.connect("one", slots=1, free=0)
    run_id = await server.create("one")
    faults.down = True
    await worker.send(credits_item(1))
    await until_failed(faults)
    faults.down = False
    assert (await worker.offer()).run_id == str(run_id)


async def test_a_report_whose_commit_was_not_answered_is_recorded_once(deployment: Deployment) -> None:
    """The next stage was leased in the commit that nobody heard of: its offer is lost, and found again."""
    server, faults = await faulty(deployment, recheck=True)
    worker = await server.connect("chain", slots=1)
    run_id = await server.create("chain")
    offer = await worker.offer()
    faults.lose_commits = 1
    await worker.report(offer, credits_item(1))
    assert (await worker.acknowledgement()).disposition == report_pb2.REPORT_DISPOSITION_ALREADY_RECORDED
    last = await worker.offer()
    assert (last.stage_id, last.attempt, last.delivery) == ("last", 1, 1)
    await worker.report(last)
    await server.until_run(run_id, RunState.COMPLETED)


async def test_what_a_lost_answer_made_ready_is_found_at_once(deployment: Deployment) -> None:
    """Nobody had a slot for the next stage when the report was committed, and its hint was lost with the answer."""
    server, faults = await faulty(deployment)
    worker = await server.connect("chain", slots=1)
    run_id = await server.create("chain")
    offer = await worker.offer()
    faults.lose_commits = 1
    await worker.report(offer)
    assert (await worker.acknowledgement()).disposition == report_pb2.REPORT_DISPOSITION_ALREADY_RECORDED
    await worker.send(credits_item(1))
    assert (await worker.offer()).run_id == str(run_id)


async def test_an_offer_lost_with_the_lease_is_found(deployment: Deployment) -> None:
    server, faults = await faulty(deployment, recheck=True)
    worker = await server.connect("one", slots=1, free=0)
    run_id = await server.create("one")
    await worker.ping_pong()
    faults.lose_commits = 1
    await worker.send(credits_item(1))
    offer = await worker.offer()
    assert (offer.run_id, offer.attempt, offer.delivery) == (str(run_id), 1, 1)


async def test_a_creation_with_a_key_is_safe_to_repeat(deployment: Deployment) -> None:
    server, faults = await faulty(deployment)
    command = CreateRun("default", "one", b"{}", idempotency_key="k")
    faults.lose_commits = 1
    with pytest.raises(StorageUnavailableError):
        await server.plane.create_run(command)
    again = await server.plane.create_run(command)
    assert isinstance(again, RunCreation)
    assert again.replayed


def of_output(text: str) -> Callable[[ChangeSet], bool]:
    """Refuses to store a result with this text in its output."""
    return lambda changes: any(text in (result.output or "") for result in changes.results)


async def test_a_report_that_cannot_be_stored_fails_its_attempt_and_no_other(deployment: Deployment) -> None:
    server, faults = await faulty(deployment)
    faults.refuse = of_output("poison")
    worker = await server.connect("one", slots=9)
    runs = [await server.create("one") for _ in range(9)]
    offers = await worker.offers(9)
    texts = [b'"poison"' if index == 4 else b'"fine"' for index in range(9)]
    for offer, text in zip(offers, texts, strict=True):
        completed = report_pb2.Completed()
        completed.output.json = text
        await worker.report(offer, completed=completed)
    answers = {answer.lease_token: answer for answer in [await worker.acknowledgement() for _ in range(9)]}
    refused = answers.pop(offers[4].lease_token)
    assert refused.disposition == report_pb2.REPORT_DISPOSITION_REFUSED
    assert {answer.disposition for answer in answers.values()} == {report_pb2.REPORT_DISPOSITION_RECORDED}
    for run_id in runs:
        if str(run_id) != offers[4].run_id:
            await server.until_run(run_id, RunState.COMPLETED)
    (poisoned,) = [run_id for run_id in runs if str(run_id) == offers[4].run_id]
    stage = (await server.details(poisoned)).stages[0]
    assert stage.result is not None
    assert stage.result.error is not None
    assert stage.result.error.type == "INTERNAL"


async def test_a_creation_that_cannot_be_stored_hurts_no_other(deployment: Deployment) -> None:
    server, faults = await faulty(deployment)
    faults.refuse = lambda changes: any("poison" in payload.input for payload in changes.payloads)
    inputs = [b'"poison"' if index in (2, 6) else b'"fine"' for index in range(8)]
    results = await asyncio.gather(
        *(server.plane.create_run(CreateRun("default", "one", text)) for text in inputs),
        return_exceptions=True,
    )
    assert [isinstance(result, ValueError) for result in results] == [text == b'"poison"' for text in inputs]
    assert all(isinstance(result, RunCreation | ValueError) for result in results)


async def test_a_stop_answers_what_waits(deployment: Deployment) -> None:
    server, faults = await faulty(deployment)
    worker = await server.connect("one", slots=1)
    await server.create("one")
    offer = await worker.offer()
    faults.down = True
    await worker.report(offer)
    await until_failed(faults)
    await server.plane.stop()
    with pytest.raises(StorageUnavailableError):
        await server.create("one")


async def test_a_slot_that_was_set_aside_in_vain_is_used(deployment: Deployment) -> None:
    """While a report is being committed, its worker's free slot is reserved for what may follow; nothing does."""
    server, faults = await faulty(deployment)
    worker = await server.connect("one", slots=1)
    first, second = [await server.create("one") for _ in range(2)]
    offer = await worker.offer()
    faults.arrived.clear()
    faults.gate.clear()
    await worker.report(offer, credits_item(1))
    await faults.arrived.wait()
    await worker.ping_pong()
    assert not worker.waiting("offer")
    faults.gate.set()
    assert {offer.run_id, (await worker.offer()).run_id} == {str(first), str(second)}


async def test_an_offer_for_a_stream_that_has_gone_is_handed_on(deployment: Deployment) -> None:
    """The stream breaks between the reservation of its slot and the commit that uses it."""
    server, faults = await faulty(deployment)
    lost = await server.connect("chain", slots=1)
    run_id = await server.create("chain")
    offer = await lost.offer()
    faults.arrived.clear()
    faults.gate.clear()
    await lost.report(offer, credits_item(1))
    await faults.arrived.wait()
    lost.break_off()

    async def gone() -> bool:
        return not server.plane.sessions.all()

    await eventually(gone, what="the stream to be gone")
    heir = await server.connect("chain", slots=1)
    faults.gate.set()
    again = await heir.offer()
    assert (again.run_id, again.stage_id, again.delivery) == (str(run_id), "last", 1)


async def test_a_worker_that_drains_meanwhile_is_not_sent_the_next_job(deployment: Deployment) -> None:
    server, faults = await faulty(deployment)
    worker = await server.connect("chain", slots=1)
    await server.create("chain")
    offer = await worker.offer()
    faults.arrived.clear()
    faults.gate.clear()
    await worker.report(offer, credits_item(1))
    await faults.arrived.wait()
    await worker.send(worker_pb2.WorkerItem(drain=session_pb2.Drain()))
    await worker.ping_pong()
    faults.gate.set()
    await worker.acknowledgement()
    heir = await server.connect("chain", slots=1)
    assert (await heir.offer()).delivery == 1
    assert not worker.waiting("offer")


async def test_a_worker_that_leaves_is_answered_first(deployment: Deployment) -> None:
    """It reports and closes its side at once; the commit takes longer."""
    server, faults = await faulty(deployment)
    worker = await server.connect("one", slots=1)
    run_id = await server.create("one")
    offer = await worker.offer()
    faults.arrived.clear()
    faults.gate.clear()
    await worker.report(offer)
    await worker.half_close()
    await faults.arrived.wait()
    answer = await waits_until_released(worker.acknowledgement())
    faults.gate.set()
    assert (await answer).disposition == report_pb2.REPORT_DISPOSITION_RECORDED
    await worker.ended()
    assert (await server.details(run_id)).run.state is RunState.COMPLETED
