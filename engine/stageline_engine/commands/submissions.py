"""Declaring what stages submit elsewhere."""

from dataclasses import dataclass
from uuid import UUID

from stageline_engine.commands.base import Command
from stageline_engine.model.submission import SubmissionPhase


@dataclass(frozen=True, slots=True)
class RecordSubmission(Command["SubmissionRecorded"]):
    """``submission.record``: put on record what a leased job is about to submit elsewhere, and what became of it.

    Under a lease that does not count nothing may be declared, so nothing is submitted by a worker that was given up. What
    became of something, only its own declarer may still say then. Of what is CONFIRMED nothing else can be said any more.

    A repeat changes nothing.

    Reached by ``WorkerService.Work`` and ``WorkerService.ReportJobs``, from ``ctx.submit_once()``.

    Attributes:
        namespace: Tenant of the session.
        run_id: The run named by the lease token.
        stage_number: The stage named by the lease token.
        lease_token: The secret of the lease.
        key: What the provider is given to know it by, at most ``SUBMISSION_KEY_LENGTH_MAX``.
        phase: How far it is.
        reference: The provider's id for it, at most ``SUBMISSION_REFERENCE_LENGTH_MAX``; for CONFIRMED only, and then required.
    """

    namespace: str
    run_id: UUID
    stage_number: int
    lease_token: UUID
    key: str
    phase: SubmissionPhase
    reference: str = ""


@dataclass(frozen=True, slots=True)
class SubmissionRecorded:
    """Result of ``RecordSubmission``: it is on record; ``replayed`` where it had been before."""

    replayed: bool
