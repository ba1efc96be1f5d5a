"""An executor that says anything: that a stage is done, that it failed, that it waits, or nothing at all."""

from random import Random

from stageline_engine.commands import JobOffer, Outcome
from stageline_engine.ports import JobVoice
from stageline_engine.testing.simulation.choices import Choices


class ExecutorBrokeDownError(Exception):
    """The executor could not run a stage."""


class ChanceExecutor:
    """Runs stages as chance will have it, which is the lease token's: the same on deployments side by side.

    Attributes:
        executed: The jobs that it was given, in their order, and what it said; None where it broke down.
    """

    def __init__(self) -> None:
        """Has executed nothing."""
        self.executed: list[tuple[JobOffer, Outcome | None]] = []

    async def execute(self, offer: JobOffer, voice: JobVoice) -> Outcome:
        """Says something.

        Raises:
            ExecutorBrokeDownError: About one time in six.
        """
        choose = Choices(Random(str(offer.lease.lease_token)))
        outcome = None if choose.once_in(6) else choose.outcome()
        self.executed.append((offer, outcome))
        if choose.once_in(3):
            await voice.progress(0.5, "half of it")
            earlier = offer.completed_stage_ids
            assert (await voice.fetch_outputs([*earlier, offer.stage_id])).keys() <= set(earlier)
        if outcome is None:
            raise ExecutorBrokeDownError
        return outcome
