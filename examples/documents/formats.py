"""Turns HTML, Markdown, PDF and plain text into plain text."""

import codecs
import io
import re
from collections.abc import Callable, Mapping
from enum import StrEnum

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pypdf import PdfReader
from selectolax.lexbor import LexborHTMLParser

from examples.documents.errors import EmptyDocumentError, UnreadableDocumentError, UnsupportedDocumentError
from examples.documents.fetch import Fetched

Progress = Callable[[float], None]


class Format(StrEnum):
    """The kinds of documents that can be read."""

    HTML = "HTML"
    MARKDOWN = "Markdown"
    PDF = "PDF"
    TEXT = "plain text"


BY_CONTENT_TYPE = {
    "text/html": Format.HTML,
    "application/xhtml+xml": Format.HTML,
    "text/markdown": Format.MARKDOWN,
    "text/x-markdown": Format.MARKDOWN,
    "application/pdf": Format.PDF,
    "text/plain": Format.TEXT,
}
BY_EXTENSION = {
    "html": Format.HTML,
    "htm": Format.HTML,
    "xhtml": Format.HTML,
    "md": Format.MARKDOWN,
    "markdown": Format.MARKDOWN,
    "pdf": Format.PDF,
    "txt": Format.TEXT,
    "text": Format.TEXT,
    "rst": Format.TEXT,
}
# What a server says when it does not know.
VAGUE_CONTENT_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
HTML_START = re.compile(
    rb"^(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
# Parts of a page that are no part of what it says.
HTML_ASIDE = ("script", "style", "noscript", "template", "svg", "nav", "header > nav", "footer")
WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")


def word_count(text: str) -> int:
    """Counts words: runs of letters and digits, with hyphens and apostrophes inside."""
    return sum(1 for _ in WORD.finditer(text))


def detect_format(document: Fetched) -> Format:
    """Decides what a document is: by its first bytes, then by what the server says, then by its name.

    Raises:
        UnsupportedDocumentError: It is something else.
    """
    if document.content.lstrip()[:5] == b"%PDF-":
        return Format.PDF
    content_type = document.content_type.partition(";")[0].strip().lower()
    extension = document.name.rpartition(".")[2].lower() if "." in document.name else ""
    found = BY_CONTENT_TYPE.get(content_type)
    if found is Format.TEXT or content_type in VAGUE_CONTENT_TYPES:
        # Servers send Markdown, and much else, as text/plain.
        found = BY_EXTENSION.get(extension) or found
    if found is None and content_type in VAGUE_CONTENT_TYPES:
        found = _sniff(document.content)
    if found is None:
        kind = (
            content_type
            if content_type not in VAGUE_CONTENT_TYPES
            else f".{extension}"
            if extension
            else "binary"
        )
        raise UnsupportedDocumentError(
            f"{document.name} is of an unsupported kind ({kind}); supported are HTML, Markdown, plain text and PDF"
        )
    return found


def to_text(document: Fetched, on_progress: Progress | None = None) -> str:
    """Extracts the text of a document, with a blank line between paragraphs.

    Args:
        document: The document.
        on_progress: Told the share read, 0 to 1, where that takes time (the pages of a PDF).

    Raises:
        UnsupportedDocumentError: It is of a kind that we cannot read.
        UnreadableDocumentError: It is broken, or locked by a password.
        EmptyDocumentError: It holds no words.
    """
    kind = detect_format(document)
    if kind is Format.PDF:
        text = _pdf_text(document, on_progress or (lambda share: None))
    else:
        text = READERS[kind](decode(document))
    text = _tidy(text)
    if not WORD.search(text):
        hint = "; its pages may be pictures (a scan)" if kind is Format.PDF and document.content else ""
        raise EmptyDocumentError(f"{document.name} holds no text{hint}")
    return text


def decode(document: Fetched) -> str:
    """Decodes by byte-order mark, then by what the server or the page says, then as UTF-8, else as Windows-1252."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if document.content.startswith(mark):
            return document.content.decode(encoding, errors="replace")
    said = re.search(r"charset=[\"']?([\w.:-]+)", document.content_type, re.IGNORECASE)
    declared = re.search(
        rb"<meta[^>]{0,200}?charset=[\"']?([\w.:-]+)", document.content[:2048], re.IGNORECASE
    )
    candidates = [
        said[1] if said else "",
        declared[1].decode("ascii", "replace") if declared else "",
        "utf-8",
    ]
    for encoding in filter(None, candidates):
        try:
            return document.content.decode(encoding)
        except (LookupError, ValueError):
            continue
    return document.content.decode("cp1252", errors="replace")


def _sniff(content: bytes) -> Format | None:
    if HTML_START.match(content[:2048]):
        return Format.HTML
    if b"\0" in content and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    try:
        content.decode("utf-8-sig" if not content.startswith(codecs.BOM_UTF16_LE) else "utf-16")
    except UnicodeDecodeError:
        return None
    return Format.TEXT


def _html_text(source: str) -> str:
    tree = LexborHTMLParser(source)
    tree.strip_tags(list(HTML_ASIDE), recursive=True)
    if tree.body is None:
        return ""
    return str(tree.body.text(separator="\n", strip=True))


def _markdown_text(source: str) -> str:
    """Keeps what a reader reads: prose, headings, tables; not code blocks, nor addresses of links."""
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    return "\n\n".join(filter(None, (_markdown_block(token) for token in tokens)))


def _markdown_block(token: Token) -> str:
    if token.type == "html_block":
        return _html_text(token.content)
    words = []
    for child in token.children or []:
        if child.type in {"text", "code_inline"}:
            words.append(child.content)
        elif child.type in {"softbreak", "hardbreak"}:
            words.append("\n")
        elif child.type == "image":
            words.append(child.content)  # its description
    return "".join(words)


def _pdf_text(document: Fetched, on_progress: Progress) -> str:
    pages: list[str] = []
    try:
        reader = PdfReader(io.BytesIO(document.content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableDocumentError(f"{document.name} is locked by a password")
        for number, page in enumerate(reader.pages, start=1):
            pages.append(page.extract_text())
            on_progress(number / len(reader.pages))
    except UnreadableDocumentError:
        raise
    except Exception as error:  # a broken PDF fails a parser in every way there is
        reason = str(error).strip() or type(error).__name__
        raise UnreadableDocumentError(f"{document.name} is not a readable PDF: {reason}") from error
    return "\n\n".join(pages)


READERS: Mapping[Format, Callable[[str], str]] = {
    Format.HTML: _html_text,
    Format.MARKDOWN: _markdown_text,
    Format.TEXT: lambda source: source,
}


def _tidy(text: str) -> str:
    """Makes text that JSON and a database take (no zero bytes, no half characters), with plain white space."""
    clean = text.replace("\0", "").encode("utf-8", errors="ignore").decode("utf-8")
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in clean.splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
