"""A provider's errors about a batch as a whole, as our own."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic_ai.exceptions import AgentRunError, UserError

from stageline_sdk.ai._backend.failures import translated
from stageline_sdk.ai.errors import (
    KeyRefusedError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitedError,
    RequestRefusedError,
    UnusableModelError,
)

NOTHING_WAS_SUBMITTED: tuple[type[Exception], ...] = (
    RequestRefusedError,
    RateLimitedError,
    QuotaExceededError,
    UnusableModelError,
)
"""Errors of a submission after which the provider surely has nothing: it said so itself, or was not asked."""

_KEY_STATUSES = frozenset({401, 403})
_IN_DOUBT_STATUSES = frozenset({408, 409, 425})
_RATE_LIMITED = 429
_CLIENT_FAULTS = range(400, 500)
_LIBRARIES = ("openai", "anthropic", "google", "httpx2")


@contextmanager
def told_in_our_words(key: str, what: str) -> Iterator[None]:
    """Raise what a provider's library raises as an error of ours.

    Args:
        key: The model's key, for the message.
        what: What was tried, for the message.

    Raises:
        UnusableModelError: It is served elsewhere than the batch, or was asked for what no batch can do.
        RequestRefusedError: The provider refused it, and would again.
        RateLimitedError: It has too much of it at the moment.
        ProviderUnavailableError: It failed or cannot be reached, or its answer was lost.
    """
    try:
        yield
    except (AgentRunError, UserError) as error:
        raise translated(error, key) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _LIBRARIES:
            raise
        raise _of_library(error, f"model {key!r}: {what}: {error}") from error


def _of_library(error: Exception, message: str) -> Exception:
    status = _status_of(error)
    if status in _KEY_STATUSES:
        return KeyRefusedError(message)
    if status == _RATE_LIMITED:
        return RateLimitedError(message)
    if status in _CLIENT_FAULTS and status not in _IN_DOUBT_STATUSES:
        return RequestRefusedError(message)
    return ProviderUnavailableError(message)


def _status_of(error: Exception) -> int | None:
    """Return the HTTP status: OpenAI's and Anthropic's errors call it `status_code`, Google's `code`."""
    for name in ("status_code", "code"):
        status = getattr(error, name, None)
        if isinstance(status, int):
            return status
    return None
