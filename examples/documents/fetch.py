"""Gets the bytes of a document from a file or over HTTP."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from examples.documents.errors import (
    DocumentError,
    DocumentNotFoundError,
    DocumentTooLargeError,
    DocumentUnavailableError,
)

# A long book as PDF. It is held in memory once, by each of the worker's running jobs.
DOCUMENT_BYTES_MAX = 20 * 1024 * 1024
TIME_LIMIT = timedelta(seconds=30)
REDIRECTS_MAX = 5
# A longer wish than this is left to the retry policy.
RETRY_AFTER_MAX = timedelta(minutes=5)
# Answers that may differ next time: time-outs, rate limits, and every 5xx.
RETRYABLE_STATUSES = frozenset({408, 425, 429})

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Fetched:
    """A document as it came.

    Attributes:
        name: The last part of its address, for messages and for its extension.
        content: Its bytes.
        content_type: What the server said that it is, with parameters; empty if nobody said.
    """

    name: str
    content: bytes
    content_type: str = ""


async def fetch(
    url: str,
    *,
    bytes_max: int = DOCUMENT_BYTES_MAX,
    time_limit: timedelta = TIME_LIMIT,
    on_progress: Progress | None = None,
) -> Fetched:
    """Gets a document.

    Args:
        url: An http, https or file URL.
        bytes_max: The largest document to accept.
        time_limit: How long a server may take for all of it.
        on_progress: Told the share received, 0 to 1, if the size is known beforehand.

    Raises:
        DocumentNotFoundError: There is no such file or page.
        DocumentTooLargeError: It is larger than `bytes_max`.
        DocumentUnavailableError: The server is down, busy or too slow; another attempt may work.
        DocumentError: The URL is of no use, or access is denied.
    """
    parts = _split(url)
    if parts.scheme == "file":
        return await asyncio.to_thread(_read_file, parts.path, bytes_max)
    try:
        async with asyncio.timeout(time_limit.total_seconds()):
            return await _download(url, bytes_max, on_progress or (lambda share: None))
    except TimeoutError as error:
        raise DocumentUnavailableError(
            f"{url} did not answer within {time_limit.total_seconds():g} seconds"
        ) from error


@dataclass(frozen=True)
class _Address:
    scheme: str
    path: str


def _split(url: str) -> _Address:
    try:
        parts = urlsplit(url)
        _ = parts.port  # is checked when read
    except ValueError as error:
        raise DocumentError(f"{url!r} is not a URL: {error}") from error
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise DocumentError(f"{url!r} names a file of another machine, {parts.netloc}; use file:///path")
        return _Address("file", unquote(parts.path))
    if parts.scheme not in {"http", "https"}:
        found = f"has the scheme {parts.scheme!r}" if parts.scheme else "has no scheme"
        raise DocumentError(f"{url!r} {found}; use http, https or file, as in file:///path/to/document.md")
    if not parts.netloc:
        raise DocumentError(f"{url!r} names no server")
    return _Address(parts.scheme, parts.path)


def _read_file(path_text: str, bytes_max: int) -> Fetched:
    path = Path(path_text)
    try:
        if path.is_dir():
            raise DocumentError(f"{path} is a folder; name a document in it")
        if path.exists() and not path.is_file():
            raise DocumentError(f"{path} is not a regular file")
        size_bytes = path.stat().st_size
        if size_bytes > bytes_max:
            raise DocumentTooLargeError(str(path), size_bytes=size_bytes, bytes_max=bytes_max)
        return Fetched(path.name, path.read_bytes())
    except FileNotFoundError as error:
        raise DocumentNotFoundError(f"there is no file {path} on the worker's machine") from error
    except PermissionError as error:
        raise DocumentError(f"the worker may not read {path}") from error
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        raise DocumentError(f"cannot read {path_text!r}: {error}") from error


async def _download(url: str, bytes_max: int, on_progress: Progress) -> Fetched:
    try:
        async with (
            # The caller limits the time of all of it; httpx could only limit each step.
            httpx.AsyncClient(timeout=None, follow_redirects=True, max_redirects=REDIRECTS_MAX) as client,  # noqa: S113
            client.stream("GET", url, headers={"User-Agent": "stageline-example"}) as response,
        ):
            _refuse_failure(url, response)
            content = await _receive(url, response, bytes_max, on_progress)
            name = unquote(response.url.path).rstrip("/").rpartition("/")[2] or response.url.host
            return Fetched(name, content, response.headers.get("Content-Type", ""))
    except httpx.TooManyRedirects as error:
        raise DocumentError(f"{url} redirects more than {REDIRECTS_MAX} times") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.DecodingError, ValueError) as error:
        raise DocumentError(f"{url} cannot be fetched: {error}") from error
    except httpx.TransportError as error:
        raise DocumentUnavailableError(
            f"{url} cannot be reached: {str(error) or type(error).__name__}"
        ) from error


def _refuse_failure(url: str, response: httpx.Response) -> None:
    if response.is_success:
        return
    status = f"{response.status_code} {response.reason_phrase}".strip()
    if response.is_server_error or response.status_code in RETRYABLE_STATUSES:
        raise DocumentUnavailableError(
            f"{url} answered {status}; it may work later", retry_after=_retry_after(response)
        )
    if response.status_code in {404, 410}:
        raise DocumentNotFoundError(f"there is no document at {url}: the server answered {status}")
    raise DocumentError(f"{url} cannot be read: the server answered {status}")


def _retry_after(response: httpx.Response) -> timedelta | None:
    text = response.headers.get("Retry-After", "")
    if not text.isascii() or not text.isdigit():  # absent, or a date, which needs clocks that agree
        return None
    return min(timedelta(seconds=int(text[:9])), RETRY_AFTER_MAX)


async def _receive(url: str, response: httpx.Response, bytes_max: int, on_progress: Progress) -> bytes:
    """Reads the body, and no more of it than is allowed, whatever the server announced."""
    announced_text = response.headers.get("Content-Length", "")
    announced = int(announced_text) if announced_text.isascii() and announced_text.isdigit() else 0
    if announced > bytes_max:
        raise DocumentTooLargeError(url, size_bytes=announced, bytes_max=bytes_max)
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > bytes_max:
            raise DocumentTooLargeError(url, size_bytes=len(content), bytes_max=bytes_max)
        if announced:
            on_progress(min(1.0, response.num_bytes_downloaded / announced))
    return bytes(content)
