"""Submissions to and from messages."""

from typing import get_args

from stageline.v1 import job_pb2
from stageline_sdk.submissions import Submission, SubmissionPhase


def submission_message(submission: Submission) -> job_pb2.Submission:
    """Return the message of a submission."""
    return job_pb2.Submission(
        key=submission.key,
        phase=job_pb2.SubmissionPhase.Value(f"SUBMISSION_PHASE_{submission.phase}"),
        provider_reference=submission.reference,
    )


def submission_of(message: job_pb2.Submission) -> Submission:
    """Return the submission of a message. A phase that this SDK does not know is the most careful one: it may be out there."""
    known: dict[int, SubmissionPhase] = {
        job_pb2.SubmissionPhase.Value(f"SUBMISSION_PHASE_{phase}"): phase
        for phase in get_args(SubmissionPhase)
    }
    return Submission(message.key, known.get(message.phase, "DECLARED"), message.provider_reference)
