"""Whether and when a failed try is followed by another."""

from datetime import timedelta

from stageline_engine.commands import Failed
from stageline_engine.limits import RETRY_BACKOFF_MAX
from stageline_engine.model.definition import RetryPolicy


def backoff(policy: RetryPolicy, attempt: int) -> timedelta:
    """Returns the wait after a failed attempt, before jitter.

    ``initial_backoff * backoff_factor ** (attempt - 1)``, at most ``max_backoff`` and ``RETRY_BACKOFF_MAX``.

    Args:
        policy: The stage's policy.
        attempt: The attempt that failed, 1-based.
    """
    longest = min(policy.max_backoff, RETRY_BACKOFF_MAX)
    if not policy.initial_backoff:
        return timedelta()
    try:
        return min(policy.initial_backoff * policy.backoff_factor ** (attempt - 1), longest)
    except OverflowError:
        return longest


def retry_delay(policy: RetryPolicy, attempt: int, failure: Failed, chance: float) -> timedelta | None:
    """Returns the wait before the next attempt, or None where the failure is final.

    Args:
        policy: The stage's policy.
        attempt: The attempt that failed, 1-based.
        failure: What the worker said; its ``retry_after`` replaces the backoff.
        chance: A number from 0 to 1 that places the wait within the policy's jitter.
    """
    if failure.retryable is False or failure.error.type in policy.non_retryable_error_types:
        return None
    if attempt >= policy.max_attempts:
        return None
    if failure.retry_after is not None:
        return min(max(failure.retry_after, timedelta()), RETRY_BACKOFF_MAX)
    wait = backoff(policy, attempt)
    return min(wait * (1 + policy.jitter * (2 * chance - 1)), RETRY_BACKOFF_MAX)
