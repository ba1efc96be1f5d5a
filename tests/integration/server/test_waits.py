"""What the outside does to runs that wait or have ended: resume, rerun, annotations, over the wire."""

import hashlib
from datetime import timedelta
from typing import Any

import grpc

from stageline.v1 import annotation_pb2, definition_pb2, failure_pb2, payload_pb2, run_pb2, run_service_pb2
from stageline_engine.commands import Failed, StillWaiting, SuspendCondition, Suspended
from stageline_engine.events import StageError
from stageline_engine.model.job import JobKind
from tests.integration.server.running import Server, documents, refused

TOKEN = "a token of more than sixteen bytes"
CONDITION = SuspendCondition(hashlib.sha256(TOKEN.encode()).digest(), "approval by finance")


def approval(max_attempts: int = 1) -> definition_pb2.WorkflowDefinition:
    """A workflow of one stage that may suspend."""
    stage = definition_pb2.StageDefinition(
        id="approve",
        mode=definition_pb2.STAGE_MODE_ASYNC_BATCH,
        output_schema=b'{"type":"boolean"}',
        retry_policy=definition_pb2.RetryPolicy(max_attempts=max_attempts),
    )
    stage.retry_policy.initial_backoff.FromTimedelta(timedelta())
    return definition_pb2.WorkflowDefinition(
        name="documents", groups=[definition_pb2.StageGroup(stages=[stage])]
    )


async def suspended(server: Server, max_attempts: int = 1, **wait: Any) -> run_pb2.Run:
    """A run whose stage waits for the outside."""
    await server.register(approval(max_attempts))
    run = await server.create()
    [offer] = await server.lease()
    await server.report(offer, Suspended(**{"never_poll": True, "conditions": (CONDITION,), **wait}))
    return run


def resume(server: Server, run_id: str, **fields: Any) -> Any:
    """A call that resumes the stage; by default with an output."""
    outcome = (
        {} if {"failure", "check_now"} & fields.keys() else {"output": payload_pb2.Payload(json=b"true")}
    )
    request = run_service_pb2.ResumeStageRequest(
        **{"run_id": run_id, "stage_id": "approve", "resume_token": TOKEN, **outcome, **fields}
    )
    return server.runs.ResumeStage(request)


async def test_a_person_ends_a_wait_once(server: Server) -> None:
    run = await suspended(server)
    [stage] = (await server.get(run.run_id)).stages
    assert stage.state == run_pb2.STAGE_STATE_SUSPENDED
    answer = await resume(server, run.run_id)
    assert answer.run.state == run_pb2.RUN_STATE_COMPLETED
    assert (await server.get(run.run_id)).output.json == b"true"
    again = await resume(server, run.run_id)
    assert again.run.state == run_pb2.RUN_STATE_COMPLETED
    other = await refused(resume(server, run.run_id, output=payload_pb2.Payload(json=b"false")))
    assert (other.code, other.reason) == (grpc.StatusCode.PERMISSION_DENIED, "RESUME_TOKEN_INVALID")


async def test_an_output_that_breaks_the_schema_leaves_the_token_good(server: Server) -> None:
    run = await suspended(server)
    for bad, reason in ((b'"yes"', "INVALID_OUTPUT"), (b"{", "MALFORMED_JSON")):
        answer = await refused(resume(server, run.run_id, output=payload_pb2.Payload(json=bad)))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert (await resume(server, run.run_id)).run.state == run_pb2.RUN_STATE_COMPLETED


async def test_a_failure_from_outside_follows_the_retry_policy(server: Server) -> None:
    run = await suspended(server, max_attempts=2)
    failure = failure_pb2.StageError(type="NotYet", message="ask again")
    assert (await resume(server, run.run_id, failure=failure)).run.state == run_pb2.RUN_STATE_RUNNING
    [again] = await _leased(server)
    assert (again.attempt, again.kind, again.suspended_state) == (2, JobKind.EXECUTE, "{}")


async def test_a_final_failure_from_outside_fails_the_run(server: Server) -> None:
    run = await suspended(server, max_attempts=2)
    failure = failure_pb2.StageError(type="Rejected", message="no budget", retryable=False)
    answer = await resume(server, run.run_id, failure=failure)
    assert (answer.run.state, answer.run.error.code) == (run_pb2.RUN_STATE_FAILED, "Rejected")


async def test_a_check_may_be_asked_for(server: Server) -> None:
    run = await suspended(server, never_poll=False, poll_interval=timedelta(hours=1))
    await resume(server, run.run_id, check_now=run_service_pb2.CheckNow())
    [offer] = await server.lease()
    assert offer.kind is JobKind.CHECK
    await server.report(offer, StillWaiting())
    assert (await resume(server, run.run_id)).run.state == run_pb2.RUN_STATE_COMPLETED


async def test_resumes_that_are_refused(server: Server) -> None:
    run = await suspended(server)
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "no token": ({"resume_token": ""}, "INVALID_FIELD"),
        "a long token": ({"resume_token": "x" * 256}, "INVALID_FIELD"),
        "another token": ({"resume_token": "x" * 32}, "RESUME_TOKEN_INVALID"),
        "another stage": ({"stage_id": "other"}, "STAGE_NOT_FOUND"),
        "another run": ({"run_id": "01920000-0000-7000-8000-000000000000"}, "RUN_NOT_FOUND"),
        "another namespace": ({"namespace": "other"}, "RUN_NOT_FOUND"),
        "an empty payload": ({"output": payload_pb2.Payload()}, "INVALID_FIELD"),
    }
    for case, (fields, reason) in cases.items():
        request = {"run_id": run.run_id, **fields}
        answer = await refused(resume(server, request.pop("run_id"), **request))
        assert answer.reason == reason, case
    unsaid = run_service_pb2.ResumeStageRequest(run_id=run.run_id, stage_id="approve", resume_token=TOKEN)
    assert (await refused(server.runs.ResumeStage(unsaid))).fields == ["outcome"]
    [stage] = (await server.get(run.run_id)).stages
    assert stage.state == run_pb2.STAGE_STATE_SUSPENDED


async def test_an_ended_run_is_run_again_from_a_stage_on(server: Server) -> None:
    await server.register(documents())
    run = await server.create(config=payload_pb2.Payload(json=b'{"extract":{"max":3}}'))
    await server.complete({"extract": b'"e"', "left": b"1", "right": b"2"})
    request = run_service_pb2.RerunRunRequest(
        run_id=run.run_id, from_stage_id="left", reason="a better prompt", request_id="again",
        config=payload_pb2.Payload(json=b'{"left":{"tone":"dry"}}'),
    )  # fmt: skip
    answer = await server.runs.RerunRun(request)
    assert (answer.run.state, answer.run.rerun_count) == (run_pb2.RUN_STATE_RUNNING, 1)
    assert (await server.runs.RerunRun(request)).run.rerun_count == 1
    offers = {offer.stage_id: offer for offer in await server.lease()}
    assert set(offers) == {"left", "right"}
    assert {offer.generation for offer in offers.values()} == {2}
    assert offers["left"].config == '{"tone":"dry"}'
    assert offers["left"].outputs == {"extract": '"e"'}
    config = (await server.get(run.run_id)).config.json
    assert b'"max":3' in config
    running = await refused(server.runs.RerunRun(run_service_pb2.RerunRunRequest(run_id=run.run_id)))
    assert (running.code, running.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_RERUNNABLE")
    request.reason = "another request"
    assert (await refused(server.runs.RerunRun(request))).reason == "REQUEST_ID_REUSED"


async def test_reruns_that_are_refused(server: Server) -> None:
    await server.register(documents())
    run = await server.create()
    [offer] = await server.lease()
    await server.report(offer, Failed(StageError("Broken", "it broke"), retryable=False))
    payload = payload_pb2.Payload
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "an unknown stage": ({"from_stage_id": "nowhere"}, "STAGE_NOT_FOUND"),
        "a later stage": ({"from_stage_id": "left"}, "PREDECESSORS_INCOMPLETE"),
        "a bad config": ({"config": payload(json=b'{"extract":{"max":0}}')}, "INVALID_CONFIG"),
        "a config of no stage": ({"config": payload(json=b'{"nowhere":{}}')}, "INVALID_CONFIG"),
        "a config that is no object": ({"config": payload(json=b"[]")}, "INVALID_CONFIG"),
        "no JSON": ({"config": payload(json=b"{")}, "MALFORMED_JSON"),
        "a huge config": ({"config": payload(json=b'"' + b"x" * 200_000 + b'"')}, "PAYLOAD_TOO_LARGE"),
        "a long reason": ({"reason": "x" * 1025}, "INVALID_FIELD"),
        "another namespace": ({"namespace": "other"}, "RUN_NOT_FOUND"),
    }
    for case, (fields, reason) in cases.items():
        request = run_service_pb2.RerunRunRequest(**{"run_id": run.run_id, **fields})
        assert (await refused(server.runs.RerunRun(request))).reason == reason, case
    answer = await server.runs.RerunRun(run_service_pb2.RerunRunRequest(run_id=run.run_id))
    assert answer.run.state == run_pb2.RUN_STATE_RUNNING


async def test_annotations_of_a_client_are_listed_by_page_and_by_key(server: Server) -> None:
    await server.register(documents())
    keys = ["decision", "decision.why", "decisions", "trigger"]
    entry = annotation_pb2.AnnotationEntry
    said = [entry(annotation_id=f"id-{key}", key=key, value=b'{"n":1}') for key in keys]
    said[0].actor.kind = "human"
    run = await server.create(annotations=said)
    request = run_service_pb2.ListAnnotationsRequest(run_id=run.run_id, page_size=3)
    first = await server.runs.ListAnnotations(request)
    request.page_token = first.next_page_token
    second = await server.runs.ListAnnotations(request)
    found = [*first.annotations, *second.annotations]
    assert sorted(each.entry.key for each in found) == keys
    assert not second.next_page_token
    decision = next(each for each in found if each.entry.key == "decision")
    assert (decision.entry.scope, decision.entry.actor.kind, decision.stage_id) == ("run", "human", "")
    assert (decision.entry.value, decision.run_id) == (b'{"n":1}', run.run_id)
    assert decision.create_time.seconds
    request.key_prefix = "decision"
    assert (await refused(server.runs.ListAnnotations(request))).reason == "PAGE_TOKEN_INVALID"
    request.page_token = ""
    page = await server.runs.ListAnnotations(request)
    assert {each.entry.key for each in page.annotations} == {"decision", "decision.why"}
    nowhere = run_service_pb2.ListAnnotationsRequest(run_id=run.run_id, stage_id="nowhere")
    assert (await refused(server.runs.ListAnnotations(nowhere))).reason == "STAGE_NOT_FOUND"


async def test_annotations_that_cannot_be_kept_refuse_the_run(server: Server) -> None:
    await server.register(documents())
    entry = annotation_pb2.AnnotationEntry
    bad = {
        "no id": (entry(key="k", value=b"1"), "INVALID_FIELD"),
        "no key": (entry(annotation_id="a", value=b"1"), "INVALID_FIELD"),
        "no JSON": (entry(annotation_id="a", key="k", value=b"{"), "INVALID_FIELD"),
        "no UTF-8": (entry(annotation_id="a", key="k", value=b'"\xff"'), "MALFORMED_JSON"),
        "too large": (entry(annotation_id="a", key="k", value=b'"' + b"x" * 17_000 + b'"'), "INVALID_FIELD"),
    }
    for case, (said, reason) in bad.items():
        answer = await refused(server.create(annotations=[said]))
        assert answer.reason == reason, case
    assert await server.run_count() == 0


async def _leased(server: Server) -> list[Any]:
    """Leases what is due now, retries included."""
    await server.application.plane.due_work.step()
    return await server.lease()
