"""Workers without a stream: LeaseJobs, ReportJobs and ExtendLeases, over every adapter."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest

from stageline.v1 import (
    annotation_pb2,
    error_pb2,
    job_pb2,
    report_pb2,
    run_pb2,
    session_pb2,
    worker_pb2,
    worker_service_pb2,
)
from stageline_engine import limits
from stageline_engine.model.run import RunState
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.play import batch_stage
from stageline_sdk._rpc_errors import api_error
from tests.support.plane import UNHURRIED, Deployment, PlaneServer
from tests.support.raw_worker import report_item
from tests.support.usage import record, report_with, usage_item
from tests.waiting import eventually

LEASE = worker_service_pb2.LeaseJobsRequest
REPORT = worker_service_pb2.ReportJobsRequest
EXTEND = worker_service_pb2.ExtendLeasesRequest


def request(
    server: PlaneServer, *workflows: str, slots: int = 10, wait: float = 0, **fields: Any
) -> worker_service_pb2.LeaseJobsRequest:
    """A request for jobs of the first versions of workflows."""
    hello = session_pb2.Hello(protocol_version=1, slots=slots, stages=server.stages_of(*workflows))
    made = LEASE(hello=hello, **fields)
    made.wait.FromTimedelta(timedelta(seconds=wait))
    return made


async def lease(server: PlaneServer, *workflows: str, **fields: Any) -> list[job_pb2.JobOffer]:
    """Leases what is ready."""
    return list((await server.stub.LeaseJobs(request(server, *workflows, **fields))).offers)


async def report(server: PlaneServer, *items: worker_pb2.WorkerItem) -> Any:
    """Reports."""
    return await server.stub.ReportJobs(REPORT(items=items))


async def refusal(call: Any) -> str:
    """The reason of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return api_error(caught.value, "here").reason


async def sessions(server: PlaneServer, *, ended: bool = False) -> int:
    """How many sessions there are."""
    return len(await server.ports.sessions.list("default", include_ended=ended, limit=100))


async def test_a_whole_run_by_calls_alone(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", "a", ["b", "c"]))
    run_id = await server.create("w", b'{"x": 1}')
    (first,) = await lease(server, "w")
    assert (first.stage_id, first.run_input.json) == ("a", b'{"x": 1}')
    answer = await report(server, report_item(first.lease_token, b'"done"'))
    assert [one.disposition for one in answer.report_acknowledgements] == [
        report_pb2.REPORT_DISPOSITION_RECORDED
    ]
    both = await lease(server, "w")
    assert [(each.stage_id, each.outputs["a"].json) for each in both] == [("b", b'"done"'), ("c", b'"done"')]
    await report(server, *(report_item(each.lease_token, b"1") for each in both))
    await server.until_run(run_id, RunState.COMPLETED)
    assert await sessions(server) == 0


async def test_it_answers_at_once_when_nothing_is_ready_and_leaves_no_session(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", "a"))
    answer = await server.stub.LeaseJobs(request(server, "w"))
    assert (list(answer.offers), answer.lease_duration.ToTimedelta()) == ([], limits.LEASE_DURATION)
    assert answer.welcome.limits.frame_bytes_max == limits.FRAME_BYTES_MAX
    assert (await sessions(server), await sessions(server, ended=True)) == (0, 1)


async def test_it_waits_for_a_job_without_asking_again_and_again(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", "a"))
    waiting = asyncio.create_task(lease(server, "w", wait=20))
    await eventually(lambda: sessions(server), what="the waiting session")
    await server.create("w")
    assert [offer.stage_id for offer in await waiting] == ["a"]


async def test_another_servers_jobs_are_heard_of(deployment: Deployment) -> None:
    here, there = await deployment.serve(), await deployment.serve()
    await here.register(workflow("w", "a"))
    waiting = asyncio.create_task(lease(there, "w", wait=20))
    await eventually(lambda: sessions(here), what="the waiting session")
    await here.create("w")
    (offer,) = await waiting
    extended = await here.stub.ExtendLeases(EXTEND(lease_tokens=[offer.lease_token]))
    assert extended.extensions[0].lease_duration.ToTimedelta() == limits.LEASE_DURATION
    await report(here, report_item(offer.lease_token))


async def test_the_wait_ends_without_a_job(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", "a"))
    assert await lease(server, "w", wait=0.05) == []


async def test_a_caller_that_leaves_while_it_waits_leaves_no_session(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", "a"))
    waiting = server.stub.LeaseJobs(request(server, "w", wait=20))
    await eventually(lambda: sessions(server), what="the waiting session")
    waiting.cancel()

    async def is_gone() -> bool:
        return await sessions(server) == 0

    await eventually(is_gone, what="the end of the session")


async def test_a_retry_with_the_same_id_gives_the_same_offers(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", ["a", "b", "c"]))
    await server.create("w")
    asked = request(server, "w", slots=2, request_id="once")
    first, again = await server.stub.LeaseJobs(asked), await server.stub.LeaseJobs(asked)
    assert list(first.offers) == list(again.offers)
    assert len(first.offers) == 2
    assert first.welcome.session_id == again.welcome.session_id
    assert await sessions(server) == 1
    asked.hello.slots = 3
    assert await refusal(server.stub.LeaseJobs(asked)) == "REQUEST_ID_REUSED"


async def test_a_given_run_or_stage(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", ["a", "b"]))
    await server.create("w", priority=100)
    run_id = str(await server.create("w"))
    assert [each.run_id for each in await lease(server, "w", run_id=run_id, stage_id="b")] == [run_id]
    assert [each.stage_id for each in await lease(server, "w", run_id=run_id)] == ["a"]
    assert await lease(server, "w", run_id=run_id) == []
    unknown = "00000000-0000-7000-8000-000000000000"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"run_id": unknown}, "RUN_NOT_FOUND"),
        ({"run_id": run_id, "stage_id": "z"}, "STAGE_NOT_FOUND"),
        ({"run_id": "no id"}, "INVALID_FIELD"),
        ({"stage_id": "a"}, "INVALID_FIELD"),
    ]
    for fields, reason in wrong:
        assert await refusal(server.stub.LeaseJobs(request(server, "w", **fields))) == reason


async def test_what_breaks_a_rule_is_refused_and_leaves_no_session(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", "a"))
    wrong = request(server, "w")
    wrong.hello.protocol_version = 7
    for bad, reason in (
        (request(server, "w", wait=limits.LEASE_WAIT_MAX.total_seconds() + 0.5), "LIMIT_EXCEEDED"),
        (request(server, "w", slots=0), "LIMIT_EXCEEDED"),
        (request(server, "unknown"), "WORKFLOW_NOT_FOUND"),
        (request(server, "w", request_id="x" * 129), "INVALID_FIELD"),
        (wrong, "PROTOCOL_VERSION_UNSUPPORTED"),
        (EXTEND(), "INVALID_FIELD"),
        (EXTEND(lease_tokens=[b"x"] * (limits.LEASES_PER_CALL_MAX + 1)), "INVALID_FIELD"),
        (REPORT(), "INVALID_FIELD"),
        (REPORT(items=[report_item(b"x")] * (limits.LEASES_PER_CALL_MAX + 1)), "LIMIT_EXCEEDED"),
        (REPORT(items=[worker_pb2.WorkerItem(credits=session_pb2.Credits())]), "INVALID_FIELD"),
    ):
        method = {LEASE: "LeaseJobs", EXTEND: "ExtendLeases", REPORT: "ReportJobs"}[type(bad)]
        assert await refusal(getattr(server.stub, method)(bad)) == reason
    assert await sessions(server, ended=True) == 0


async def test_a_server_that_drains_gives_nothing(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", "a"))
    await server.plane.drain()
    assert await refusal(server.stub.LeaseJobs(request(server, "w"))) == "SHUTTING_DOWN"


async def test_a_report_is_idempotent_and_bad_items_harm_no_other(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", ["a", "b"]))
    run_id = await server.create("w")
    one, other = await lease(server, "w")
    note = annotation_pb2.AnnotationEntry(annotation_id="n1", key="k", value=b"1")
    bad = annotation_pb2.AnnotationEntry(annotation_id="n2", key="k", value=b"{")
    items = [
        report_item(one.lease_token, b"1"),
        worker_pb2.WorkerItem(
            annotation=worker_pb2.AnnotationItem(lease_token=one.lease_token, annotation=note)
        ),
        worker_pb2.WorkerItem(
            annotation=worker_pb2.AnnotationItem(lease_token=one.lease_token, annotation=bad)
        ),
        worker_pb2.WorkerItem(
            progress=worker_pb2.Progress(
                lease_token=other.lease_token, progress=run_pb2.StageProgress(fraction=0.5)
            )
        ),
        worker_pb2.WorkerItem(
            logs=worker_pb2.LogBatch(
                lease_token=other.lease_token, entries=[run_pb2.LogEntry(message="hello")]
            )
        ),
        worker_pb2.WorkerItem(logs=worker_pb2.LogBatch(lease_token=b"x")),
        report_item(b"no token"),
    ]
    answer = await report(server, *items)
    assert [each.disposition for each in answer.report_acknowledgements] == [
        report_pb2.REPORT_DISPOSITION_RECORDED,
        report_pb2.REPORT_DISPOSITION_SUPERSEDED,
    ]
    assert list(answer.record_acknowledgement.annotation_ids) == ["n1"]
    assert sorted((each.item_index, each.error.reason) for each in answer.errors) == [
        (2, error_pb2.ERROR_REASON_INVALID_FIELD),
        (5, error_pb2.ERROR_REASON_INVALID_FIELD),
    ]
    again = await report(server, *items)
    assert again.report_acknowledgements[0].disposition == report_pb2.REPORT_DISPOSITION_ALREADY_RECORDED
    await server.plane.logs.flushed()
    lines = await server.ports.logs.list("default", run_id, limit=10)
    assert [(line.message, line.generation, line.attempt) for line in lines] == [("hello", 1, 1)] * 2
    events, _ = await server.ports.queries.list_events("default", run_id, after_sequence=0, limit=100) or (
        (),
        None,
    )
    assert [event.type for event in events].count("stage:completed") == 1


async def test_of_a_cancelled_run_the_worker_is_told_to_stop(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", ["a", "b"]))
    run_id = await server.create("w")
    one, other = await lease(server, "w")
    await report(server, report_item(one.lease_token))
    await server.cancel(run_id)
    answer = await server.stub.ExtendLeases(
        EXTEND(lease_tokens=[one.lease_token, other.lease_token, b"no token"])
    )
    reported, stopped, malformed = answer.extensions
    assert not reported.HasField("directive")
    assert stopped.directive.reason == worker_pb2.STOP_REASON_RUN_ENDED
    assert not stopped.HasField("lease_duration")
    assert malformed.error.reason == error_pb2.ERROR_REASON_INVALID_FIELD
    late = await report(server, report_item(other.lease_token))
    assert late.report_acknowledgements[0].disposition == report_pb2.REPORT_DISPOSITION_RUN_ENDED


async def test_a_lease_of_a_stream_needs_no_extension_and_may_be_reported(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", "a"))
    await server.create("w")
    worker = await server.connect("w")
    offer = await worker.offer()
    answer = await server.stub.ExtendLeases(EXTEND(lease_tokens=[offer.lease_token]))
    assert answer.extensions[0].lease_duration.ToTimedelta() == UNHURRIED.session_timeout
    told = await report(server, report_item(offer.lease_token))
    assert told.report_acknowledgements[0].disposition == report_pb2.REPORT_DISPOSITION_RECORDED
    assert await sessions(server) == 1


async def test_a_suspended_stage_is_checked_by_calls_alone(deployment: Deployment) -> None:
    server = await deployment.serve()
    await server.register(workflow("batches", batch_stage()))
    run_id = await server.create("batches")
    (offer,) = await lease(server, "batches")
    suspended = report_pb2.Suspended()
    suspended.state.json = b'{"id": 1}'
    suspended.poll_policy.first_check_delay.FromTimedelta(timedelta(0))
    await report(server, report_item(offer.lease_token, suspended=suspended))
    (check,) = await lease(server, "batches", wait=20)
    assert (check.kind, check.suspended_state.json) == (job_pb2.JOB_KIND_CHECK, b'{"id": 1}')
    await report(server, report_item(check.lease_token, b"1"))
    await server.until_run(run_id, RunState.COMPLETED)


async def test_usage_is_booked_with_and_without_a_report_and_refused_by_its_id(
    deployment: Deployment,
) -> None:
    server = await deployment.serve()
    await server.register(workflow("w", "a"))
    run_id = await server.create("w")
    (offer,) = await lease(server, "w")
    first, second, bad = record("0.25"), record("0.5"), record(topic="two words")
    answer = await report(server, usage_item(offer.lease_token, first), usage_item(offer.lease_token, bad))
    assert list(answer.record_acknowledgement.usage_ids) == [first.usage_id]
    (error,) = answer.errors
    assert (error.item_index, error.error.metadata["usage_id"]) == (1, bad.usage_id)
    answer = await report(server, report_with(offer, [first, second, bad]))
    assert sorted(answer.record_acknowledgement.usage_ids) == sorted([first.usage_id, second.usage_id])
    assert [one.error.metadata["usage_id"] for one in answer.errors] == [bad.usage_id]
    run = (await server.until_run(run_id, RunState.COMPLETED)).run
    assert (str(run.total_cost), run.total_tokens) == ("0.75", 30)
