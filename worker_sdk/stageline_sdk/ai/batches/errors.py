"""What can go wrong with a batch as a whole."""

from stageline_sdk.ai.errors import AiError
from stageline_sdk.errors import NonRetryableError


class BatchItemsError(AiError, NonRetryableError, ValueError):
    """Items that no batch takes: none, too many, or ids that are empty, too long or used twice."""


class BatchNotEndedError(AiError):
    """Results were asked for before the batch has ended: ask `status` first."""


class BatchHandleError(AiError, NonRetryableError, ValueError):
    """A handle that is of another model or output type."""


class LookUpUnfinishedError(AiError):
    """A crash left a submission in doubt, and the provider lists more batches than are looked through for it.

    Nothing was submitted again. The next attempt looks again; or look for the key among the provider's batches yourself.

    Attributes:
        key: What the provider was given to know the batch by.
    """

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key
