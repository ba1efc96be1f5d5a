"""Waits between tries: exponential, with full jitter, so that many clients never come back at once."""

import random
from datetime import timedelta


class Backoff:
    """The next wait is a random one between zero and a bound that doubles with every try.

    Full jitter spreads the load best of the known kinds (AWS Architecture Blog, "Exponential Backoff And Jitter").
    """

    def __init__(self, first: timedelta, longest: timedelta, chance: random.Random | None = None) -> None:
        """Start with the first bound.

        Args:
            first: The bound of the first wait.
            longest: What the bound grows to at most.
            chance: Where the randomness comes from; for tests.
        """
        self._first_seconds = first.total_seconds()
        self._longest_seconds = longest.total_seconds()
        self._chance = chance or random.Random()  # noqa: S311 - jitter is no secret
        self._tries = 0

    def next_seconds(self, at_most: timedelta | None = None) -> float:
        """Return the next wait, in seconds.

        Args:
            at_most: A lower bound than the longest one, for this time.
        """
        # The exponent is bounded too: after a day of tries 2**n is no float any more.
        bound = min(self._longest_seconds, self._first_seconds * 2.0 ** min(self._tries, 32))
        self._tries += 1
        if at_most is not None:
            bound = min(bound, at_most.total_seconds())
        return self._chance.uniform(0, bound)

    def reset(self) -> None:
        """Start over: the last try was good."""
        self._tries = 0
