"""UsageService: the ledger of AI calls, for everyone who is no worker."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc

from stageline.v1 import usage_pb2, usage_service_pb2_grpc
from stageline.v1 import usage_service_pb2 as messages
from stageline_engine import limits
from stageline_engine.commands import AiCallRecorded, RecordAiCall
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.model.ai_call import CallType
from stageline_engine.ports import UsageDimension, UsageFilter, UsagePosition
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError, answering, error_detail, invalid_field
from stageline_server.mapping.fields import (
    namespace_of,
    optional_name,
    out_of_range,
    page_size_of,
    run_id_of,
    time_of,
)
from stageline_server.mapping.page_tokens import page_token, position_of
from stageline_server.mapping.payloads import PayloadRoom
from stageline_server.mapping.usage import aggregate_messages, to_ai_call, usage_message

Context = grpc.aio.ServicerContext[Any, Any]


class UsageService(usage_service_pb2_grpc.UsageServiceServicer):
    """Books and reads AI calls."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane to work with."""
        self._plane = plane
        self._ledger = plane.ports.usage

    @answering
    async def RecordUsage(
        self, request: messages.RecordUsageRequest, context: Context
    ) -> messages.RecordUsageResponse:
        """Books calls, each taken or refused by itself."""
        namespace = namespace_of(request.namespace)
        if not request.records:
            raise invalid_field("records", "must hold at least one record")
        if len(request.records) > limits.USAGE_PER_REQUEST_MAX:
            raise _too_many("records", limits.USAGE_PER_REQUEST_MAX, len(request.records))
        answers = await asyncio.gather(*(self._record(namespace, record) for record in request.records))
        counted = Counter(answer.replayed for answer in answers if isinstance(answer, AiCallRecorded))
        refusals = [
            messages.UsageRefusal(usage_id=record.usage_id[:64], index=index, error=error_detail(answer))
            for index, (record, answer) in enumerate(zip(request.records, answers, strict=True))
            if isinstance(answer, Rejection | Refusal)
        ]
        return messages.RecordUsageResponse(
            recorded_count=counted[False], already_recorded_count=counted[True], refusals=refusals
        )

    async def _record(
        self, namespace: str, record: usage_pb2.UsageRecord
    ) -> AiCallRecorded | Rejection | Refusal:
        call = to_ai_call(record, self._plane.settings.ai_contents)
        if isinstance(call, Rejection):
            return call
        try:
            run_id = run_id_of(record.run_id) if record.run_id else None
            stage_id = optional_name(record.stage_id, "stage_id")
            if stage_id and run_id is None:
                raise invalid_field("stage_id", "needs a run_id")
        except RefusedError as error:
            return error.refusal
        return await self._plane.record_ai_call(
            RecordAiCall(namespace, call, run_id=run_id, stage_id=stage_id)
        )

    @answering
    async def ListUsage(
        self, request: messages.ListUsageRequest, context: Context
    ) -> messages.ListUsageResponse:
        """Lists booked calls, the newest first."""
        namespace, size = namespace_of(request.namespace), page_size_of(request.page_size)
        which = await self._filter(namespace, request.filter)
        binding = ("ListUsage", namespace, request.filter.SerializeToString(deterministic=True).hex())
        after = position_of(request.page_token, binding, _parsed)
        found = await self._ledger.list_calls(
            namespace, which, after=after, limit=size, with_contents=request.include_contents
        )
        room, token = PayloadRoom(), ""
        if len(found) == size:
            last = found[-1].row
            token = page_token(binding, f"{last.started_at.isoformat()} {last.call.id}")
        return messages.ListUsageResponse(
            records=[usage_message(booked, room) for booked in found], next_page_token=token
        )

    @answering
    async def AggregateUsage(
        self, request: messages.AggregateUsageRequest, context: Context
    ) -> messages.AggregateUsageResponse:
        """Sums booked calls in groups."""
        namespace = namespace_of(request.namespace)
        which, group_by = await self._filter(namespace, request.filter), _dimensions(request.group_by)
        limit = limits.USAGE_GROUPS_MAX
        sums = await self._ledger.sum_calls(namespace, which, group_by, limit=limit + 1)
        if len(sums) > limit:
            raise _too_many("groups", limit, len(sums))
        return messages.AggregateUsageResponse(aggregates=aggregate_messages(sums))

    async def _filter(self, namespace: str, told: messages.UsageFilter) -> UsageFilter:
        """Translates a filter.

        Raises:
            RefusedError: A field breaks its rule, or nothing is known of the run. Of one that is purged its calls are.
        """
        run_id = run_id_of(told.run_id) if told.run_id else None
        if run_id is not None:
            queries = self._plane.ports.queries
            known = await queries.list_events(namespace, run_id, after_sequence=0, limit=1) is not None
            if not known and not await self._ledger.list_calls(
                namespace, UsageFilter(run_id=run_id), limit=1
            ):
                raise RefusedError(run_not_found(namespace, str(run_id)))
        return UsageFilter(
            run_id=run_id,
            stage_id=optional_name(told.stage_id, "filter.stage_id"),
            topic_prefix=_text(told.topic_prefix, "filter.topic_prefix", limits.TOPIC_LENGTH_MAX),
            model_key=_text(told.model_key, "filter.model_key", limits.MODEL_NAME_LENGTH_MAX),
            provider=_text(told.provider, "filter.provider", limits.PROVIDER_LENGTH_MAX),
            call_type=_call_type(told),
            since=_optional_time(told, "start_after"),
            until=_optional_time(told, "start_before"),
            batch_id=_text(told.batch_id, "filter.batch_id", limits.MODEL_NAME_LENGTH_MAX),
        )


def _text(text: str, field: str, length_max: int) -> str:
    if len(text) > length_max:
        raise out_of_range(field, f"at most {length_max} characters", len(text))
    return text


def _optional_time(told: messages.UsageFilter, field: str) -> datetime | None:
    return time_of(getattr(told, field), f"filter.{field}") if told.HasField(field) else None  # type: ignore[arg-type]


def _call_type(told: messages.UsageFilter) -> CallType | None:
    if not told.call_type:
        return None
    if told.call_type not in usage_pb2.CallType.values():
        raise invalid_field("filter.call_type", f"is no kind of call: {told.call_type}")
    return CallType(usage_pb2.CallType.Name(told.call_type).removeprefix("CALL_TYPE_"))


def _dimensions(told: Iterable[int]) -> list[UsageDimension]:
    known: dict[int, UsageDimension] = {
        messages.UsageDimension.Value(f"USAGE_DIMENSION_{dimension}"): dimension
        for dimension in UsageDimension
    }
    numbers = list(told)
    if any(number not in known for number in numbers):
        raise invalid_field("group_by", "holds a dimension that is unspecified or unknown")
    if len(set(numbers)) < len(numbers):
        raise invalid_field("group_by", "holds a dimension twice")
    return [known[number] for number in numbers]


def _too_many(name: str, limit: int, actual: int) -> RefusedError:
    message = f"At most {limit} {name} are allowed, but there are {actual} or more."
    facts = {"limit_name": name, "limit": str(limit), "actual": str(actual)}
    return RefusedError(Refusal("LIMIT_EXCEEDED", message, facts))


def _parsed(position: str) -> UsagePosition:
    started_at, _, id_ = position.partition(" ")
    return UsagePosition(datetime.fromisoformat(started_at), UUID(id_))
