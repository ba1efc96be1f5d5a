"""A provider's errors about a batch as a whole, as our own."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic_ai.exceptions import ModelAPIError, UserError

from stageline_sdk.ai.batches.errors import BatchHandleError
from stageline_sdk.ai.errors import (
    KeyRefusedError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestRefusedError,
)

NOTHING_WAS_SUBMITTED: tuple[type[Exception], ...] = (RequestRefusedError, RateLimitedError, BatchHandleError)
"""Errors of a submission after which the provider surely has nothing: it said so itself, or was not asked."""

_KEY_STATUSES = frozenset({401, 403})
_IN_DOUBT_STATUSES = frozenset({408, 409, 425})
_RATE_LIMITED = 429
_CLIENT_FAULTS = range(400, 500)
_LIBRARIES = ("openai", "anthropic", "google.", "httpx2", "pydantic_ai")


@contextmanager
def told_in_our_words(what: str) -> Iterator[None]:
    """Raise what a provider's library raises as an error of ours.

    Args:
        what: What was tried, for the message.

    Raises:
        KeyRefusedError, RequestRefusedError: The provider refused it, and would again.
        RateLimitedError: It has too much of it at the moment.
        ProviderUnavailableError: It failed or cannot be reached, or its answer was lost.
        BatchHandleError: The model is served elsewhere than the batch, or was asked for what no batch can do.
    """
    try:
        yield
    except UserError as error:
        raise BatchHandleError(f"{what}: {error}") from error
    except Exception as error:
        if not _is_of_provider(error):
            raise
        raise _translated(error, what) from error


def _is_of_provider(error: Exception) -> bool:
    return isinstance(error, ModelAPIError) or type(error).__module__.startswith(_LIBRARIES)


def _translated(error: Exception, what: str) -> Exception:
    status = _status_of(error)
    message = f"{what}: {error}"
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
