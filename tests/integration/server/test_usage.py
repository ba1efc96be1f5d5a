"""UsageService over a channel: book, list, sum."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest

from stageline.v1 import usage_pb2, usage_service_pb2
from stageline.v1.usage_service_pb2_grpc import UsageServiceStub
from stageline_engine import limits
from tests.integration.server.running import Server, documents, refused
from tests.support.usage import record

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def book(server: Server, *records: usage_pb2.UsageRecord, **fields: Any) -> Any:
    request = usage_service_pb2.RecordUsageRequest(records=records, **fields)
    return await UsageServiceStub(server.channel).RecordUsage(request)


async def listed(server: Server, **fields: Any) -> Any:
    return await UsageServiceStub(server.channel).ListUsage(usage_service_pb2.ListUsageRequest(**fields))


async def summed(server: Server, *group_by: int, **which: Any) -> Any:
    numbers: Any = group_by  # the protocol's own type of an enum's numbers
    request = usage_service_pb2.AggregateUsageRequest(group_by=numbers)
    request.filter.MergeFrom(usage_service_pb2.UsageFilter(**which))
    return (await UsageServiceStub(server.channel).AggregateUsage(request)).aggregates


async def test_records_are_booked_once_and_refused_one_by_one(server: Server) -> None:
    await server.register(documents())
    run = await server.create(b'{"url":"x"}')
    good, unknown, bad = (
        record("0.5", run_id=run.run_id, stage_id="left"),
        record(run_id=str(uuid4())),
        record("x"),
    )
    nowhere, loose = record(run_id=run.run_id, stage_id="nowhere"), record(stage_id="left")
    answer = await book(server, good, unknown, bad, good, nowhere, loose)
    assert (answer.recorded_count, answer.already_recorded_count) == (1, 1)
    assert [(one.index, one.usage_id) for one in answer.refusals] == [
        (index, call.usage_id) for index, call in ((1, unknown), (2, bad), (4, nowhere), (5, loose))
    ]
    (kept,) = (await listed(server)).records
    assert (kept.usage_id, kept.run_id, kept.stage_id, kept.cost_usd) == (
        good.usage_id,
        run.run_id,
        "left",
        "0.5",
    )
    found = await server.get(run.run_id)
    assert (found.total_cost_usd, found.total_tokens, found.ai_call_count) == ("0.5", 15, 1)
    assert (found.unknown_cost_count, found.wasted_cost_usd) == (0, "0")


async def test_a_request_has_its_limits(server: Server) -> None:
    none = await refused(book(server))
    assert (none.code, none.fields) == (INVALID, ["records"])
    many = [record() for _ in range(limits.USAGE_PER_REQUEST_MAX + 1)]
    told = await refused(book(server, *many))
    assert (told.code, told.reason, told.metadata["actual"]) == (EXHAUSTED, "LIMIT_EXCEEDED", str(len(many)))
    assert (await book(server, *many[1:])).recorded_count == limits.USAGE_PER_REQUEST_MAX


async def test_pages_end(server: Server) -> None:
    calls = []
    for hour in range(5):
        calls.append(record())
        calls[-1].start_time.FromDatetime(NOW + timedelta(hours=hour))
    await book(server, *calls)
    found, token = [], ""
    while True:
        page = await listed(server, page_size=2, page_token=token)
        found += [one.usage_id for one in page.records]
        token = page.next_page_token
        if not token:
            break
    assert found == [call.usage_id for call in reversed(calls)]
    first = await listed(server, page_size=2)
    which = usage_service_pb2.UsageFilter(topic_prefix="other")
    told = await refused(listed(server, page_token=first.next_page_token, filter=which))
    assert (told.code, told.reason) == (INVALID, "PAGE_TOKEN_INVALID")


async def test_another_namespace_sees_nothing(server: Server) -> None:
    await book(server, record())
    assert not (await listed(server, namespace="other")).records


async def test_sums_by_day_and_model_with_filters(server: Server) -> None:
    early, late = record("1", "a.b", model_key="m"), record("0.5", "a.c", model_key="n")
    early.start_time.FromDatetime(NOW)
    late.start_time.FromDatetime(NOW + timedelta(days=1))
    await book(server, early, late, record(None, "b"))
    by_day = await summed(server, usage_service_pb2.USAGE_DIMENSION_DAY, topic_prefix="a")
    assert [(list(one.group), one.cost_usd) for one in by_day] == [
        (["2030-01-01"], "1"),
        (["2030-01-02"], "0.5"),
    ]
    two = (usage_service_pb2.USAGE_DIMENSION_MODEL_KEY, usage_service_pb2.USAGE_DIMENSION_CALL_TYPE)
    assert [list(one.group) for one in await summed(server, *two, model_key="n")] == [["n", "TEXT"]]
    (everything,) = await summed(server)
    assert (everything.cost_usd, everything.call_count, everything.unknown_cost_count) == ("1.5", 3, 1)
    which = usage_service_pb2.UsageFilter(call_type=usage_pb2.CALL_TYPE_TEXT)
    which.start_before.FromDatetime(NOW + timedelta(hours=1))
    which.start_after.FromDatetime(NOW)
    assert [one.usage_id for one in (await listed(server, filter=which)).records] == [early.usage_id]


async def test_too_many_groups_are_told(server: Server) -> None:
    calls = [record(topic=f"t-{number}") for number in range(limits.USAGE_GROUPS_MAX + 1)]
    await book(server, *calls[:-1])
    assert len(await summed(server, usage_service_pb2.USAGE_DIMENSION_TOPIC)) == limits.USAGE_GROUPS_MAX
    await book(server, calls[-1])
    told = await refused(summed(server, usage_service_pb2.USAGE_DIMENSION_TOPIC))
    assert (told.code, told.reason) == (EXHAUSTED, "LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    ("which", "field"),
    [
        ({"run_id": "x"}, "run_id"),
        ({"topic_prefix": "x" * (limits.TOPIC_LENGTH_MAX + 1)}, "filter.topic_prefix"),
        ({"call_type": 99}, "filter.call_type"),
    ],
)
async def test_a_bad_filter_is_named(server: Server, which: dict[str, Any], field: str) -> None:
    told = await refused(listed(server, filter=usage_service_pb2.UsageFilter(**which)))
    assert (told.code, told.fields) == (INVALID, [field])


async def test_a_run_that_does_not_exist_and_bad_dimensions_are_told(server: Server) -> None:
    told = await refused(summed(server, run_id=str(uuid4())))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    for group_by in ([0], [99], [1, 1]):
        assert (await refused(summed(server, *group_by))).fields == ["group_by"]
