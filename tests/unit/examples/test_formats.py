"""Every format becomes the words that a reader sees, or an error that says why not."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.documents.errors import (
    DocumentError,
    EmptyDocumentError,
    UnreadableDocumentError,
    UnsupportedDocumentError,
)
from examples.documents.fetch import Fetched
from examples.documents.formats import Format, detect_format, to_text, word_count
from stageline_sdk import NonRetryableError
from tests.unit.examples.pdfs import locked, pdf_with_pages

PDF = pdf_with_pages("Hello from the first page", "and from the second")


@pytest.mark.parametrize(
    ("name", "content_type", "content", "expected"),
    [
        ("a.md", "", b"x", Format.MARKDOWN),
        ("a.md", "text/plain; charset=utf-8", b"x", Format.MARKDOWN),
        ("a.MD", "application/octet-stream", b"x", Format.MARKDOWN),
        ("a.txt", "text/markdown", b"x", Format.MARKDOWN),
        ("a.html", "", b"x", Format.HTML),
        ("a", "text/html", b"x", Format.HTML),
        ("a", "", b"<!-- hi --> <!DOCTYPE html><p>x", Format.HTML),
        ("a", "application/pdf", b"x", Format.PDF),
        ("a.txt", "text/plain", b"%PDF-1.7", Format.PDF),
        ("LICENSE", "", b"words", Format.TEXT),
        ("a.py", "text/plain", b"x", Format.TEXT),
        ("METADATA", "", "ümlaut".encode("utf-16"), Format.TEXT),
    ],
)
def test_formats_are_told_apart(name: str, content_type: str, content: bytes, expected: Format) -> None:
    assert detect_format(Fetched(name, content, content_type)) == expected


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (Fetched("a.png", b"\x89PNG\0\0"), r"\.png"),
        (Fetched("a", b"\0\1\2"), "binary"),
        (Fetched("a.txt", b"x", "image/png"), "image/png"),
        (Fetched("a.md", b"x", "application/zip"), "application/zip"),
    ],
)
def test_other_kinds_are_refused_by_name(document: Fetched, kind: str) -> None:
    with pytest.raises(
        UnsupportedDocumentError, match=f"unsupported kind .{kind}.; supported are HTML, Markdown"
    ):
        to_text(document)


def test_html_keeps_what_is_read() -> None:
    page = b"""<!doctype html><html><head><title>T</title><style>p{}</style></head><body><nav>Menu</nav>
        <h1>Head&amp;line</h1><script>var x = 1;</script><p>One <b>bold</b> word.</p><footer>Foot</footer></body></html>"""
    assert to_text(Fetched("a.html", page)).split() == ["Head&line", "One", "bold", "word."]


def test_markdown_keeps_prose_and_drops_code_and_addresses() -> None:
    text = to_text(
        Fetched(
            "a.md",
            b"# Title\n\nSome *marked* [link](https://example.org/x) and `code`.\n\n```python\nimport os\n```\n\n"
            b"| a | b |\n|---|---|\n| one | two |\n\n- item\n\n<p align=center>raw <i>html</i></p>\n",
        )
    )
    assert text.split() == [
        "Title",
        "Some",
        "marked",
        "link",
        "and",
        "code.",
        *["a", "b", "one", "two", "item", "raw", "html"],
    ]


def test_pdf_pages_are_read_in_order_with_progress() -> None:
    shares: list[float] = []
    text = to_text(Fetched("a.pdf", PDF), shares.append)
    assert text == "Hello from the first page\n\nand from the second"
    assert shares == [0.5, 1.0]


def test_a_pdf_locked_for_owners_only_is_read() -> None:
    assert "first page" in to_text(Fetched("a.pdf", locked(PDF, "")))


def test_a_pdf_behind_a_password_is_refused() -> None:
    with pytest.raises(UnreadableDocumentError, match=r"a\.pdf is locked by a password"):
        to_text(Fetched("a.pdf", locked(PDF, "secret")))


@pytest.mark.parametrize(
    "content", [PDF[:40], b"%PDF-1.4\n" + b"garbage " * 50, PDF.replace(b"/Kids [", b"/Kidz [")]
)
def test_a_broken_pdf_is_refused(content: bytes) -> None:
    with pytest.raises(DocumentError, match=r"a\.pdf (is not a readable PDF|holds no text)") as failure:
        to_text(Fetched("a.pdf", content))
    assert isinstance(failure.value, NonRetryableError)


@given(st.integers(0, len(PDF) - 1), st.binary(max_size=20))
def test_a_damaged_pdf_never_escapes_as_another_error(position: int, noise: bytes) -> None:
    damaged = PDF[:position] + noise + PDF[position + len(noise) :]
    with contextlib.suppress(DocumentError):
        assert to_text(Fetched("a.pdf", damaged))


@pytest.mark.parametrize(
    "document",
    [
        Fetched("a.txt", b""),
        Fetched("a.md", b"---\n\n***\n"),
        Fetched("a.html", b"<html><body><script>x()</script></body></html>"),
        Fetched("a.html", b"<!-- -->"),
        Fetched("a.txt", b" \n\0\t "),
    ],
)
def test_a_document_without_words_is_refused(document: Fetched) -> None:
    with pytest.raises(EmptyDocumentError, match=f"{document.name} holds no text"):
        to_text(document)


def test_a_scan_is_told_from_an_empty_file() -> None:
    with pytest.raises(EmptyDocumentError, match="may be pictures"):
        to_text(Fetched("scan.pdf", pdf_with_pages("")))


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("grün".encode(), ""),
        ("grün".encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        ("grün".encode("cp1252"), "text/plain"),
        ("grün".encode("cp1252"), "text/plain; charset=no-such-charset"),
        ("grün".encode("utf-8-sig"), ""),
        ("grün".encode("utf-16"), ""),
    ],
)
def test_text_is_decoded_as_it_was_written(content: bytes, content_type: str) -> None:
    assert to_text(Fetched("a.txt", content, content_type)) == "grün"


def test_a_page_may_declare_its_own_encoding() -> None:
    page = '<html><head><meta charset="iso-8859-2"></head><body>żółw</body></html>'.encode("iso-8859-2")
    assert to_text(Fetched("a.html", page)) == "żółw"


@given(st.binary(max_size=300), st.sampled_from(["a.txt", "a.md", "a.html"]))
def test_whatever_comes_out_is_text_that_json_and_postgres_take(content: bytes, name: str) -> None:
    try:
        text = to_text(Fetched(name, content))
    except DocumentError:
        return
    assert "\0" not in text
    assert text.encode()
    assert text == text.strip()


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("one", 1), ("well-known don't", 2), ("a, b; 3 -- _", 3), ("żółw 東京", 2)]
)
def test_words_are_counted(text: str, count: int) -> None:
    assert word_count(text) == count
