"""Annotations from the wire: what a worker or a client remarks about a run, checked one by one."""

from collections.abc import Iterable

from stageline.v1 import annotation_pb2, error_pb2
from stageline_engine import limits
from stageline_engine.acceptance import annotation_violations
from stageline_engine.commands import AnnotateRun
from stageline_engine.events import Annotation
from stageline_server.mapping.annotations import to_annotation
from stageline_server.streams.items import BadItemError, Reason
from stageline_server.streams.tokens import LeaseToken


def to_annotate(namespace: str, token: LeaseToken, entry: annotation_pb2.AnnotationEntry) -> AnnotateRun:
    """Translates one annotation of a leased job.

    Raises:
        BadItemError: It breaks a rule of its comments.
    """
    said = (_checked(entry),)
    return AnnotateRun(namespace, token.run_id, said, token.stage_number, token.secret)


def to_annotations(
    entries: Iterable[annotation_pb2.AnnotationEntry],
) -> tuple[tuple[Annotation, ...], list[error_pb2.ErrorDetail]]:
    """Translates the annotations inside a report.

    Returns:
        Those that can be kept, each id once; and what is wrong with the others: none of them costs the report.
    """
    good: dict[str, Annotation] = {}
    faults: list[error_pb2.ErrorDetail] = []
    for entry in entries:
        try:
            said = _checked(entry)
            if len(good) == limits.ANNOTATIONS_PER_CALL_MAX and said.id not in good:
                raise _too_many()
            good.setdefault(said.id, said)
        except BadItemError as bad:
            faults.append(bad.detail)
    return tuple(good.values()), faults


def _checked(entry: annotation_pb2.AnnotationEntry) -> Annotation:
    try:
        said = to_annotation(entry, "stage")
    except UnicodeDecodeError as error:
        message = f"annotation {entry.annotation_id[:64]!r} is not UTF-8 JSON: {error.reason} at byte {error.start}."
        raise BadItemError(Reason.ERROR_REASON_MALFORMED_JSON, message, {"field": "annotation"}) from None
    for violation in annotation_violations([said]):
        field = violation.field.replace("annotations.0", "annotation")
        message = f"{field}: {violation.description}."
        raise BadItemError(Reason.ERROR_REASON_INVALID_FIELD, message, {"field": field})
    return said


def _too_many() -> BadItemError:
    limit = str(limits.ANNOTATIONS_PER_CALL_MAX)
    message = f"A report has at most {limit} annotations; one beyond them was left out."
    facts = {"limit_name": "annotations", "limit": limit, "actual": "more"}
    return BadItemError(Reason.ERROR_REASON_LIMIT_EXCEEDED, message, facts)
