"""What the world was told of submissions, and what must therefore be on record, and told to whoever has the job next."""

from uuid import UUID

from stageline_engine.commands import JobOffer, RecordSubmission
from stageline_engine.model.submission import SubmissionPhase
from stageline_engine.ports import RunDetails

Execution = tuple[UUID, int, int]
"""(run id, stage number, generation)."""


class Submitted:
    """Every submission that was acknowledged, and the reference of each that was confirmed."""

    def __init__(self) -> None:
        """Nothing was submitted yet."""
        self._known: dict[Execution, dict[str, str]] = {}

    def told(self, command: RecordSubmission, generation: int) -> None:
        """Takes in that something is on record; what is confirmed has one reference, for ever."""
        known = self._known.setdefault((command.run_id, command.stage_number, generation), {})
        before = known.setdefault(command.key, "")
        if command.phase is SubmissionPhase.CONFIRMED:
            assert before in ("", command.reference)
            known[command.key] = command.reference

    def offered(self, offer: JobOffer) -> None:
        """Whoever is given the job is told of all that earlier tries may have submitted."""
        execution = (offer.lease.run_id, offer.lease.stage_number, offer.generation)
        told = {each.key for each in offer.submissions}
        assert told >= self._known.get(execution, {}).keys(), (offer, self._known)

    def check(self, run_id: UUID, details: RunDetails) -> None:
        """What was acknowledged is on record, and what was confirmed has its reference."""
        kept = {
            (row.run_id, row.stage_number, row.generation, row.key): row.reference
            for row in details.submissions
        }
        for execution, known in self._known.items():
            if execution[0] == run_id:
                for key, reference in known.items():
                    assert kept[*execution, key] == reference or not reference
