"""Why a document cannot be processed, in words for the person who named it.

Those that another attempt cannot help are `NonRetryableError`; a server that is down or slow may be up later.
"""

from datetime import timedelta

from stageline_sdk import NonRetryableError, RetryableError


class DocumentError(NonRetryableError):
    """The document cannot be processed, now or later."""


class DocumentNotFoundError(DocumentError):
    """There is nothing at that address."""


class DocumentTooLargeError(DocumentError):
    """The document is larger than the limit.

    Attributes:
        bytes_max: The limit.
        size_bytes: The size as announced or as read so far.
    """

    def __init__(self, name: str, *, size_bytes: int, bytes_max: int) -> None:
        super().__init__(f"{name} is too large: {_mib(size_bytes)}, the limit is {_mib(bytes_max)}")
        self.size_bytes = size_bytes
        self.bytes_max = bytes_max


class UnsupportedDocumentError(DocumentError):
    """The document is of a kind that we cannot read."""


class UnreadableDocumentError(DocumentError):
    """The document claims to be of a kind that we read, and is broken or locked."""


class EmptyDocumentError(DocumentError):
    """The document holds no words."""


class DocumentUnavailableError(RetryableError):
    """The server that has the document is down, busy or too slow; worth another attempt."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message, retry_after=retry_after)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024 / 1024:.1f} MiB ({size_bytes:,} bytes)"
