"""From the wire's messages to what the client returns of annotations, workers and dead letters."""

from pydantic_core import from_json

from stageline.v1 import admin_service_pb2, annotation_pb2, event_service_pb2, session_pb2
from stageline_sdk._decode import decode_event
from stageline_sdk._wire import from_timestamp, json_object
from stageline_sdk.runs import Annotation
from stageline_sdk.upkeep import DeadLetter, MaintenanceTick, Stats, WorkerSession, WorkerStages


def decode_annotation(message: annotation_pb2.Annotation) -> Annotation:
    """Return an annotation."""
    entry, actor = message.entry, message.entry.actor
    return Annotation(
        id=entry.annotation_id,
        key=entry.key,
        value=from_json(entry.value),
        details=json_object(entry.details),
        scope=entry.scope,
        scope_id=entry.scope_id,
        stage_id=message.stage_id,
        generation=message.generation,
        attempt=message.attempt,
        actor=":".join(part for part in (actor.kind, actor.id, actor.version) if part),
        at=from_timestamp(message.create_time),
    )


def decode_worker(message: admin_service_pb2.WorkerInfo) -> WorkerSession:
    """Return a worker's session."""
    who = message.identity
    return WorkerSession(
        session_id=message.session_id,
        name=who.name,
        sdk=" ".join(part for part in (who.sdk_name, who.sdk_version, who.runtime) if part),
        slots=message.slots,
        held_jobs=message.held_jobs,
        labels=dict(message.labels),
        server_id=message.server_id,
        draining=message.draining,
        connected_at=from_timestamp(message.connect_time),
        stages=tuple(
            WorkerStages(
                workflow_name=each.workflow_name,
                workflow_version=each.workflow_version,
                stage_ids=tuple(each.stage_ids),
            )
            for each in message.stages
        ),
        last_seen_at=from_timestamp(message.last_seen_time) if message.HasField("last_seen_time") else None,
        disconnect_reason=_reason(message.disconnect_reason),
        disconnected_at=from_timestamp(message.disconnect_time)
        if message.HasField("disconnect_time")
        else None,
        end_reason=_reason(message.end_reason),
        ended_at=from_timestamp(message.end_time) if message.HasField("end_time") else None,
    )


def _reason(number: int) -> str:
    """Return a reason's name without its prefix; empty for none, its number for one that this version does not know."""
    known = session_pb2.DisconnectReason.DESCRIPTOR.values_by_number.get(number)
    if not number:
        return ""
    return known.name.removeprefix("DISCONNECT_REASON_") if known else str(number)


def decode_dead_letter(message: event_service_pb2.DeadLetter) -> DeadLetter:
    """Return a dead letter."""
    return DeadLetter(
        id=message.dead_letter_id,
        event=decode_event(message.event),
        plugin=message.plugin,
        attempts=message.attempts,
        last_error=message.last_error,
        at=from_timestamp(message.dead_time),
    )


def decode_tick(message: admin_service_pb2.MaintenanceTickResponse) -> MaintenanceTick:
    """Return what a tick did."""
    return MaintenanceTick(
        reaped_leases=message.reaped_lease_count,
        reaped_runs=message.reaped_run_count,
        expired_stages=message.expired_stage_count,
        promoted_jobs=message.promoted_job_count,
        started_runs=message.started_run_count,
        flushed_events=message.flushed_event_count,
        refused_events=message.refused_event_count,
        purged_runs=message.purged_run_count,
        purged_records=message.purged_record_count,
        more=message.more,
    )


def decode_stats(message: admin_service_pb2.GetStatsResponse) -> Stats:
    """Return what a namespace holds."""
    return Stats(
        runs=dict(message.runs_by_state),
        ready_jobs=message.ready_jobs,
        leased_jobs=message.leased_jobs,
        delayed_jobs=message.delayed_jobs,
        oldest_ready_age=message.oldest_ready_age.ToTimedelta(),
        sessions=message.sessions,
        slots=message.slots,
        undelivered_events=message.undelivered_events,
        dead_letters=message.dead_letters,
    )
