"""Annotations from and to their messages."""

from stageline.v1 import annotation_pb2
from stageline_engine.events import Annotation
from stageline_engine.records import AnnotationRecord
from stageline_server.mapping.fields import timestamp_of


def to_annotation(entry: annotation_pb2.AnnotationEntry, scope: str) -> Annotation:
    """Translates what was said; the engine checks it.

    Args:
        entry: As the wire has it.
        scope: What an empty scope means: ``run`` from a client, ``stage`` from a worker.

    Raises:
        UnicodeDecodeError: The value or the details are not UTF-8.
    """
    # The engine gives remarks of a stage the stage's own scope where they name that of the run.
    said_scope = entry.scope or ("run" if scope == "stage" else scope)
    return Annotation(
        id=entry.annotation_id,
        key=entry.key,
        value=entry.value.decode(),
        details=entry.details.decode(),
        scope=said_scope,
        scope_id=entry.scope_id,
        actor_kind=entry.actor.kind,
        actor_id=entry.actor.id,
        actor_version=entry.actor.version,
        emit_event=entry.emit_event,
    )


def annotation_message(record: AnnotationRecord, stage_id: str) -> annotation_pb2.Annotation:
    """Returns a stored annotation; ``stage_id`` is empty for one that no stage said."""
    said = record.annotation
    actor = annotation_pb2.Actor(kind=said.actor_kind, id=said.actor_id, version=said.actor_version)
    has_actor = said.actor_kind or said.actor_id or said.actor_version
    return annotation_pb2.Annotation(
        entry=annotation_pb2.AnnotationEntry(
            annotation_id=said.id,
            key=said.key,
            value=said.value.encode(),
            details=said.details.encode(),
            scope=said.scope,
            scope_id=said.scope_id,
            actor=actor if has_actor else None,
            emit_event=said.emit_event,
        ),
        run_id=str(record.run_id),
        stage_id=stage_id,
        generation=said.generation,
        attempt=said.attempt,
        create_time=timestamp_of(record.created_at),
    )
