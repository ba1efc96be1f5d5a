"""What stages submit elsewhere, into messages."""

from stageline.v1 import job_pb2
from stageline_engine.model.stage import StageRow
from stageline_engine.model.submission import (
    KnownSubmission,
    SubmissionPhase,
    SubmissionRow,
    shown_phase,
)
from stageline_server.mapping.fields import timestamp_of

PHASE_BY_NUMBER = {
    job_pb2.SubmissionPhase.Value(f"SUBMISSION_PHASE_{phase}"): phase for phase in SubmissionPhase
}
_NUMBER_BY_PHASE = {phase: number for number, phase in PHASE_BY_NUMBER.items()}


def known_submission_message(submission: KnownSubmission) -> job_pb2.Submission:
    """Returns what a worker is told of a submission."""
    return job_pb2.Submission(
        key=submission.key,
        phase=_NUMBER_BY_PHASE[submission.phase],
        provider_reference=submission.reference,
    )


def submission_message(row: SubmissionRow, stage: StageRow | None) -> job_pb2.Submission:
    """Returns what people are told of a submission.

    Args:
        row: The submission.
        stage: Its stage as it is now; None where a rerun has taken it away.
    """
    return job_pb2.Submission(
        key=row.key,
        phase=_NUMBER_BY_PHASE[shown_phase(row, stage)],
        provider_reference=row.reference,
        generation=row.generation,
        declare_time=timestamp_of(row.declared_at),
    )
