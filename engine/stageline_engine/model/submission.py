"""A submission: something that a stage sends elsewhere at a price, on record before it is sent and after.

A crash between the sending and its answer leaves it DECLARED: it may or may not have arrived. Whoever has the job next is
told, and looks it up by its key at the provider. What nobody can look up is SUSPECTED, and stays so until a person, or an
answer that comes late, says what became of it. CONFIRMED is for ever: what was bought is never forgotten.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from stageline_engine.model.stage import StageRow


class SubmissionPhase(StrEnum):
    """How far a submission is. The names are those of ``stageline.v1.SubmissionPhase``."""

    DECLARED = "DECLARED"
    CONFIRMED = "CONFIRMED"
    WITHDRAWN = "WITHDRAWN"
    SUSPECTED = "SUSPECTED"


_MAY_FOLLOW: Mapping[SubmissionPhase | None, frozenset[SubmissionPhase]] = {
    None: frozenset({SubmissionPhase.DECLARED}),
    SubmissionPhase.DECLARED: frozenset(SubmissionPhase),
    SubmissionPhase.CONFIRMED: frozenset({SubmissionPhase.CONFIRMED}),
    SubmissionPhase.WITHDRAWN: frozenset({SubmissionPhase.WITHDRAWN, SubmissionPhase.DECLARED}),
    SubmissionPhase.SUSPECTED: frozenset(SubmissionPhase),
}

LEASELESS_PHASES = frozenset({SubmissionPhase.CONFIRMED, SubmissionPhase.WITHDRAWN})
"""What its own declarer may still say after its lease has ended: what became of what it had sent by then."""


class SubmissionRow(Struct, frozen=True):
    """One row of ``submissions``.

    Attributes:
        run_id: The run.
        stage_number: The stage.
        generation: The stage's generation: a rerun submits anew.
        key: What the provider was given to know it by; with the three above the key.
        phase: How far it is.
        reference: The provider's id for it; empty until it is CONFIRMED.
        attempt: The attempt that declared it last.
        lease_token: The lease under which it was declared last.
        declared_at: When that was.
        changed_at: When its phase was said last.
    """

    run_id: UUID
    stage_number: int
    generation: int
    key: str
    phase: SubmissionPhase
    reference: str
    attempt: int
    lease_token: UUID
    declared_at: datetime
    changed_at: datetime


class KnownSubmission(Struct, frozen=True):
    """What a job's worker is told of a submission; fields as in ``SubmissionRow``."""

    key: str
    phase: SubmissionPhase
    reference: str


def may_follow(known: SubmissionPhase | None, told: SubmissionPhase) -> bool:
    """Whether a phase may be said of a submission that is in another, or in none yet."""
    return told in _MAY_FOLLOW[known]


def shown_phase(row: SubmissionRow, stage: StageRow | None) -> SubmissionPhase:
    """Returns what people are shown: one that nobody will look up any more is a suspected orphan.

    Args:
        row: The submission.
        stage: Its stage as it is now; None where a rerun has taken it away.
    """
    over = stage is None or stage.state.terminal or stage.generation > row.generation
    return SubmissionPhase.SUSPECTED if over and row.phase is SubmissionPhase.DECLARED else row.phase
