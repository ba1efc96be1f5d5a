"""Events, log lines and limits into messages."""

import json

import orjson
from google.protobuf.duration_pb2 import Duration

from stageline.v1 import event_pb2, limits_pb2, run_pb2, session_pb2
from stageline_engine import limits
from stageline_engine.ports import LogLine
from stageline_engine.records import EventRow
from stageline_server.mapping.fields import timestamp_of

PROTOCOL_VERSION_MIN = 1
PROTOCOL_VERSION_MAX = 1
CAPABILITIES = (session_pb2.CAPABILITY_SUBMISSIONS,)
"""What this server can do beyond the first version of the protocol."""

_LEVELS = dict(run_pb2.LogLevel.items())
_OF_ONE_STAGE = ("stage:", "annotation:")


def event_message(event: EventRow, namespace: str, workflow_name: str) -> event_pb2.Event:
    """Returns one entry of a run's log."""
    stage_id = ""
    if event.type.startswith(_OF_ONE_STAGE):
        stage_id = orjson.loads(event.payload).get("stage_id", "")
    return event_pb2.Event(
        run_id=str(event.run_id),
        sequence=event.sequence,
        type=event.type,
        occur_time=timestamp_of(event.occurred_at),
        stage_id=stage_id,
        payload=event.payload,
        causation_id=str(event.causation_id),
        namespace=namespace,
        workflow_name=workflow_name,
    )


def log_message(line: LogLine, stage_id: str) -> run_pb2.LogEntry:
    """Returns one line that a stage logged."""
    return run_pb2.LogEntry(
        log_id=line.id,
        stage_id=stage_id,
        generation=line.generation,
        attempt=line.attempt,
        level=log_level(line.level),
        message=line.message,
        fields=json.dumps(dict(line.metadata), ensure_ascii=False).encode() if line.metadata else b"",
        log_time=timestamp_of(line.logged_at),
    )


def log_level(name: str) -> "run_pb2.LogLevel.ValueType":
    """Returns a level by its name; INFO where it is none."""
    return _LEVELS.get(f"LOG_LEVEL_{name.upper()}", run_pb2.LOG_LEVEL_UNSPECIFIED) or run_pb2.LOG_LEVEL_INFO


def limits_message() -> limits_pb2.Limits:
    """Returns what this server allows, for Welcome and for clients."""
    wait_max = Duration()
    wait_max.FromTimedelta(limits.WAIT_MAX)
    return limits_pb2.Limits(
        frame_bytes_max=limits.FRAME_BYTES_MAX,
        inline_payload_bytes_max=limits.PAYLOAD_INLINE_BYTES_MAX,
        payload_bytes_max=limits.PAYLOAD_BYTES_MAX,
        workflow_stages_max=limits.STAGES_PER_WORKFLOW_MAX,
        group_stages_max=limits.STAGES_PER_GROUP_MAX,
        schema_bytes_max=limits.SCHEMA_BYTES_MAX,
        request_id_characters_max=limits.REQUEST_ID_LENGTH_MAX,
        page_size_max=limits.PAGE_SIZE_MAX,
        labels_max=limits.LABELS_MAX,
        session_slots_max=limits.SLOTS_PER_SESSION_MAX,
        log_message_bytes_max=limits.LOG_MESSAGE_LENGTH_MAX,
        log_entries_per_second_max=limits.LOG_LINES_PER_SECOND_MAX,
        deliveries_max=limits.DELIVERIES_PER_ATTEMPT_MAX,
        wait_max=wait_max,
        frame_items_max=limits.FRAME_ITEMS_MAX,
        definition_bytes_max=limits.DEFINITION_BYTES_MAX,
    )
