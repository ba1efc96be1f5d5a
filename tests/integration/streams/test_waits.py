"""Suspension, checks, annotations and time-outs over a stream."""

import hashlib
from datetime import timedelta
from uuid import UUID

import pytest

from stageline.v1 import annotation_pb2, error_pb2, job_pb2, payload_pb2, report_pb2, worker_pb2
from stageline_engine import limits
from stageline_engine.events import Annotation
from stageline_engine.model.definition import StageDefinition, StageMode, StageTimeouts
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.ports import AnnotationFilter
from stageline_engine.testing.definitions import workflow
from tests.support.plane import PlaneServer
from tests.support.raw_worker import RawWorker, credits_item, report_item

BATCH = StageDefinition(id="batch", mode=StageMode.ASYNC_BATCH)
RECORDED = report_pb2.REPORT_DISPOSITION_RECORDED
REFUSED = report_pb2.REPORT_DISPOSITION_REFUSED
SOON = timedelta(milliseconds=20)


def suspended(state: bytes = b"{}", **fields: object) -> report_pb2.Suspended:
    """A suspension that is checked soon."""
    message = report_pb2.Suspended(state=payload_pb2.Payload(json=state), **fields)  # type: ignore[arg-type]
    message.poll_policy.first_check_delay.FromTimedelta(SOON)
    return message


def remark(
    annotation_id: str, key: str = "decision", value: bytes = b'"yes"'
) -> annotation_pb2.AnnotationEntry:
    """An annotation."""
    return annotation_pb2.AnnotationEntry(annotation_id=annotation_id, key=key, value=value)


def remark_item(token: bytes, entry: annotation_pb2.AnnotationEntry) -> worker_pb2.WorkerItem:
    """An annotation of a leased job."""
    return worker_pb2.WorkerItem(annotation=worker_pb2.AnnotationItem(lease_token=token, annotation=entry))


async def started(server: PlaneServer, stage: StageDefinition = BATCH) -> tuple[RawWorker, job_pb2.JobOffer]:
    """A worker with the one job of a run."""
    await server.register(workflow("waits", stage))
    worker = await server.connect("waits")
    await server.create("waits")
    return worker, await worker.offer()


async def test_a_suspended_stage_is_checked_with_its_state_until_it_is_done(server: PlaneServer) -> None:
    worker, offer = await started(server)
    assert not offer.HasField("suspended_state")
    await worker.report(offer, credits_item(1), suspended=suspended(b'{"batch":7}'))
    assert (await worker.acknowledgement()).disposition == RECORDED
    check = await worker.offer()
    assert (check.kind, check.suspended_state.json, check.attempt) == (
        job_pb2.JOB_KIND_CHECK,
        b'{"batch":7}',
        1,
    )
    waiting = report_pb2.StillWaiting(state=payload_pb2.Payload(json=b"8"))
    waiting.next_check_delay.FromTimedelta(timedelta(milliseconds=1))  # the server makes it a second
    await worker.report(check, credits_item(1), still_waiting=waiting)
    assert (await worker.acknowledgement()).disposition == RECORDED
    again = await worker.offer()
    assert again.suspended_state.json == b"8"
    await worker.report(again, output=b'"done"')
    assert (await worker.acknowledgement()).disposition == RECORDED


BAD_STATES = {
    "a reference": payload_pb2.Payload(reference=payload_pb2.PayloadReference(size_bytes=5)),
    "no JSON": payload_pb2.Payload(json=b"{"),
    "too large": payload_pb2.Payload(json=b'"' + b"x" * limits.PAYLOAD_INLINE_BYTES_MAX + b'"'),
    "null character": payload_pb2.Payload(json=b'"\\u0000"'),
}


@pytest.mark.parametrize("case", BAD_STATES)
async def test_a_state_that_cannot_be_kept_fails_the_stage(server: PlaneServer, case: str) -> None:
    worker, offer = await started(server)
    await worker.report(offer, suspended=report_pb2.Suspended(state=BAD_STATES[case]))
    answer = await worker.acknowledgement()
    assert (answer.disposition, answer.error.reason) == (REFUSED, error_pb2.ERROR_REASON_INVALID_OUTPUT)
    assert "state" in answer.error.message


BAD_CONDITIONS = {
    "a short hash": [report_pb2.ResumeCondition(token_sha256=b"x")],
    "too many": [report_pb2.ResumeCondition(token_sha256=bytes([n]) * 32) for n in range(11)],
    "two alike": [report_pb2.ResumeCondition(token_sha256=b"x" * 32)] * 2,
    "none with never_poll": [],
}


@pytest.mark.parametrize("case", BAD_CONDITIONS)
async def test_conditions_that_cannot_be_kept_fail_the_stage(server: PlaneServer, case: str) -> None:
    worker, offer = await started(server)
    said = suspended(resume_conditions=BAD_CONDITIONS[case])
    said.poll_policy.never_poll = True
    await worker.report(offer, suspended=said)
    assert (await worker.acknowledgement()).disposition == REFUSED


async def test_a_token_is_stored_by_its_hash_alone(server: PlaneServer) -> None:
    worker, offer = await started(server)
    digest = hashlib.sha256(b"secret").digest()
    await worker.report(
        offer, suspended=suspended(resume_conditions=[report_pb2.ResumeCondition(token_sha256=digest)])
    )
    assert (await worker.acknowledgement()).disposition == RECORDED
    async with server.ports.persistence.begin() as work:
        token = await work.load_resume_token(digest)
    assert token is not None
    assert str(token.run_id) == offer.run_id


async def test_live_annotations_are_acknowledged_once_each_and_kept_with_their_attempt(
    server: PlaneServer,
) -> None:
    worker, offer = await started(server)
    await worker.send(
        remark_item(offer.lease_token, remark("a")), remark_item(offer.lease_token, remark("a"))
    )
    for _ in range(2):
        assert (await worker.next("record_acknowledgement")).record_acknowledgement.annotation_ids == ["a"]
    await worker.send(report_item_with(offer, remark("a"), remark("b")))
    assert (await worker.acknowledgement()).disposition == RECORDED
    assert (await worker.next("record_acknowledgement")).record_acknowledgement.annotation_ids == ["a", "b"]
    kept = await annotations(server, offer)
    assert [(each.id, each.scope, each.stage_number, each.attempt, each.generation) for each in kept] == [
        ("a", "stage", 1, 1, 1),
        ("b", "stage", 1, 1, 1),
    ]


async def test_a_report_never_overtakes_the_annotation_before_it(server: PlaneServer) -> None:
    worker, offer = await started(server)
    items = [remark_item(offer.lease_token, remark(f"a-{n}")) for n in range(50)]
    await worker.send(*items, report_item(offer.lease_token))
    assert (await worker.acknowledgement()).disposition == RECORDED
    assert len(await annotations(server, offer)) == 50


async def test_bad_annotations_are_refused_one_by_one(server: PlaneServer) -> None:
    worker, offer = await started(server)
    bad = [
        remark("", "k"),
        remark("a", "k", b"{"),
        remark("a", "k", b'"\xff"'),
        remark("a", "k", b'"' + b"x" * 17_000 + b'"'),
    ]
    await worker.send(*(remark_item(offer.lease_token, entry) for entry in bad))
    for index in range(len(bad)):
        error = (await worker.next("error")).error
        assert (error.item_index, error.lease_token) == (index, offer.lease_token)
        assert error.error.reason in (
            error_pb2.ERROR_REASON_INVALID_FIELD,
            error_pb2.ERROR_REASON_MALFORMED_JSON,
        )
    await worker.send(report_item_with(offer, *bad, remark("good")))
    assert (await worker.acknowledgement()).disposition == RECORDED
    assert [each.id for each in await annotations(server, offer)] == ["good"]


async def test_annotations_of_another_lease_are_refused(server: PlaneServer) -> None:
    _, offer = await started(server)
    other = await server.connect("waits", free=0)
    await other.send(remark_item(offer.lease_token, remark("a")), remark_item(b"x", remark("a")))
    reasons = [(await other.next("error")).error.error.reason for _ in range(2)]
    assert reasons == [error_pb2.ERROR_REASON_LEASE_SUPERSEDED, error_pb2.ERROR_REASON_INVALID_FIELD]
    assert await annotations(server, offer) == []


@pytest.mark.parametrize(
    ("timeouts", "reason"),
    [
        (StageTimeouts(start_to_close=SOON), worker_pb2.STOP_REASON_TIMED_OUT),
        (StageTimeouts(heartbeat=SOON), worker_pb2.STOP_REASON_HEARTBEAT_TIMED_OUT),
    ],
)
async def test_a_worker_is_told_that_its_time_is_over(
    server: PlaneServer, timeouts: StageTimeouts, reason: "worker_pb2.StopReason.ValueType"
) -> None:
    worker, offer = await started(server, StageDefinition(id="slow", timeouts=timeouts))
    assert offer.HasField("heartbeat_timeout") == (timeouts.heartbeat is not None)
    directive = (await worker.next("directive")).directive
    assert (directive.lease_token, directive.reason) == (offer.lease_token, reason)


async def test_a_check_of_a_cancelled_run_is_stopped(server: PlaneServer) -> None:
    worker, offer = await started(server)
    await worker.report(offer, credits_item(1), suspended=suspended())
    check = await worker.offer()
    await server.cancel(UUID(check.run_id))
    directive = (await worker.next("directive")).directive
    assert (directive.lease_token, directive.reason) == (check.lease_token, worker_pb2.STOP_REASON_RUN_ENDED)
    details = await server.details(UUID(check.run_id))
    assert (details.run.state, details.stages[0].stage.state) == (RunState.CANCELLED, StageState.CANCELLED)


def report_item_with(
    offer: job_pb2.JobOffer, *entries: annotation_pb2.AnnotationEntry
) -> worker_pb2.WorkerItem:
    """A report with annotations."""
    report = report_pb2.Report(lease_token=offer.lease_token, annotations=entries)
    report.completed.output.json = b"{}"
    return worker_pb2.WorkerItem(report=report)


async def annotations(server: PlaneServer, offer: job_pb2.JobOffer) -> list[Annotation]:
    """What is kept of a run, in the order of its making."""
    found = await server.ports.queries.list_annotations(
        "default", UUID(offer.run_id), AnnotationFilter(), limit=1000
    )
    return [record.annotation for record in found]
