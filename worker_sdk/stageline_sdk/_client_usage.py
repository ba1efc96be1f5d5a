"""`client.usage`: the ledger of AI calls."""

from collections.abc import AsyncGenerator, Callable, Sequence

import grpc

from stageline.v1 import usage_pb2, usage_service_pb2, usage_service_pb2_grpc
from stageline_sdk._calls import Caller
from stageline_sdk._decode_usage import decode_call, decode_sum
from stageline_sdk._usage_wire import usage_message
from stageline_sdk._wire import to_timestamp
from stageline_sdk.ai.records import UsageRecord
from stageline_sdk.usage import BookedCall, RecordedUsage, UsageDimension, UsageFilter, UsageSum

RECORDS_PER_CALL_MAX = 1000
_DIMENSIONS = {"model": "MODEL_KEY", "type": "CALL_TYPE"}


class UsageCalls:
    """Books, lists and sums AI calls. Each method raises `UnavailableError` where the server could not be reached."""

    def __init__(self, open_channel: Callable[[], grpc.aio.Channel], call: Caller, namespace: str) -> None:
        self._open = open_channel
        self._call = call
        self._namespace = namespace

    @property
    def _stub(self) -> "usage_service_pb2_grpc.UsageServiceAsyncStub":
        return usage_service_pb2_grpc.UsageServiceStub(self._open())

    async def record(
        self, records: Sequence[UsageRecord], *, run_id: str = "", stage_id: str = ""
    ) -> RecordedUsage:
        """Book AI calls that were made outside of a stage, each once by its id: the call may be repeated.

        Args:
            records: The calls, any number. Make them with `stageline_sdk.ai.UsageRecord`.
            run_id: The run that they are part of. Default: none.
            stage_id: The stage of it.

        Returns:
            How many were booked, and which were refused and why: a record that is refused harms no other.
        """
        recorded = already = 0
        refused: dict[str, str] = {}
        for part in _parts(records):
            request = usage_service_pb2.RecordUsageRequest(
                namespace=self._namespace, records=[_message(each, run_id, stage_id) for each in part]
            )
            response = await self._call(self._stub.RecordUsage, request)
            recorded += response.recorded_count
            already += response.already_recorded_count
            refused |= {each.usage_id: each.error.message for each in response.refusals}
        return RecordedUsage(recorded_count=recorded, already_recorded_count=already, refused=refused)

    async def list(
        self, which: UsageFilter | None = None, *, include_contents: bool = False, page_size: int = 0
    ) -> AsyncGenerator[BookedCall]:
        """Yield booked calls, the newest first.

        Args:
            which: Which ones. Default: all of the namespace.
            include_contents: Whether prompts and responses come along, as far as they are kept.
            page_size: Calls in one answer of the server. Default: 50.

        Raises:
            NotFoundError: Nothing is known of the run.
            InvalidArgumentError: A field of the filter breaks its rule.
        """
        request = usage_service_pb2.ListUsageRequest(
            namespace=self._namespace,
            filter=_filter(which or UsageFilter()),
            include_contents=include_contents,
            page_size=page_size,
        )
        while True:
            response = await self._call(self._stub.ListUsage, request)
            for message in response.records:
                yield decode_call(message)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    async def aggregate(
        self, which: UsageFilter | None = None, *, by: Sequence[UsageDimension] = ()
    ) -> Sequence[UsageSum]:
        """Sum booked calls in groups, the most costly first. With no dimension there is one group of all.

        Args:
            which: Which calls. Default: all of the namespace.
            by: What to group by, each at most once.

        Raises:
            NotFoundError: Nothing is known of the run.
            ResourceExhaustedError: There are more than 1,000 groups: narrow the filter, or group by less.
        """
        names = [_DIMENSIONS.get(dimension, dimension.upper()) for dimension in by]
        request = usage_service_pb2.AggregateUsageRequest(
            namespace=self._namespace,
            filter=_filter(which or UsageFilter()),
            group_by=[usage_service_pb2.UsageDimension.Value(f"USAGE_DIMENSION_{name}") for name in names],
        )
        response = await self._call(self._stub.AggregateUsage, request)
        return [decode_sum(message) for message in response.aggregates]


def _parts(records: Sequence[UsageRecord]) -> Sequence[Sequence[UsageRecord]]:
    size = RECORDS_PER_CALL_MAX
    return [records[start : start + size] for start in range(0, len(records), size)]


def _message(record: UsageRecord, run_id: str, stage_id: str) -> usage_pb2.UsageRecord:
    message = usage_message(record)
    message.run_id, message.stage_id = run_id, stage_id
    return message


def _filter(which: UsageFilter) -> usage_service_pb2.UsageFilter:
    return usage_service_pb2.UsageFilter(
        run_id=which.run_id,
        stage_id=which.stage_id,
        topic_prefix=which.topic,
        model_key=which.model,
        provider=which.provider,
        call_type=usage_pb2.CallType.Value(f"CALL_TYPE_{which.call_type.upper()}") if which.call_type else 0,  # type: ignore[arg-type]
        start_after=to_timestamp(which.since),
        start_before=to_timestamp(which.until),
        batch_id=which.batch_id,
    )
