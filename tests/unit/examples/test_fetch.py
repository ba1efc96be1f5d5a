"""Documents from files and servers, and every way in which they do not come."""

import os
import re
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from examples.documents.errors import (
    DocumentError,
    DocumentNotFoundError,
    DocumentTooLargeError,
    DocumentUnavailableError,
)
from examples.documents.fetch import DOCUMENT_BYTES_MAX, RETRY_AFTER_MAX, fetch
from stageline_sdk import NonRetryableError, RetryableError
from tests.unit.examples.web_server import web_server


@pytest.fixture
async def web(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with web_server() as url:
        yield url


async def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "with space & ümlaut.md"
    path.write_bytes(b"# Hello")
    document = await fetch(path.as_uri())
    assert (document.name, document.content, document.content_type) == (path.name, b"# Hello", "")


async def test_a_file_of_this_machine_may_name_localhost(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    assert (await fetch(f"file://localhost{tmp_path}/a.txt")).content == b"x"


async def test_a_missing_file_is_final_and_named(tmp_path: Path) -> None:
    with pytest.raises(
        DocumentNotFoundError, match=re.escape(f"there is no file {tmp_path}/none.md")
    ) as failure:
        await fetch(f"{tmp_path.as_uri()}/none.md")
    assert isinstance(failure.value, NonRetryableError)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "has no scheme"),
        ("README.md", "has no scheme; use http, https or file"),
        ("ftp://example.org/a", "has the scheme 'ftp'"),
        ("http:///a", "names no server"),
        ("http://[::1/a", "is not a URL"),
        ("http://127.0.0.1:99999/", "is not a URL: Port out of range"),
        ("http://127.0.0.1/\0", "cannot be fetched"),
        ("file://elsewhere/a.md", "a file of another machine, elsewhere"),
        ("file:///dev/zero", "is not a regular file"),
        ("file:///a%00b", "cannot read"),
        ("file:///" + "a" * 5000, "cannot read"),
    ],
)
async def test_an_address_of_no_use_is_final(url: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        await fetch(url)


async def test_a_folder_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="is a folder"):
        await fetch(tmp_path.as_uri())


async def test_a_file_at_the_limit_is_read_and_one_over_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_bytes(b"x" * 1001)
    assert len((await fetch(path.as_uri(), bytes_max=1001)).content) == 1001
    with pytest.raises(DocumentTooLargeError, match="1,001 bytes") as failure:
        await fetch(path.as_uri(), bytes_max=1000)
    assert (failure.value.size_bytes, failure.value.bytes_max) == (1001, 1000)


async def test_the_default_limit_holds(tmp_path: Path) -> None:
    path = tmp_path / "sparse.txt"
    with path.open("wb") as file:
        os.truncate(file.fileno(), DOCUMENT_BYTES_MAX + 1)
    with pytest.raises(DocumentTooLargeError, match=r"the limit is 20\.0 MiB"):
        await fetch(path.as_uri())


async def test_a_page_is_fetched_with_its_type_and_progress(web: str) -> None:
    shares: list[float] = []
    document = await fetch(f"{web}/page.html", on_progress=shares.append)
    assert document.name == "page.html"
    assert document.content_type == "text/html; charset=utf-8"
    assert b"Hello page" in document.content
    assert shares[-1] == 1.0


async def test_a_redirect_is_followed(web: str) -> None:
    assert (await fetch(f"{web}/moved")).name == "page.html"


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (
            "/missing",
            DocumentNotFoundError,
            "there is no document at .*/missing: the server answered 404 Not Found",
        ),
        ("/gone", DocumentNotFoundError, "410"),
        ("/forbidden", DocumentError, "403 Forbidden"),
        ("/loop", DocumentError, "redirects more than 5 times"),
        ("/to-file", DocumentError, "cannot be fetched"),
        ("/not-gzip", DocumentError, "cannot be fetched"),
    ],
)
async def test_an_answer_that_is_final(web: str, path: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as failure:
        await fetch(web + path)
    assert isinstance(failure.value, NonRetryableError)


@pytest.mark.parametrize("path", ["/down", "/broken", "/busy", "/cut"])
async def test_an_answer_that_may_be_better_next_time(web: str, path: str) -> None:
    with pytest.raises(DocumentUnavailableError) as failure:
        await fetch(web + path)
    assert isinstance(failure.value, RetryableError)


async def test_the_wait_that_a_server_asks_for_is_passed_on_within_bounds(web: str) -> None:
    waits = []
    for path in ("/busy", "/busy-for-ages", "/down"):
        with pytest.raises(DocumentUnavailableError) as failure:
            await fetch(web + path)
        waits.append(failure.value.retry_after)
    assert waits == [timedelta(seconds=7), RETRY_AFTER_MAX, None]


async def test_a_server_that_never_answers_may_do_so_later(web: str) -> None:
    with pytest.raises(DocumentUnavailableError, match=r"did not answer within 0\.1 seconds"):
        await fetch(f"{web}/never", time_limit=timedelta(milliseconds=100))


async def test_a_server_that_is_not_there_may_be_later() -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DocumentUnavailableError, match="cannot be reached"):
            await fetch(f"http://127.0.0.1:{taken.getsockname()[1]}/")


@pytest.mark.parametrize("path", ["/announced", "/endless", "/bomb"])
async def test_no_more_than_the_limit_is_received(web: str, path: str) -> None:
    with pytest.raises(DocumentTooLargeError, match=r"the limit is 1\.0 MiB"):
        await fetch(web + path, bytes_max=1024 * 1024)
