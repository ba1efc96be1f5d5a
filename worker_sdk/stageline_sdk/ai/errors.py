"""Every error that an AI call raises, as a tree below `StageError`.

    AiError                           catch it for all of them
    ├── MissingExtraError             the provider's library is not installed: says the pip command
    ├── MissingKeyError               no API key: says the variable to set
    ├── UnknownModelError             the registry has no such key: names near ones
    ├── UnusableModelError            the model cannot do this: embed, stream, run in a batch
    ├── RateLimitedError              the provider asks to wait; carries for how long
    ├── ProviderUnavailableError      the provider failed, is overloaded, or cannot be reached
    ├── QuotaExceededError            the provider's account has no money left
    ├── RequestRefusedError           the provider will never take this request
    │   ├── KeyRefusedError           the API key is wrong, or may not do this
    │   └── PromptTooLongError        the prompt does not fit the model's context
    ├── StepLimitError                the model went on calling tools beyond the limit
    ├── InvalidAnswerError            the model's answer does not fit the type, or there is none
    ├── BatchItemsError               items that no batch takes: none, too many, or wrong ids
    ├── BatchHandleError              a handle of another model or output type
    ├── BatchNotEndedError            results were asked for before the batch has ended
    └── LookUpUnfinishedError         a crash left a batch in doubt, and too many others may be it

They follow the stage's retry policy like any other error, and help it: those that waiting may heal are also
`RetryableError` (its `retry_after` is the provider's), those that nothing heals are also `NonRetryableError`.
"""

from collections.abc import Sequence

from stageline_sdk.errors import NonRetryableError, RetryableError, StageError


class AiError(StageError):
    """The root of all errors of AI calls."""


class MissingExtraError(AiError, NonRetryableError):
    """A library that the call needs is not installed.

    Attributes:
        extra: The extra of this distribution that brings it, such as `anthropic`.
    """

    def __init__(self, message: str, *, extra: str) -> None:
        super().__init__(message)
        self.extra = extra


class MissingKeyError(AiError, NonRetryableError):
    """There is no API key for a provider.

    Attributes:
        variables: The environment variables that were looked at; setting one of them helps.
    """

    def __init__(self, message: str, *, variables: Sequence[str]) -> None:
        super().__init__(message)
        self.variables = tuple(variables)


class UnknownModelError(AiError, NonRetryableError, LookupError):
    """The registry has no model of this key.

    Attributes:
        key: The key that was asked for.
        near: Keys that look like it, the likeliest first.
    """

    def __init__(self, message: str, *, key: str, near: Sequence[str]) -> None:
        super().__init__(message)
        self.key = key
        self.near = tuple(near)


class UnusableModelError(AiError, NonRetryableError):
    """The model of this key cannot do what was asked: embed, write, stream, or be part of a batch."""


class RateLimitedError(AiError, RetryableError):
    """The provider asks to come back later; `retry_after` is when, if it said."""


class ProviderUnavailableError(AiError, RetryableError):
    """The provider failed, is overloaded, did not answer in time, or cannot be reached. `retry_after` if it said."""


class QuotaExceededError(AiError, NonRetryableError):
    """The provider's account has used up its money or its quota: somebody must see to it."""


class RequestRefusedError(AiError, NonRetryableError):
    """The provider refused the request, and would refuse it again."""


class KeyRefusedError(RequestRefusedError):
    """The provider refused the API key, or the key may not use the model."""


class PromptTooLongError(RequestRefusedError):
    """The prompt does not fit the model's context."""


class StepLimitError(AiError):
    """The model asked for more steps, of tools or of corrections, than the call allows.

    Attributes:
        steps_max: Requests to the model that were allowed.
    """

    def __init__(self, message: str, *, steps_max: int) -> None:
        super().__init__(message)
        self.steps_max = steps_max


class InvalidAnswerError(AiError):
    """The model's answer does not fit the type that was asked for, or it gave none. Another try may do better.

    Attributes:
        text: What it answered, as far as it was text.
    """

    def __init__(self, message: str, *, text: str = "") -> None:
        super().__init__(message)
        self.text = text
