"""What went wrong with a request: our own error for it, whether waiting heals it, whether it may have cost something."""

from datetime import timedelta

from pydantic_ai import exceptions as theirs

from stageline_sdk.ai import errors as ours
from stageline_sdk.ai.errors import AiError

_TRANSIENT = (
    theirs.ModelRateLimitError,
    theirs.ModelUnavailableError,
    theirs.ModelServerError,
    theirs.ModelConnectionError,
    theirs.ModelRequestTimeout,
)
_TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})
_SERVER_STATUS = 500
_NEVER_SENT = frozenset({"pool", "connect"})


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, theirs.ModelQuotaExceededError):
        return False
    if isinstance(error, _TRANSIENT):
        return True
    if isinstance(error, theirs.ModelHTTPError):
        return error.status_code in _TRANSIENT_STATUSES or error.status_code >= _SERVER_STATUS
    return False


def may_have_cost(error: BaseException) -> bool:
    """Whether a request that ended so may be on the provider's bill: it was sent, and no answer says it was refused."""
    if isinstance(error, theirs.ModelConnectionError):
        return error.phase not in _NEVER_SENT
    if isinstance(error, theirs.ModelRequestTimeout):
        return True
    if isinstance(error, theirs.ModelAPIError):
        return error.in_stream or type(error) is theirs.ModelAPIError  # Other kinds say how it was refused.
    return not isinstance(error, theirs.UserError | AiError)


def retry_after(error: BaseException) -> timedelta | None:
    """Return how long the provider asks to wait; None where it did not say."""
    if isinstance(error, theirs.ModelAPIError) and error.retry_after is not None and error.retry_after >= 0:
        return timedelta(seconds=error.retry_after)
    return None


def translated(error: Exception, key: str, *, steps_max: int = 0, text: str = "") -> Exception:
    """Return our own error for one of the library; any other as it is.

    Args:
        error: What was raised.
        key: The model's key.
        steps_max: The limit of steps that the call had.
        text: What the model answered last.
    """
    if isinstance(error, theirs.ModelAPIError):
        return _of_provider(error, f"model {key!r}: {error}")
    if isinstance(error, theirs.UsageLimitExceeded):
        return ours.StepLimitError(
            f"model {key!r} asked for more than {steps_max} steps: raise steps_max, or look why it goes on",
            steps_max=steps_max,
        )
    if isinstance(error, theirs.UnexpectedModelBehavior):
        return ours.InvalidAnswerError(f"model {key!r} gave no fitting answer: {_why(error)}", text=text)
    if isinstance(error, theirs.UserError):
        return ours.UnusableModelError(f"model {key!r}: {error}")
    return error


def _of_provider(error: theirs.ModelAPIError, message: str) -> AiError:
    status = error.status_code if isinstance(error, theirs.ModelHTTPError) else None
    if isinstance(error, theirs.ModelQuotaExceededError):
        return ours.QuotaExceededError(message)
    if isinstance(error, theirs.ModelRateLimitError) or status == 429:
        return ours.RateLimitedError(message, retry_after=retry_after(error))
    if is_transient(error):
        return ours.ProviderUnavailableError(message, retry_after=retry_after(error))
    if isinstance(error, theirs.ModelContextWindowExceededError):
        return ours.PromptTooLongError(message)
    if isinstance(error, theirs.ModelAuthenticationError):
        return ours.KeyRefusedError(message)
    if isinstance(error, theirs.ModelRequestRejectedError) or status is not None:
        return ours.RequestRefusedError(message)
    return ours.ProviderUnavailableError(message, retry_after=retry_after(error))


def _why(error: theirs.UnexpectedModelBehavior) -> str:
    """Say it with its cause: only that names the field that is wrong."""
    cause = error.__cause__
    return f"{error.message}" if cause is None else f"{error.message}: {cause}"
