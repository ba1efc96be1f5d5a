"""How one server paces its work. Workers are told the intervals that concern them; nothing of this is in an SDK."""

from dataclasses import dataclass
from datetime import timedelta

from stageline_engine import limits
from stageline_engine.commands import PurgeHistory
from stageline_engine.model.ai_call import ContentPolicy

RETENTION_DEFAULT = PurgeHistory(
    keys=timedelta(days=7), log=timedelta(days=7), sessions=timedelta(days=7), consumers=limits.CONSUMER_KEPT
)
"""Runs stay for ever unless somebody says otherwise; what only serves retries and readers goes after a week."""


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """Paces and sizes.

    Attributes:
        session_timeout: Silence after which a session is given up and its leases are handed on.
        lease_duration: How long a lease without a stream holds unless it is extended.
        heartbeat_interval: How often either side of a stream says something.
        progress_interval: How often a worker tells the progress of one job.
        committers: Transactions side by side; runs are spread over them by id, so that fsync and CPU overlap.
        batch_max: Commands in one transaction.
        recheck_interval: How often idle sessions are matched with the queue although no hint came: the net under lost hints.
        ai_contents: What is kept of the prompts and responses of AI calls; their makers may ask for less.
        retention: What is forgotten at which age.
    """

    session_timeout: timedelta = limits.SESSION_TIMEOUT
    lease_duration: timedelta = limits.LEASE_DURATION
    heartbeat_interval: timedelta = limits.HEARTBEAT_INTERVAL
    progress_interval: timedelta = limits.PROGRESS_INTERVAL
    committers: int = 1
    batch_max: int = limits.COMMANDS_PER_BATCH_MAX
    recheck_interval: timedelta = timedelta(seconds=15)
    ai_contents: ContentPolicy = ContentPolicy.HASH
    retention: PurgeHistory = RETENTION_DEFAULT

    def __post_init__(self) -> None:
        """Checks that the numbers fit each other.

        Raises:
            ValueError: They do not.
        """
        if self.heartbeat_interval * 2 > self.session_timeout:
            raise ValueError("heartbeat_interval must be at most half of session_timeout")
        if self.committers < 1:
            raise ValueError("committers must be at least 1")
        if not 1 <= self.batch_max <= limits.COMMANDS_PER_BATCH_MAX:
            raise ValueError(f"batch_max must be 1 to {limits.COMMANDS_PER_BATCH_MAX}")
