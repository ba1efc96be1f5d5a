"""A worker does jobs, and tells how they went."""

import json

from stageline.v1 import failure_pb2, job_pb2, report_pb2, run_pb2
from stageline_sdk import Worker
from tests.integration.worker_sdk.conftest import StartWorker
from tests.integration.worker_sdk.offers import an_offer, payload, recorded
from tests.integration.worker_sdk.stages import OTHERS, PIPELINE, Gates
from tests.support.scripted_server import LIMITS, ScriptedServer, ServerStream


async def test_a_worker_says_who_it_is_and_what_it_can(server: ScriptedServer, start: StartWorker) -> None:
    start(Worker(PIPELINE, concurrency=7, name="doubler", labels={"zone": "a"}, namespace="team"))
    stream = await server.next_stream()
    assert stream.hello.namespace == "team"
    assert stream.hello.identity.name == "doubler"
    assert stream.hello.protocol_version == 1
    assert stream.hello.slots == 7
    assert dict(stream.hello.labels) == {"zone": "a"}
    assert [(each.workflow_name, each.workflow_version) for each in stream.hello.stages] == [("pipeline", 1)]
    assert stream.credits == 7
    assert [request.definition.name for request in server.registered] == ["pipeline"]
    assert server.registered[0].namespace == "team"


async def test_async_and_plain_stages_are_run(server: ScriptedServer, start: StartWorker) -> None:
    start(Worker(PIPELINE))
    stream = await server.next_stream()
    await stream.welcome()
    await stream.send(
        offer=[
            an_offer("double", token="a", run_input={"value": 5}),
            an_offer(
                "triple", token="b", input_stage_ids=["double"], outputs={"double": payload({"value": 10})}
            ),
        ]
    )
    reports = [(await stream.next("report")).report for _ in range(2)]
    outputs = {report.lease_token: json.loads(report.completed.output.json) for report in reports}
    assert outputs == {b"a": {"value": 10}, b"b": {"value": 30}}
    assert all(report.HasField("active_duration") for report in reports)


async def test_missing_outputs_are_fetched(server: ScriptedServer, start: StartWorker) -> None:
    server.outputs = {"double": b'{"value": 4}', "triple": b'{"value": 5}'}
    start(Worker(PIPELINE))
    stream = await server.next_stream()
    await stream.welcome()
    await stream.send(
        offer=an_offer("add", input_stage_ids=["triple"], completed_stage_ids=["double", "triple"])
    )
    report = (await stream.next("report")).report
    assert json.loads(report.completed.output.json) == {"value": 9}
    assert sorted(server.fetched) == [["double"], ["triple"]]


async def connected(server: ScriptedServer, start: StartWorker) -> ServerStream:
    start(Worker(OTHERS, PIPELINE))
    stream = await server.next_stream()
    await stream.welcome()
    return stream


async def report_of(stream: ServerStream, stage_id: str, value: int = 1) -> report_pb2.Report:
    await stream.send(offer=an_offer(stage_id, workflow_name="others", run_input={"value": value}))
    return (await stream.next("report")).report


async def test_an_error_is_reported_with_its_type_and_trace(
    server: ScriptedServer, start: StartWorker
) -> None:
    error = (await report_of(await connected(server, start), "fail", 7)).failed.error
    assert (error.kind, error.type) == (failure_pb2.FAILURE_KIND_APPLICATION, "ValueError")
    assert error.message == "no good: 7"
    assert "stages.py" in error.stack_trace
    assert not error.HasField("retryable")


async def test_an_error_that_is_final_says_so(server: ScriptedServer, start: StartWorker) -> None:
    error = (await report_of(await connected(server, start), "fail-for-good")).failed.error
    assert error.HasField("retryable")
    assert not error.retryable


async def test_an_error_that_asks_for_a_wait_says_so(server: ScriptedServer, start: StartWorker) -> None:
    error = (await report_of(await connected(server, start), "try-later")).failed.error
    assert error.retryable
    assert error.retry_after.seconds == 30


async def test_input_that_does_not_fit_is_no_fault_of_the_stage(
    server: ScriptedServer, start: StartWorker
) -> None:
    stream = await connected(server, start)
    await stream.send(offer=an_offer("double", run_input={"value": "many"}))
    error = (await stream.next("report")).report.failed.error
    assert error.kind == failure_pb2.FAILURE_KIND_INVALID_INPUT
    assert not error.retryable
    assert "value" in error.message


async def test_an_output_at_the_inline_limit_goes_into_the_report(
    server: ScriptedServer, start: StartWorker
) -> None:
    limit = LIMITS.inline_payload_bytes_max
    report = await report_of(await connected(server, start), "large", limit - 2)  # Two quotes.
    assert len(report.completed.output.json) == limit


async def test_an_output_above_the_limit_of_payloads_is_a_failure_that_says_so(
    server: ScriptedServer, start: StartWorker
) -> None:
    limit = LIMITS.payload_bytes_max
    report = await report_of(await connected(server, start), "large", limit - 1)
    assert report.failed.error.type == "PAYLOAD_TOO_LARGE"
    assert f"{limit + 1:,} bytes; the limit is {limit:,}" in report.failed.error.message


async def test_what_a_stage_says_is_sent_while_it_runs(
    server: ScriptedServer, start: StartWorker, gates: Gates
) -> None:
    stream = await connected(server, start)
    await stream.send(offer=an_offer("talk", workflow_name="others", run_input={"value": 3}))
    progress = (await stream.next("progress")).progress
    assert (progress.lease_token, progress.progress.fraction) == (b"lease-1", 0.5)
    assert (progress.progress.message, json.loads(progress.progress.details)) == ("half way", {"pages": 3})
    (entry,) = (await stream.next("logs")).logs.entries
    assert (entry.message, entry.level, json.loads(entry.fields)) == (
        "hello",
        run_pb2.LOG_LEVEL_INFO,
        {"value": 3},
    )
    assert entry.HasField("log_time")
    gates.open.set()
    report = (await stream.next("report")).report
    (note,) = report.annotations
    assert (note.key, json.loads(note.value), json.loads(note.details)) == (
        "decision.rationale",
        "because",
        {"score": 1},
    )


async def test_credits_follow_the_free_slots(
    server: ScriptedServer, start: StartWorker, gates: Gates
) -> None:
    start(Worker(OTHERS, concurrency=2))
    stream = await server.next_stream()
    await stream.welcome()
    job = an_offer("wait", workflow_name="others", run_input={"value": 1})
    await stream.send(offer=[_with_token(job, "a"), _with_token(job, "b"), _with_token(job, "c")])
    refused = (await stream.next("report")).report
    assert (refused.lease_token, refused.returned.reason) == (b"c", report_pb2.RETURN_REASON_NO_FREE_SLOT)
    await gates.entered.get()
    await gates.entered.get()
    gates.open.set()
    reports = [(await stream.next("report")).report for _ in range(2)]
    assert {report.lease_token for report in reports} == {b"a", b"b"}
    await stream.send(report_acknowledgement=[recorded(report) for report in (refused, *reports)])
    while stream.credits != 2:
        await stream.next("credits")


async def test_a_second_copy_of_an_offer_is_not_run(
    server: ScriptedServer, start: StartWorker, gates: Gates
) -> None:
    stream = await connected(server, start)
    job = an_offer("wait", workflow_name="others", run_input={"value": 1})
    await stream.send(offer=[job, job])
    await stream.send(offer=job)
    await gates.entered.get()
    await stream.acknowledged(3)
    gates.open.set()
    await stream.next("report")
    assert gates.entered.empty()


async def test_a_job_of_another_version_is_handed_back(server: ScriptedServer, start: StartWorker) -> None:
    stream = await connected(server, start)
    await stream.send(offer=an_offer("double", workflow_version=2, run_input={"value": 1}))
    report = (await stream.next("report")).report
    assert report.returned.reason == report_pb2.RETURN_REASON_UNKNOWN_JOB


def _with_token(offer: job_pb2.JobOffer, token: str) -> job_pb2.JobOffer:
    copy = job_pb2.JobOffer()
    copy.CopyFrom(offer)
    copy.lease_token = token.encode()
    return copy
