"""What the world was told: offers and acknowledgements, and what follows from them for later ones."""

from uuid import UUID

from stageline_engine.commands import (
    Completed,
    Disposition,
    Failed,
    JobOffer,
    JobReportRecorded,
    Outcome,
    Returned,
)
from stageline_engine.limits import DELIVERIES_PER_ATTEMPT_MAX

Key = tuple[UUID, int]


class Ledger:
    """An independent, much simpler account of what leases and reports mean."""

    def __init__(self) -> None:
        self.outputs: dict[Key, bytes] = {}
        self._last_offer: dict[Key, JobOffer] = {}
        self._ended_by: dict[Key, Outcome] = {}
        self._recorded_token: dict[Key, UUID] = {}

    def offered(self, offer: JobOffer) -> None:
        """Checks an offer's counters against how the lease before it ended, if there was one."""
        key = _key(offer)
        last, ended_by = self._last_offer.get(key), self._ended_by.pop(key, None)
        if last is None:
            expected = (1, 1)
        elif isinstance(ended_by, Returned):
            expected = (last.attempt, last.delivery)
        elif ended_by is not None:
            expected = (last.attempt + 1, 1)
        else:
            expected = (last.attempt, last.delivery + 1)
        assert (offer.attempt, offer.delivery) == expected
        assert offer.delivery <= DELIVERIES_PER_ATTEMPT_MAX
        assert last is None or offer.lease.lease_token != last.lease.lease_token
        self._last_offer[key] = offer

    def reported(self, offer: JobOffer, outcome: Outcome, answer: JobReportRecorded) -> None:
        """Checks an acknowledgement: only the last lease counts, once, and what was recorded last is recognised."""
        key, token = _key(offer), offer.lease.lease_token
        known = self._recorded_token.get(key) == token
        assert (answer.disposition is Disposition.ALREADY_RECORDED) == known
        if answer.disposition is not Disposition.RECORDED:
            return
        assert key not in self.outputs
        assert self._last_offer[key].lease.lease_token == token
        assert key not in self._ended_by
        self._ended_by[key] = outcome
        if isinstance(outcome, Completed | Failed):
            self._recorded_token[key] = token
        if isinstance(outcome, Completed) and not answer.note:
            self.outputs[key] = outcome.output


def _key(offer: JobOffer) -> Key:
    return offer.lease.run_id, offer.lease.stage_number
