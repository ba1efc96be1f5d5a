"""Rows as they come from the driver, as the values of the engine."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from msgspec.structs import replace

from stageline_engine.adapters.postgres.statements.columns import AI_CALLS, JOBS, RUNS, STAGES
from stageline_engine.decide.lease import Urgency
from stageline_engine.events import Annotation, StageError
from stageline_engine.model.access import AccessToken, Scope
from stageline_engine.model.ai_call import AiCall, AiCallRow, CallType, Content, CostSource
from stageline_engine.model.job import JobKind, JobRow, JobState
from stageline_engine.model.run import RunError, RunRow, RunState
from stageline_engine.model.session import SessionRow, SessionStages
from stageline_engine.model.stage import StageRow, StageState
from stageline_engine.model.submission import KnownSubmission, SubmissionPhase, SubmissionRow
from stageline_engine.ports import LogLine, UsageSum
from stageline_engine.records import (
    AnnotationRecord,
    EventRow,
    KeyRecord,
    ResumeToken,
    StageProgress,
    StageResult,
)

Values = Sequence[Any]

RUN_WIDTH = len(RUNS.columns)
STAGE_WIDTH = len(STAGES.columns)
JOB_WIDTH = len(JOBS.columns)

_AI_CALL_COLUMNS = [column.name for column in AI_CALLS.columns]
_AI_CALL_FIELDS = (
    "id",
    "topic",
    "model_key",
    "model_id",
    "provider",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
    "cost",
    "latency",
    "batch_id",
    "error_message",
    "is_open",
)
_USAGE_SUMS = [field.name for field in dataclasses.fields(UsageSum) if field.name != "group"]

# Look-ups by value: calling an enum costs three times as much, and a batch reads a thousand states.
_RUN_STATES = {state.value: state for state in RunState}
_STAGE_STATES = {state.value: state for state in StageState}
_JOB_STATES = {state.value: state for state in JobState}
_PHASES = {phase.value: phase for phase in SubmissionPhase}
_JOB_KINDS = {kind.value: kind for kind in JobKind}


def run_row(values: Values) -> RunRow:
    """Makes a run of the columns of ``RUNS``."""
    fields = list(values)
    fields[4] = _RUN_STATES[fields[4]]
    if fields[14] is not None:
        fields[14] = RunError(**orjson.loads(fields[14]))
    return RunRow(*fields)


def stage_row(values: Values) -> StageRow:
    """Makes a stage of the columns of ``STAGES``."""
    fields = list(values)
    fields[4] = _STAGE_STATES[fields[4]]
    return StageRow(*fields)


def job_row(values: Values) -> JobRow:
    """Makes a job of the columns of ``JOBS``."""
    fields = list(values)
    fields[3], fields[4] = _JOB_KINDS[fields[3]], _JOB_STATES[fields[4]]
    return JobRow(*fields)


def event_row(values: Values) -> EventRow:
    """Makes an event of the columns of ``EVENTS``."""
    run_id, sequence, type_, payload, occurred_at, causation_id = values
    return EventRow(run_id, sequence, type_, payload.encode(), occurred_at, causation_id)


def key_record(values: Values) -> KeyRecord:
    """Makes an idempotency key of the columns of ``IDEMPOTENCY_KEYS``."""
    namespace, command, key, fingerprint, result, created_at = values
    return KeyRecord(namespace, command, key, bytes(fingerprint), result.encode(), created_at)


def stage_result(stage: StageRow, output: str | None, metrics: str, error: str | None) -> StageResult:
    """Makes the result of a stage's present generation."""
    failure = None if error is None else StageError(**orjson.loads(error))
    return StageResult(stage.run_id, stage.number, stage.generation, output, orjson.loads(metrics), failure)


def stage_progress(stage: StageRow, said: str, told_at: datetime) -> StageProgress:
    """Makes what a stage's present try said last."""
    fraction, message, details = orjson.loads(said)
    return StageProgress(
        stage.run_id, stage.number, stage.generation, stage.attempt, fraction, message, details, told_at
    )


def resume_token(values: Values) -> ResumeToken:
    """Makes a resume token of the columns of ``RESUME_TOKENS``."""
    token_sha256, run_id, stage_number, generation, label, expires_at, used = values
    fingerprint = None if used is None else bytes(used)
    return ResumeToken(bytes(token_sha256), run_id, stage_number, generation, label, expires_at, fingerprint)


def submission_row(values: Values) -> SubmissionRow:
    """Makes a submission of the columns of ``SUBMISSIONS``."""
    run_id, number, generation, key, phase, *rest = values
    return SubmissionRow(run_id, number, generation, key, _PHASES[phase], *rest)


def known_submissions(told: str) -> list[KnownSubmission]:
    """Makes what a job's worker is told of submissions."""
    return [KnownSubmission(key, _PHASES[phase], reference) for key, phase, reference in orjson.loads(told)]


def annotation_record(values: Values) -> AnnotationRecord:
    """Makes an annotation of the columns of ``ANNOTATIONS``."""
    run_id, id_, key, value, details, *fields, created_at = values
    return AnnotationRecord(run_id, Annotation(id_, key, value, details or "", *fields), created_at)


def ai_call_row(values: Values) -> AiCallRow:
    """Makes a booked AI call of the columns of ``AI_CALLS``."""
    fields = dict(zip(_AI_CALL_COLUMNS, values, strict=True))
    source = fields["cost_source"]
    call = AiCall(
        **{name: fields[name] for name in _AI_CALL_FIELDS},
        call_type=CallType(fields["call_type"]),
        cost_source=None if source is None else CostSource(source),
        prompt=_content(fields, "prompt"),
        response=_content(fields, "response"),
        started_at=fields["maker_started_at"],
        metadata=fields["metadata"] or "",
    )
    return AiCallRow(
        fields["namespace"],
        call,
        fields["started_at"],
        fields["recorded_at"],
        fields["run_id"],
        fields["stage_number"],
        fields["stage_id"],
        fields["generation"],
        fields["attempt"],
        fields["lease_token"],
        fields["verdict"],
    )


def _content(fields: dict[str, Any], name: str) -> Content | None:
    digest = fields[f"{name}_sha256"]
    return None if digest is None else Content(bytes(digest), fields[f"{name}_bytes"], fields[name])


def usage_sum(values: Values, dimensions: int) -> UsageSum:
    """Makes a sum of AI calls of its group's values and the sums."""
    sums = dict(zip(_USAGE_SUMS, values[dimensions:], strict=True))
    return UsageSum(group=tuple(values[:dimensions]), **sums)


def session_row(values: Values) -> SessionRow:
    """Makes a session of the columns of ``SESSIONS``."""
    *fields, stages, reason, at = values
    row = SessionRow(*fields)
    return replace(row, stages=session_stages(stages), disconnect_reason=reason, disconnected_at=at)


def session_stages(stored: Any) -> tuple[SessionStages, ...]:
    """Makes what a worker can run of its stored JSON."""
    return tuple(SessionStages(name, version, tuple(ids)) for name, version, ids in orjson.loads(stored))


def access_token(values: Values) -> AccessToken:
    """Makes a token of the columns of ``ACCESS_TOKENS``."""
    id_, namespace, name, scopes, workflow_names, digest, *times = values
    rights = frozenset(map(Scope, scopes.split()))
    return AccessToken(id_, namespace, name, rights, tuple(workflow_names.split()), bytes(digest), *times)


def log_line(values: Values) -> LogLine:
    """Makes a stored log line."""
    fields = list(values)
    fields[5] = orjson.loads(fields[5])
    return LogLine(*fields)


def urgency(priority: int, run_id: Any, stage_number: int) -> Urgency:
    """Makes the place of a waiting job in the queue."""
    return Urgency(-priority, run_id, stage_number)
