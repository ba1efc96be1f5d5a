"""Creating, reading, listing and cancelling runs through the wire."""

from typing import Any

import grpc
import orjson
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from stageline.v1 import failure_pb2, payload_pb2, run_pb2, run_service_pb2
from stageline_engine import limits
from stageline_engine.commands import Failed
from stageline_engine.events import StageError
from stageline_engine.model.stored_payload import StoredPayload
from stageline_engine.ports import LogLine
from stageline_engine.testing.conformance.lost_definitions import store_orphan
from tests.integration.server.running import Server, documents, refused, run_uuid

UNKNOWN_RUN = "01890000-0000-7000-8000-000000000000"


async def test_a_created_run_is_answered_and_read(server: Server) -> None:
    await server.register(documents())
    created = await server.create(labels={"team": "a"}, priority=9)
    read = await server.get(created.run_id)
    assert (read.state, read.priority, dict(read.labels)) == (run_pb2.RUN_STATE_RUNNING, 9, {"team": "a"})
    assert (read.input.json, orjson.loads(read.config.json)) == (b'{"url":"x"}', {"extract": {"max": 10}})
    assert [stage.stage_id for stage in read.stages] == ["extract", "left", "right"]
    assert read.stages[2].waiting_reason == run_pb2.WAITING_REASON_EARLIER_GROUP
    assert (created.create_time, created.workflow_version, created.labels) == (
        read.create_time,
        read.workflow_version,
        read.labels,
    )


async def test_the_basic_view_leaves_payloads_out(server: Server) -> None:
    await server.register(documents())
    run = await server.get((await server.create(labels={"a": "b"})).run_id, run_pb2.RUN_VIEW_BASIC)
    assert (run.HasField("input"), len(run.stages), dict(run.labels)) == (False, 0, {"a": "b"})


async def test_a_repeated_request_id_gives_the_first_run(server: Server) -> None:
    await server.register(documents())
    first = await server.create(request_id="once")
    request = run_service_pb2.CreateRunRequest(
        workflow_name="documents", input=payload_pb2.Payload(json=b'{"url":"x"}'), request_id="once"
    )
    again = await server.runs.CreateRun(request)
    assert (again.run.run_id, again.replayed) == (first.run_id, True)
    told = await refused(server.create(b'{"url":"other"}', request_id="once"))
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_completed_run_has_the_output_of_its_last_group(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    await server.complete({"extract": b'"text"', "left": b'{"n": 1}', "right": b"[2]"})
    run = await server.get(run_id)
    assert run.state == run_pb2.RUN_STATE_COMPLETED
    assert orjson.loads(run.output.json) == {"left": {"n": 1}, "right": [2]}
    assert [stage.output.json for stage in run.stages] == [b'"text"', b'{"n": 1}', b"[2]"]
    assert {stage.attempt for stage in run.stages} == {1}


async def test_a_failed_run_says_why_and_skips_the_rest(server: Server) -> None:
    definition = documents()
    definition.groups[0].stages[0].retry_policy.max_attempts = 1
    await server.register(definition)
    run_id = (await server.create()).run_id
    (offer,) = await server.lease()
    await server.report(offer, Failed(StageError("ValueError", "no such page", "trace")))
    run = await server.get(run_id)
    assert (run.state, run.error.code) == (run_pb2.RUN_STATE_FAILED, "ValueError")
    assert (run.error.message, run.error.stage_id) == ("no such page", "extract")
    assert run.stages[0].error.kind == failure_pb2.FAILURE_KIND_APPLICATION
    assert run.stages[0].error.stack_trace == "trace"
    assert [stage.state for stage in run.stages[1:]] == [run_pb2.STAGE_STATE_SKIPPED] * 2
    told = await refused(server.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id=run_id)))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_CANCELLABLE")


async def test_a_retry_that_waits_says_so(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    (offer,) = await server.lease()
    await server.report(offer, Failed(StageError("ValueError", "not now")))
    stage = (await server.get(run_id)).stages[0]
    assert stage.waiting_reason == run_pb2.WAITING_REASON_RETRY_BACKOFF
    assert stage.next_attempt_time.ToDatetime() > stage.ready_time.ToDatetime()


async def test_cancelling_twice_is_fine_and_keeps_the_first_reason(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    cancel = run_service_pb2.CancelRunRequest(run_id=run_id, reason="wrong file")
    first = (await server.runs.CancelRun(cancel)).run
    second = (await server.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id=run_id))).run
    assert first == second
    assert (first.state, first.cancel_reason) == (run_pb2.RUN_STATE_CANCELLED, "wrong file")
    states = [stage.state for stage in (await server.get(run_id)).stages]
    assert states == [run_pb2.STAGE_STATE_CANCELLED] * 3


@pytest.mark.parametrize("method", ["GetRun", "CancelRun", "WatchRun", "ListRunEvents", "ListRunLogs"])
async def test_an_unknown_run_is_not_found_everywhere(server: Server, method: str) -> None:
    request_type = getattr(run_service_pb2, f"{method}Request")
    for fields, reason in (
        ({"run_id": UNKNOWN_RUN}, "RUN_NOT_FOUND"),
        ({"run_id": "nonsense"}, "INVALID_FIELD"),
        ({}, "INVALID_FIELD"),
    ):
        call = getattr(server.runs, method)(request_type(**fields))
        told = await refused(call.read() if method == "WatchRun" else call)
        assert told.reason == reason


async def test_another_namespaces_run_does_not_exist(server: Server) -> None:
    await server.register(documents())
    run_id = (await server.create()).run_id
    told = await refused(server.runs.GetRun(run_service_pb2.GetRunRequest(namespace="other", run_id=run_id)))
    assert told.reason == "RUN_NOT_FOUND"
    page = await server.runs.ListRuns(run_service_pb2.ListRunsRequest(namespace="other"))
    assert list(page.runs) == []


async def listed(server: Server, **fields: Any) -> list[str]:
    """The ids of all pages of a list, in order."""
    ids, token = [], ""
    while True:
        page = await server.runs.ListRuns(run_service_pb2.ListRunsRequest(page_token=token, **fields))
        ids += [run.run_id for run in page.runs]
        token = page.next_page_token
        if not token:
            return ids


@pytest.mark.parametrize("page_size", [1, 2, 5, 6])
async def test_pages_hold_every_run_once_the_newest_first(server: Server, page_size: int) -> None:
    await server.register(documents())
    created = [(await server.create()).run_id for _ in range(5)]
    assert await listed(server, page_size=page_size) == created[::-1]
    assert await listed(server, page_size=page_size, view=run_pb2.RUN_VIEW_FULL) == created[::-1]


async def test_filters_hold_together(server: Server) -> None:
    await server.register(documents())
    first, second = [await server.create() for _ in range(2)]
    await server.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id=first.run_id))
    cancelled = {"states": [run_pb2.RUN_STATE_CANCELLED]}
    assert await listed(server, workflow_name="documents", **cancelled) == [first.run_id]
    assert await listed(server, workflow_name="other", **cancelled) == []
    assert await listed(server, created_after=second.create_time) == [second.run_id]
    assert await listed(server, created_before=second.create_time) == [first.run_id]


async def test_lists_tell_labels_and_find_by_them(server: Server) -> None:
    await server.register(documents())
    run = await server.create(labels={"team": "a", "quote": 'it\'s "x"'})
    await server.create(labels={"team": "b"})
    assert await listed(server, labels={"team": "a"}) == [run.run_id]
    assert await listed(server, labels={"quote": 'it\'s "x"', "team": "b"}) == []
    page = await server.runs.ListRuns(run_service_pb2.ListRunsRequest(labels={"team": "a"}))
    assert dict(page.runs[0].labels) == {"team": "a", "quote": 'it\'s "x"'}


async def test_a_page_token_is_bound_to_its_filters(server: Server) -> None:
    await server.register(documents())
    for _ in range(2):
        await server.create()
    request = run_service_pb2.ListRunsRequest
    token = (await server.runs.ListRuns(request(page_size=1))).next_page_token
    assert token
    for wrong in (
        request(page_token=token, workflow_name="documents"),
        request(page_token=token, namespace="other"),
        request(page_token=token[:-4]),
        request(page_token="!"),
    ):
        told = await refused(server.runs.ListRuns(wrong))
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"page_size": limits.PAGE_SIZE_MAX + 1}, "page_size"),
        ({"page_size": -1}, "page_size"),
        ({"states": [run_pb2.RUN_STATE_UNSPECIFIED]}, "states"),
        ({"states": [99]}, "states"),
        ({"labels": {"a": "\0"}}, "labels"),
        ({"labels": {str(n): "" for n in range(limits.LABELS_MAX + 1)}}, "labels"),
        ({"created_after": {"seconds": 10**15}}, "created_after"),
    ],
)
async def test_a_bad_filter_is_named(server: Server, fields: dict[str, Any], field: str) -> None:
    told = await refused(server.runs.ListRuns(run_service_pb2.ListRunsRequest(**fields)))
    assert (told.reason, told.fields) == ("INVALID_FIELD", [field])


async def test_log_lines_come_in_pages_and_by_level(server: Server) -> None:
    await server.register(documents())
    run = await server.create()
    now = server.ports.clock.now()
    await server.ports.logs.append(
        [
            LogLine(run_uuid(run), 1, 1, level, f"line {number}", {"n": number}, now)
            for number, level in enumerate(["DEBUG", "INFO", "ERROR"])
        ]
    )
    request = run_service_pb2.ListRunLogsRequest
    first = await server.runs.ListRunLogs(request(run_id=run.run_id, page_size=2))
    rest = await server.runs.ListRunLogs(
        request(run_id=run.run_id, page_size=2, page_token=first.next_page_token)
    )
    entries = [*first.entries, *rest.entries]
    assert [entry.message for entry in entries] == ["line 0", "line 1", "line 2"]
    assert {(entry.stage_id, entry.attempt) for entry in entries} == {("extract", 1)}
    assert orjson.loads(entries[2].fields) == {"n": 2}
    assert rest.next_page_token == ""
    graver = await server.runs.ListRunLogs(request(run_id=run.run_id, level_min=run_pb2.LOG_LEVEL_WARNING))
    assert [entry.message for entry in graver.entries] == ["line 2"]
    told = await refused(server.runs.ListRunLogs(request(run_id=run.run_id, stage_id="no")))
    assert (told.reason, told.metadata["valid_stage_ids"]) == ("STAGE_NOT_FOUND", "extract,left,right")


async def test_pages_have_a_size_of_their_own_where_none_is_said(server: Server) -> None:
    await server.register(documents())
    count = limits.PAGE_SIZE_DEFAULT + 1
    item = run_service_pb2.CreateRunRequest(
        workflow_name="documents", input=payload_pb2.Payload(json=b'{"url":"x"}')
    )
    batch = run_service_pb2.BatchCreateRunsRequest(requests=[item] * count)
    assert len((await server.runs.BatchCreateRuns(batch)).results) == count
    page = await server.runs.ListRuns(run_service_pb2.ListRunsRequest())
    assert (len(page.runs), bool(page.next_page_token)) == (limits.PAGE_SIZE_DEFAULT, True)
    request = run_service_pb2.ListRunsRequest(page_size=count, view=run_pb2.RUN_VIEW_FULL)
    page = await server.runs.ListRuns(request)
    assert (len(page.runs), bool(page.next_page_token)) == (limits.FULL_RUNS_PER_PAGE_MAX, True)


async def test_a_run_whose_definition_is_lost_is_still_read_with_the_stages_that_it_reached(
    server: Server,
) -> None:
    await server.register(documents())
    created = await server.create()
    lost = await store_orphan(server.ports.persistence, server.ports.ids.new_id(), run_uuid(created))
    await server.lease()
    read = await server.get(str(lost))
    assert (read.state, read.error.code, read.error.kind) == (
        run_pb2.RUN_STATE_FAILED,
        "DEFINITION_LOST",
        failure_pb2.FAILURE_KIND_INTERNAL,
    )
    assert [(stage.stage_id, stage.state) for stage in read.stages] == [
        ("extract", run_pb2.STAGE_STATE_CANCELLED)
    ]
    told = await refused(server.runs.RerunRun(run_service_pb2.RerunRunRequest(run_id=str(lost))))
    assert told.reason == "STAGE_NOT_FOUND"


async def test_a_config_may_come_by_reference(server: Server) -> None:
    await server.register(documents())
    text = b'{"extract": {"max": 3}}'
    stored = await server.application.plane.payloads.put("default", text)
    assert isinstance(stored, StoredPayload)
    reference = payload_pb2.PayloadReference(sha256=stored.sha256, size_bytes=stored.size_bytes)
    config = payload_pb2.Payload(reference=reference)
    created = await server.create(config=config)
    assert orjson.loads((await server.get(created.run_id)).config.json) == {"extract": {"max": 3}}
    await server.complete({"extract": b"1", "left": b"2", "right": b"3"})
    rerun = run_service_pb2.RerunRunRequest(run_id=created.run_id, config=config)
    assert (await server.runs.RerunRun(rerun)).run.state == run_pb2.RUN_STATE_RUNNING


@pytest.mark.parametrize(
    ("sha256", "size_bytes", "reason"),
    [
        (b"x" * 32, 10, "PAYLOAD_NOT_FOUND"),
        (b"x" * 32, limits.PAYLOAD_INLINE_BYTES_MAX, "PAYLOAD_NOT_FOUND"),
        (b"x" * 32, limits.PAYLOAD_INLINE_BYTES_MAX + 1, "PAYLOAD_TOO_LARGE"),
        (b"x", 10, "INVALID_FIELD"),
    ],
)
async def test_a_config_reference_that_leads_nowhere_is_refused(
    server: Server, sha256: bytes, size_bytes: int, reason: str
) -> None:
    await server.register(documents())
    reference = payload_pb2.PayloadReference(sha256=sha256, size_bytes=size_bytes)
    told = await refused(server.create(config=payload_pb2.Payload(reference=reference)))
    assert told.reason == reason
    assert await server.run_count() == 0


async def test_a_start_too_far_ahead_is_refused_by_its_field(server: Server) -> None:
    await server.register(documents())
    told = await refused(server.create(start_delay=Duration(seconds=10**11)))
    assert (told.code, told.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["start_delay"])
    later = Timestamp(seconds=253402300799)
    assert (await refused(server.create(scheduled_start_time=later))).fields == ["scheduled_start_time"]
    waiting = await server.create(start_delay=Duration(seconds=60))
    assert waiting.state == run_pb2.RUN_STATE_PENDING
    assert waiting.scheduled_start_time.seconds == waiting.create_time.seconds + 60
