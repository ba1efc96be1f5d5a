"""Finds workers that do not read, by what can be seen of an outbox from time to time."""

from stageline_server.streams.frames import Outbox


class StallWatch:
    """Since when a worker has taken nothing: no frame goes out any more, or one with offers stays unacknowledged.

    A frame goes out at each heartbeat interval, so that a number which stays the same means a write that does not end. A
    worker that reads acknowledges offers with its next heartbeat at the latest.
    """

    def __init__(self, outbox: Outbox, now: float) -> None:
        """Begins to look; ``now`` is a moment of the monotonic clock, in seconds."""
        self._outbox = outbox
        self._frame, self._framed_at = outbox.last_sequence, now
        self._offer, self._offered_at = outbox.oldest_offer_sequence, now

    def stalled_seconds(self, now: float) -> float:
        """Looks again; returns for how long nothing has moved, as far as these looks can tell."""
        if self._outbox.last_sequence != self._frame:
            self._frame, self._framed_at = self._outbox.last_sequence, now
        oldest = self._outbox.oldest_offer_sequence
        if oldest != self._offer or not oldest:
            self._offer, self._offered_at = oldest, now
        return now - min(self._framed_at, self._offered_at)
