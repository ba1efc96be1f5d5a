"""The demo finds at least sixty real documents, and takes those that the user names."""

import asyncio
from pathlib import Path

import pytest

from examples.documents.corpus import collect, named
from examples.documents.errors import DocumentNotFoundError
from examples.documents.fetch import fetch
from examples.documents.formats import to_text, word_count


def test_every_checkout_has_sixty_documents_that_can_be_read(tmp_path: Path) -> None:
    urls = collect(tmp_path)

    async def words(url: str) -> int:
        return word_count(await asyncio.to_thread(to_text, await fetch(url)))

    async def all_words() -> list[int]:
        return [await words(url) for url in urls]

    assert len(urls) == len(set(urls)) >= 60
    counts = asyncio.run(all_words())
    assert min(counts) > 0
    assert sum(counts) > 20_000


def test_the_projects_own_pages_licences_and_descriptions_are_among_them(tmp_path: Path) -> None:
    urls = collect(tmp_path)
    assert any(url.endswith("/README.md") for url in urls)
    assert any("/docs/decisions/" in url for url in urls)
    assert any(".dist-info" in url for url in urls)
    assert any(url.startswith(tmp_path.as_uri()) and url.endswith(".md") for url in urls)


def test_collecting_again_gives_the_same_and_writes_nothing(tmp_path: Path) -> None:
    first = collect(tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert collect(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written


def test_licences_do_not_repeat(tmp_path: Path) -> None:
    licences = [
        Path(url.removeprefix("file://")).read_bytes() for url in collect(tmp_path) if ".dist-info" in url
    ]
    assert len(licences) == len(set(licences)) > 10


def test_folders_are_walked_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b.md", "sub/a.pdf", "sub/code.py", ".hidden/c.md", "sub/.d.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    assert named([str(tmp_path)]) == [(tmp_path / "b.md").as_uri(), (tmp_path / "sub/a.pdf").as_uri()]


def test_urls_stay_and_paths_become_urls(tmp_path: Path) -> None:
    missing = tmp_path / "no such file.md"
    given = ["https://example.org/a?b=c", "file:///x.md", str(missing), str(missing)]
    assert named(given) == ["https://example.org/a?b=c", "file:///x.md", missing.as_uri()]


def test_a_path_that_does_not_exist_fails_as_a_document_of_its_own(tmp_path: Path) -> None:
    (url,) = named([str(tmp_path / "none.md")])
    with pytest.raises(DocumentNotFoundError, match=r"there is no file .*none\.md"):
        asyncio.run(fetch(url))
