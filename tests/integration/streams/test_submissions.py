"""Submissions over the wire: by stream and by call, each answered after its commit, and told to the next delivery."""

from typing import Any
from uuid import UUID

from stageline.v1 import error_pb2, job_pb2, report_pb2, session_pb2, worker_pb2
from stageline_engine.model.run import RunState
from stageline_server.mapping.submissions import submission_message
from tests.integration.streams.test_one_shot import lease, report
from tests.support.plane import PlaneServer
from tests.support.raw_worker import report_item

DECLARED, CONFIRMED = job_pb2.SUBMISSION_PHASE_DECLARED, job_pb2.SUBMISSION_PHASE_CONFIRMED
SUSPECTED = job_pb2.SUBMISSION_PHASE_SUSPECTED


def said(token: bytes, phase: Any, **fields: Any) -> worker_pb2.WorkerItem:
    submission = job_pb2.Submission(**{"key": "prompts", "phase": phase, **fields})
    declaration = worker_pb2.SubmissionDeclaration(lease_token=token, submission=submission)
    return worker_pb2.WorkerItem(submission=declaration)


def known(offer: job_pb2.JobOffer) -> list[tuple[str, int, str]]:
    return [(each.key, each.phase, each.provider_reference) for each in offer.submissions]


async def shown(server: PlaneServer, run_id: UUID) -> list[job_pb2.Submission]:
    """What people are shown of the run's first stage."""
    details = await server.ports.queries.get_run("default", run_id, with_outputs=True)
    assert details is not None
    return [submission_message(row, details.stages[0].stage) for row in details.submissions]


async def test_a_stream_declares_and_confirms_and_the_report_comes_behind(server: PlaneServer) -> None:
    worker = await server.connect("one")
    assert session_pb2.CAPABILITY_SUBMISSIONS in worker.welcome.capabilities
    run_id = await server.create("one")
    offer = await worker.offer()
    await worker.send(said(offer.lease_token, DECLARED))
    answer = (await worker.next("submission_acknowledgement")).submission_acknowledgement
    assert (answer.lease_token, answer.key, answer.phase) == (offer.lease_token, "prompts", DECLARED)

    confirmed = said(offer.lease_token, CONFIRMED, provider_reference="batch-1")
    await worker.send(confirmed, report_item(offer.lease_token))

    answer = (await worker.next("submission_acknowledgement")).submission_acknowledgement
    assert answer.phase == CONFIRMED
    assert (await worker.acknowledgement()).disposition == report_pb2.REPORT_DISPOSITION_RECORDED
    await server.until_run(run_id, RunState.COMPLETED)
    (kept,) = await shown(server, run_id)
    assert (kept.phase, kept.provider_reference, kept.generation) == (CONFIRMED, "batch-1", 1)
    assert kept.HasField("declare_time")


async def test_the_next_delivery_is_told_and_a_dead_lease_may_declare_nothing(server: PlaneServer) -> None:
    worker = await server.connect("one")
    run_id = await server.create("one")
    first = await worker.offer()
    await worker.send(said(first.lease_token, DECLARED))
    await worker.next("submission_acknowledgement")
    await worker.send(report_item(first.lease_token, returned=report_pb2.Returned(started=True)))
    await worker.acknowledgement()

    second = await worker.offer()
    assert known(second) == [("prompts", DECLARED, "")]

    await worker.send(said(first.lease_token, DECLARED, key="another"))
    error = (await worker.next("error")).error
    assert error.lease_token == first.lease_token
    assert error.error.reason == error_pb2.ERROR_REASON_LEASE_SUPERSEDED
    assert [each.key for each in await shown(server, run_id)] == ["prompts"]


async def test_a_bad_one_is_refused_and_harms_no_other(server: PlaneServer) -> None:
    worker = await server.connect("one")
    await server.create("one")
    token = (await worker.offer()).lease_token
    bad = [said(token, 0), said(token, 99), said(token, DECLARED, key=""), said(token, CONFIRMED)]
    await worker.send(*bad, said(b"?", DECLARED), said(token, DECLARED))

    for _ in range(5):
        error = (await worker.next("error")).error
        assert error.error.reason == error_pb2.ERROR_REASON_INVALID_FIELD
    assert (await worker.next("submission_acknowledgement")).submission_acknowledgement.key == "prompts"


async def test_by_calls_alone(server: PlaneServer) -> None:
    await server.create("one")
    (offer,) = await lease(server, "one")

    answer = await report(server, said(offer.lease_token, DECLARED), said(offer.lease_token, 99, key="x"))

    assert [each.key for each in answer.submission_acknowledgements] == ["prompts"]
    assert [each.error.reason for each in answer.errors] == [error_pb2.ERROR_REASON_INVALID_FIELD]
    answer = await report(
        server,
        said(offer.lease_token, CONFIRMED, provider_reference="batch-1"),
        report_item(offer.lease_token, returned=report_pb2.Returned(started=True)),
    )
    assert len(answer.report_acknowledgements) == 1
    (again,) = await lease(server, "one")
    assert known(again) == [("prompts", CONFIRMED, "batch-1")]


async def test_what_an_ended_stage_left_declared_is_shown_as_a_suspected_orphan(server: PlaneServer) -> None:
    run_id = await server.create("one")
    (offer,) = await lease(server, "one")
    await report(server, said(offer.lease_token, DECLARED))
    assert [each.phase for each in await shown(server, run_id)] == [DECLARED]

    await server.cancel(run_id)

    assert [each.phase for each in await shown(server, run_id)] == [SUSPECTED]
    late = await report(server, said(offer.lease_token, CONFIRMED, provider_reference="batch-1"))
    assert len(late.submission_acknowledgements) == 1
    assert [each.phase for each in await shown(server, run_id)] == [CONFIRMED]
