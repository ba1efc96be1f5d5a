"""The columns of the tables that batches write, in the order of the rows' fields, each with its array type."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import orjson

from stageline_engine.adapters.postgres.arrays import Parameter, array
from stageline_engine.events import StageError
from stageline_engine.model.ai_call import AiCallRow, Content
from stageline_engine.model.run import RunError
from stageline_engine.model.session import SessionRow
from stageline_engine.records import AnnotationRecord, RunPayload, StageProgress, StageResult, SuspendedState


class Column:
    """One column.

    Attributes:
        name: In the table.
        type: PostgreSQL's name of it.
        mutable: Whether an update writes it.
        key: Whether an update or a deletion finds the row by it.
    """

    def __init__(
        self,
        name: str,
        type_: str,
        *,
        mutable: bool = False,
        key: bool = False,
        get: Callable[[Any], Any] | None = None,
    ) -> None:
        """Describes the column; ``get`` reads its value from a row where that is not the field of its name."""
        self.name = name
        self.type = type_
        self.mutable = mutable
        self.key = key
        self._get = get or attrgetter(name)

    @property
    def array_type(self) -> str:
        """The element type of the array that carries it; some travel as text and are cast."""
        return "text" if self.type in {"numeric", "jsonb"} else self.type

    def of(self, alias: str) -> str:
        """The SQL of its value in an unnested array."""
        cast = "" if self.type == self.array_type else f"::{self.type}"
        return f"{alias}.{self.name}{cast}"

    def collect(self, rows: Iterable[Any]) -> Parameter:
        """Makes the array of this column's values."""
        return array(self.array_type, map(self._get, rows))


@dataclass(frozen=True)
class RowShape:
    """A table with its columns."""

    table: str
    columns: Sequence[Column]

    @property
    def names(self) -> str:
        """The columns' names as SQL."""
        return ", ".join(column.name for column in self.columns)

    def qualified(self, alias: str) -> str:
        """The columns' names as SQL, each with an alias."""
        return ", ".join(f"{alias}.{column.name}" for column in self.columns)


def _error(row: Any) -> bytes | None:
    error: RunError | StageError | None = row.error
    return None if error is None else orjson.dumps(error)


def _metrics(row: StageResult) -> bytes:
    return orjson.dumps(dict(row.metrics)) if row.metrics else b"{}"


def _output(row: StageResult) -> bytes | None:
    return None if row.output is None else row.output.encode()


def _output_bytes(row: StageResult) -> int:
    return 0 if row.output is None else len(row.output.encode())


def _input(row: RunPayload) -> bytes:
    return row.input.encode()


def _config(row: RunPayload) -> bytes:
    return row.config.encode()


def _labels(row: RunPayload) -> str:
    return orjson.dumps(dict(row.labels)).decode() if row.labels else "{}"


def _state(row: SuspendedState) -> bytes:
    return row.state.encode()


def _progress(row: StageProgress) -> bytes:
    return orjson.dumps([row.fraction, row.message, dict(row.details)])


def _stages(row: SessionRow) -> bytes:
    return orjson.dumps([tuple(stages) for stages in row.stages])


def _value(row: AnnotationRecord) -> bytes:
    return row.annotation.value.encode()


def _details(row: AnnotationRecord) -> bytes | None:
    return row.annotation.details.encode() or None


def _said(name: str, type_: str, *, key: bool = False) -> Column:
    """A column that holds a field of the annotation itself."""
    return Column(name, type_, key=key, get=attrgetter(f"annotation.{name}"))


def _called(name: str, type_: str, *, key: bool = False) -> Column:
    """A column that holds a field of the AI call itself."""
    return Column(name, type_, key=key, get=attrgetter(f"call.{name}"))


def _cost(row: AiCallRow) -> str | None:
    return None if row.call.cost is None else format(row.call.cost, "f")


def _content_columns(name: str) -> tuple[Column, ...]:
    """What is kept of a prompt or a response: its hash, its size, and perhaps its text."""
    of = attrgetter(f"call.{name}")

    def text(row: AiCallRow) -> bytes | None:
        content: Content | None = of(row)
        return content.json.encode() if content is not None and content.json is not None else None

    def part(field: str) -> Callable[[AiCallRow], Any]:
        return lambda row: getattr(of(row), field, None)

    return (
        Column(f"{name}_sha256", "bytea", get=part("sha256")),
        Column(f"{name}_bytes", "bigint", get=part("size_bytes")),
        Column(name, "json", get=text),
    )


RUNS = RowShape(
    "runs",
    (
        Column("id", "uuid", key=True),
        Column("namespace", "text"),
        Column("workflow_name", "text"),
        Column("workflow_version", "integer"),
        Column("state", "text", mutable=True),
        Column("priority", "integer", mutable=True),
        Column("current_group", "integer", mutable=True),
        Column("open_stages", "integer", mutable=True),
        Column("failed_stages", "integer", mutable=True),
        Column("event_sequence", "bigint", mutable=True),
        Column("version", "bigint"),
        Column("created_at", "timestamptz"),
        Column("started_at", "timestamptz", mutable=True),
        Column("ended_at", "timestamptz", mutable=True),
        Column("error", "json", mutable=True, get=_error),
        Column("total_cost", "numeric", mutable=True, get=lambda run: format(run.total_cost, "f")),
        Column("total_tokens", "bigint", mutable=True),
        Column("start_at", "timestamptz"),
        Column("deadline_at", "timestamptz", mutable=True),
        Column("lease_epoch_floor", "bigint", mutable=True),
    ),
)

STAGES = RowShape(
    "stages",
    (
        Column("run_id", "uuid", key=True),
        Column("number", "integer", key=True),
        Column("stage_id", "text"),
        Column("group_number", "integer"),
        Column("state", "text", mutable=True),
        Column("generation", "integer", mutable=True),
        Column("attempt", "integer", mutable=True),
        Column("delivery", "integer", mutable=True),
        Column("lease_epoch", "bigint", mutable=True),
        Column("recorded_token", "uuid", mutable=True),
        Column("version", "bigint"),
        Column("created_at", "timestamptz", mutable=True),
        Column("started_at", "timestamptz", mutable=True),
        Column("ended_at", "timestamptz", mutable=True),
        Column("active", "interval", mutable=True),
    ),
)

JOBS = RowShape(
    "jobs",
    (
        Column("run_id", "uuid", key=True),
        Column("stage_number", "integer", key=True),
        Column("route_id", "integer"),
        Column("kind", "text", mutable=True),
        Column("state", "text", mutable=True),
        Column("priority", "integer", mutable=True),
        Column("available_at", "timestamptz", mutable=True),
        Column("generation", "integer", mutable=True),
        Column("lease_epoch", "bigint", mutable=True),
        Column("version", "bigint"),
        Column("lease_token", "uuid", mutable=True),
        Column("session_id", "uuid", mutable=True),
        Column("deadline_at", "timestamptz", mutable=True),
        Column("poll_interval", "interval", mutable=True),
    ),
)

STAGE_RESULTS = RowShape(
    "stage_results",
    (
        Column("run_id", "uuid", key=True),
        Column("stage_number", "integer", key=True),
        Column("generation", "integer", key=True),
        Column("output", "json", mutable=True, get=_output),
        Column("output_bytes", "integer", mutable=True, get=_output_bytes),
        Column("metrics", "json", mutable=True, get=_metrics),
        Column("error", "json", mutable=True, get=_error),
    ),
)

STAGE_PROGRESS = RowShape(
    "stage_progress",
    (
        Column("run_id", "uuid", key=True),
        Column("stage_number", "integer", key=True),
        Column("generation", "integer", key=True),
        Column("attempt", "integer", mutable=True),
        Column("said", "json", mutable=True, get=_progress),
        Column("told_at", "timestamptz", mutable=True),
    ),
)

SUSPENDED_STATES = RowShape(
    "suspended_states",
    (
        Column("run_id", "uuid", key=True),
        Column("stage_number", "integer", key=True),
        Column("generation", "integer", key=True),
        Column("state", "json", mutable=True, get=_state),
        Column("wait_until", "timestamptz", mutable=True),
        Column("poll_interval", "interval", mutable=True),
    ),
)

RESUME_TOKENS = RowShape(
    "resume_tokens",
    (
        Column("token_sha256", "bytea", key=True),
        Column("run_id", "uuid"),
        Column("stage_number", "integer"),
        Column("generation", "integer"),
        Column("label", "text"),
        Column("expires_at", "timestamptz"),
        Column("used_fingerprint", "bytea", mutable=True),
    ),
)

ANNOTATIONS = RowShape(
    "annotations",
    (
        Column("run_id", "uuid", key=True),
        _said("id", "text", key=True),
        _said("key", "text"),
        Column("value", "json", get=_value),
        Column("details", "json", get=_details),
        _said("scope", "text"),
        _said("scope_id", "text"),
        _said("actor_kind", "text"),
        _said("actor_id", "text"),
        _said("actor_version", "text"),
        _said("emit_event", "boolean"),
        _said("stage_number", "integer"),
        _said("generation", "integer"),
        _said("attempt", "integer"),
        Column("created_at", "timestamptz"),
    ),
)

AI_CALLS = RowShape(
    "ai_calls",
    (
        Column("namespace", "text", key=True),
        _called("id", "uuid", key=True),
        Column("started_at", "timestamptz"),
        Column("recorded_at", "timestamptz"),
        Column("run_id", "uuid"),
        Column("stage_number", "integer"),
        Column("stage_id", "text"),
        Column("generation", "integer"),
        Column("attempt", "integer"),
        Column("lease_token", "uuid"),
        Column("verdict", "boolean"),
        _called("topic", "text"),
        _called("call_type", "text"),
        _called("model_key", "text"),
        _called("model_id", "text"),
        _called("provider", "text"),
        *_content_columns("prompt"),
        *_content_columns("response"),
        _called("input_tokens", "bigint"),
        _called("output_tokens", "bigint"),
        _called("cached_input_tokens", "bigint"),
        _called("reasoning_tokens", "bigint"),
        Column("cost", "numeric", get=_cost),
        _called("cost_source", "text"),
        _called("latency", "interval"),
        Column("maker_started_at", "timestamptz", get=attrgetter("call.started_at")),
        Column("metadata", "json", get=lambda row: row.call.metadata.encode() or None),
        _called("batch_id", "text"),
        _called("error_message", "text"),
        _called("is_open", "boolean"),
    ),
)

LOST_LEASES = RowShape(
    "lost_leases",
    (
        Column("run_id", "uuid", key=True),
        Column("stage_number", "integer", key=True),
        Column("lease_token", "uuid", key=True),
    ),
)

EVENTS = RowShape(
    "events",
    (
        Column("run_id", "uuid", key=True),
        Column("sequence", "bigint", key=True),
        Column("type", "text"),
        Column("payload", "json"),
        Column("occurred_at", "timestamptz"),
        Column("causation_id", "uuid"),
    ),
)

PAYLOAD_USES = (
    Column("run_id", "uuid", key=True),
    Column("sha256", "bytea", key=True),
    Column("namespace", "text"),
)

RUN_PAYLOADS = RowShape(
    "run_payloads",
    (
        Column("run_id", "uuid", key=True),
        Column("input", "json", get=_input),
        Column("config", "json", get=_config),
        Column("labels", "jsonb", get=_labels),
    ),
)

IDEMPOTENCY_KEYS = RowShape(
    "idempotency_keys",
    (
        Column("namespace", "text", key=True),
        Column("command", "text", key=True),
        Column("key", "text", key=True),
        Column("fingerprint", "bytea"),
        Column("result", "json"),
        Column("created_at", "timestamptz"),
    ),
)

SESSIONS = RowShape(
    "sessions",
    (
        Column("id", "uuid", key=True),
        Column("namespace", "text"),
        Column("worker_name", "text"),
        Column("server_id", "text"),
        Column("slots", "integer"),
        Column("sdk", "text"),
        Column("connected_at", "timestamptz"),
        Column("expires_at", "timestamptz"),
        Column("labels", "jsonb", get=_labels),
        Column("ended_at", "timestamptz"),
        Column("end_reason", "text"),
        Column("stages", "json", get=_stages),
        Column("disconnect_reason", "text"),
        Column("disconnected_at", "timestamptz"),
    ),
)
