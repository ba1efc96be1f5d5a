"""What the world was told: offers and acknowledgements, and what follows from them for later ones."""

from uuid import UUID

from stageline_engine.commands import (
    Completed,
    Disposition,
    JobOffer,
    JobReportRecorded,
    Outcome,
    Returned,
    StillWaiting,
    Suspended,
)
from stageline_engine.limits import DELIVERIES_PER_ATTEMPT_MAX
from stageline_engine.testing.simulation.submitted import Submitted

Key = tuple[UUID, int]


class Ledger:
    """An independent, much simpler account of what leases and reports mean."""

    def __init__(self) -> None:
        self.submitted = Submitted()
        self.outputs: dict[Key, bytes] = {}
        self._last_offer: dict[Key, JobOffer] = {}
        self._ended_by: dict[Key, Outcome] = {}
        self._recorded_token: dict[Key, UUID] = {}
        self._acted_on: set[Key] = set()
        self._perhaps_returned: set[Key] = set()

    def acted(self) -> None:
        """Time or the outside may have ended any try or wait: by a new attempt, or the end of its stage."""
        self._acted_on |= self._last_offer.keys()

    def rerun(self, run_id: UUID, numbers: set[int]) -> None:
        """These stages begin anew; what was recorded of them counts no longer."""
        keys = {(run_id, number) for number in numbers}
        for known in (self.outputs, self._ended_by, self._recorded_token):
            for key in keys & known.keys():
                del known[key]
        self._acted_on -= keys

    def resumed(self, run_id: UUID, number: int, output: bytes) -> None:
        """The outside completed a stage."""
        assert (run_id, number) not in self.outputs
        self.outputs[run_id, number] = output
        self._acted_on.add((run_id, number))

    def offered(self, offer: JobOffer) -> None:
        """Checks an offer's counters against how the lease before it ended, if there was one."""
        self.submitted.offered(offer)
        key = _key(offer)
        last, ended_by = self._last_offer.get(key), self._ended_by.pop(key, None)
        if last is None or offer.generation > last.generation:
            expected = (1, 1)
        elif isinstance(ended_by, Suspended | StillWaiting):
            expected = (last.attempt, 1)
        elif isinstance(ended_by, Returned):
            expected = (last.attempt, last.delivery)
        elif ended_by is not None:
            expected = (last.attempt + 1, 1)
        else:
            expected = (last.attempt, last.delivery + 1)
        retried = (last.attempt + 1, 1) if last is not None and key in self._acted_on else expected
        allowed = {expected, retried}
        if last is not None and key in self._perhaps_returned:
            allowed.add((last.attempt, last.delivery))
        assert (offer.attempt, offer.delivery) in allowed, (offer, allowed)
        self._acted_on.discard(key)
        self._perhaps_returned.discard(key)
        assert offer.delivery <= DELIVERIES_PER_ATTEMPT_MAX
        assert last is None or offer.lease.lease_token != last.lease.lease_token
        self._last_offer[key] = offer

    def reported(self, offer: JobOffer, outcome: Outcome, answer: JobReportRecorded) -> None:
        """Checks an acknowledgement: only the last lease counts, once, and what was recorded last is recognised."""
        key, token = _key(offer), offer.lease.lease_token
        known = self._recorded_token.get(key) == token
        if key not in self._acted_on:
            assert (answer.disposition is Disposition.ALREADY_RECORDED) == known
        if answer.disposition is not Disposition.RECORDED:
            return
        assert key not in self.outputs
        assert self._last_offer[key].lease.lease_token == token
        assert key not in self._ended_by
        self._ended_by[key] = outcome
        if not isinstance(outcome, Returned):
            self._recorded_token[key] = token
        if isinstance(outcome, Completed) and not answer.note:
            self.outputs[key] = outcome.output

    def reported_again(self, offer: JobOffer, outcome: Outcome, answer: JobReportRecorded) -> None:
        """Takes in the answer to a report whose first answer was lost: it may have been recorded then."""
        key, token = _key(offer), offer.lease.lease_token
        last = self._last_offer.get(key)
        live = last is not None and last.lease.lease_token == token and key not in self._ended_by
        if answer.disposition is Disposition.ALREADY_RECORDED and self._recorded_token.get(key) != token:
            doubtful = isinstance(outcome, Completed) and not outcome.output.isdigit()
            recorded = JobReportRecorded(Disposition.RECORDED, "the note was lost" if doubtful else "")
            self.reported(offer, outcome, recorded)
        elif answer.disposition is Disposition.SUPERSEDED and isinstance(outcome, Returned) and live:
            self._perhaps_returned.add(key)
        else:
            self.reported(offer, outcome, answer)


def _key(offer: JobOffer) -> Key:
    return offer.lease.run_id, offer.lease.stage_number
