"""AI calls from and to their messages."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from stageline.v1 import error_pb2, payload_pb2, usage_pb2, usage_service_pb2
from stageline_engine import limits, payloads
from stageline_engine.acceptance_usage import ai_call_violations
from stageline_engine.model.ai_call import AiCall, CallType, Content, ContentPolicy, CostSource
from stageline_engine.ports import BookedCall, UsageSum
from stageline_engine.rejections import FieldViolation, Reason, Rejection
from stageline_server.errors import error_detail
from stageline_server.mapping.fields import timestamp_of
from stageline_server.mapping.payloads import PayloadRoom

SHA256_BYTES = 32

_COST = re.compile(rf"[0-9]{{1,9}}(?:\.[0-9]{{1,{limits.COST_DECIMALS_MAX}}})?")
_CALL_TYPES = {usage_pb2.CallType.Value(f"CALL_TYPE_{kind}"): kind for kind in CallType}
_SOURCES = {usage_pb2.CostSource.Value(f"COST_SOURCE_{source}"): source for source in CostSource}
_POLICIES = {
    usage_pb2.CONTENT_POLICY_UNSPECIFIED: ContentPolicy.FULL,
    usage_pb2.CONTENT_POLICY_FULL: ContentPolicy.FULL,
    usage_pb2.CONTENT_POLICY_HASH: ContentPolicy.HASH,
    usage_pb2.CONTENT_POLICY_NONE: ContentPolicy.NONE,
}


def to_ai_call(record: usage_pb2.UsageRecord, policy: ContentPolicy) -> AiCall | Rejection:
    """Translates a record, with as much of its contents as is to be kept.

    Args:
        record: As its maker tells it.
        policy: What the server is set to keep at most. An unknown policy of the record means NONE.

    Returns:
        A call that can be booked, or everything that is wrong with the record.
    """
    usage_id, call_type, cost = _id(record), _CALL_TYPES.get(record.call_type), _cost(record)
    metadata = _metadata(record)
    faults = [part for part in (usage_id, cost, metadata) if isinstance(part, FieldViolation)]
    if call_type is None:
        faults.append(FieldViolation("call_type", "is required"))
    if faults or call_type is None or isinstance(usage_id, FieldViolation):
        return _rejection(record, faults)
    policy = policy.at_least(_POLICIES.get(record.content_policy, ContentPolicy.NONE))
    call = AiCall(
        id=usage_id,
        topic=record.topic,
        call_type=call_type,
        model_key=record.model_key,
        model_id=record.model_id,
        provider=record.provider,
        prompt=_content(record.prompt, policy),
        response=_content(record.response, policy),
        input_tokens=record.input_tokens if record.HasField("input_tokens") else None,
        output_tokens=record.output_tokens if record.HasField("output_tokens") else None,
        cached_input_tokens=record.cached_input_tokens if record.HasField("cached_input_tokens") else None,
        reasoning_tokens=record.reasoning_tokens if record.HasField("reasoning_tokens") else None,
        cost=cost if isinstance(cost, Decimal) else None,
        cost_source=_SOURCES.get(record.cost_source, CostSource.CALLER) if cost is not None else None,
        latency=_latency(record.latency) if record.HasField("latency") else None,
        started_at=_time(record.start_time) if record.HasField("start_time") else None,
        metadata=metadata if isinstance(metadata, str) else "",
        batch_id=record.batch_id,
        error_message=record.error_message,
        is_open=record.open,
    )
    faults = list(ai_call_violations(call))
    return _rejection(record, faults) if faults else call


def to_ai_calls(
    records: Iterable[usage_pb2.UsageRecord], policy: ContentPolicy
) -> tuple[tuple[AiCall, ...], list[error_pb2.ErrorDetail]]:
    """Translates the records inside a report.

    Returns:
        Those that can be booked, each id once, by its first record that is not open; and what is wrong with the others: none of them costs the report.
    """
    good: dict[UUID, AiCall] = {}
    faults: list[error_pb2.ErrorDetail] = []
    for record in records:
        call = to_ai_call(record, policy)
        if isinstance(call, Rejection):
            faults.append(error_detail(call))
        elif call.id not in good or good[call.id].is_open:
            good[call.id] = call
    return tuple(good.values()), faults


def _rejection(record: usage_pb2.UsageRecord, faults: Iterable[FieldViolation]) -> Rejection:
    """Why a record cannot be booked; its message names every fault, and its metadata the record."""
    told = tuple(faults)
    message = f"The AI call is refused: {'; '.join(f'{one.field} {one.description}' for one in told)}."
    return Rejection(Reason.INVALID_FIELD, message, {"usage_id": record.usage_id[:64]}, told)


def _id(record: usage_pb2.UsageRecord) -> UUID | FieldViolation:
    try:
        found = UUID(record.usage_id)
    except ValueError:
        found = None
    if found is None or str(found) != record.usage_id.lower():
        return FieldViolation("usage_id", f"is no UUID: {record.usage_id[:64]!r}")
    return found


def _cost(record: usage_pb2.UsageRecord) -> Decimal | FieldViolation | None:
    if not record.HasField("cost_usd"):
        return None
    if not _COST.fullmatch(record.cost_usd):
        return FieldViolation("cost_usd", f"must match {_COST.pattern}, but is {record.cost_usd[:64]!r}")
    return Decimal(record.cost_usd)


def _metadata(record: usage_pb2.UsageRecord) -> str | FieldViolation:
    try:
        return record.metadata.decode()
    except UnicodeDecodeError as error:
        return FieldViolation("metadata", f"is not UTF-8: {error.reason} at byte {error.start}")


def _content(payload: payload_pb2.Payload, policy: ContentPolicy) -> Content | None:
    """What is kept of a prompt or a response: never more than the policy allows, and a text only where it can be kept."""
    kind = payload.WhichOneof("body")
    if kind is None or policy is ContentPolicy.NONE:
        return None
    if kind == "reference":
        named = payload.reference
        return Content(named.sha256, named.size_bytes) if len(named.sha256) == SHA256_BYTES else None
    text = payload.json
    keeps = policy is ContentPolicy.FULL and not isinstance(payloads.parse(text, "content"), Rejection)
    return Content(hashlib.sha256(text).digest(), len(text), text.decode() if keeps else None)


def _latency(value: Duration) -> timedelta | None:
    """A latency; none where that is no time."""
    try:
        return value.ToTimedelta()
    except (ValueError, OverflowError):
        return None


def _time(value: Timestamp) -> datetime | None:
    """When a call began; none where that is no time."""
    try:
        return value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def usage_message(booked: BookedCall, room: PayloadRoom) -> usage_pb2.UsageRecord:
    """Returns a booked call; its contents are texts where they were read and the answer has room, else named by hash."""
    row, call = booked.row, booked.row.call
    message = usage_pb2.UsageRecord(
        usage_id=str(call.id),
        topic=call.topic,
        call_type=usage_pb2.CallType.Value(f"CALL_TYPE_{call.call_type}"),
        model_key=call.model_key,
        model_id=call.model_id,
        provider=call.provider,
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        cached_input_tokens=call.cached_input_tokens,
        reasoning_tokens=call.reasoning_tokens,
        cost_usd=None if call.cost is None else format(call.cost, "f"),
        start_time=timestamp_of(row.started_at),
        metadata=call.metadata.encode(),
        batch_id=call.batch_id,
        error_message=call.error_message,
        run_id=str(row.run_id or ""),
        stage_id=row.stage_id,
        generation=row.generation,
        attempt=row.attempt,
        wasted=booked.wasted,
        open=call.is_open,
    )
    if call.cost_source is not None:
        message.cost_source = usage_pb2.CostSource.Value(f"COST_SOURCE_{call.cost_source}")
    if call.latency is not None:
        message.latency.FromTimedelta(call.latency)
    if call.prompt is not None:
        message.prompt.CopyFrom(_payload(call.prompt, room))
    if call.response is not None:
        message.response.CopyFrom(_payload(call.response, room))
    return message


def _payload(content: Content, room: PayloadRoom) -> payload_pb2.Payload:
    if content.json is not None:
        return room.payload(content.json)
    named = payload_pb2.PayloadReference(sha256=content.sha256, size_bytes=content.size_bytes)
    return payload_pb2.Payload(reference=named)


def aggregate_messages(sums: Iterable[UsageSum]) -> Iterator[usage_service_pb2.UsageAggregate]:
    """Yields sums of calls as messages."""
    for one in sums:
        yield usage_service_pb2.UsageAggregate(
            group=one.group,
            call_count=one.calls,
            input_tokens=one.input_tokens,
            output_tokens=one.output_tokens,
            cached_input_tokens=one.cached_input_tokens,
            reasoning_tokens=one.reasoning_tokens,
            cost_usd=format(one.cost, "f"),
            unknown_cost_count=one.unknown_costs,
            wasted_call_count=one.wasted_calls,
            wasted_cost_usd=format(one.wasted_cost, "f"),
        )
