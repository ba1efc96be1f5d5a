"""The workflow as a whole, run for real by the SDK's test environment: no server, no network."""

from pathlib import Path

import pytest

from examples.document_processor import (
    DocumentInput,
    ExtractConfig,
    Keywords,
    KeywordsConfig,
    document_processor,
    extract_text,
    keywords,
)
from examples.documents.errors import DocumentNotFoundError, EmptyDocumentError, UnsupportedDocumentError
from stageline_sdk import ConfigError
from stageline_sdk.testing import StageEnvironment
from tests.unit.examples.pdfs import pdf_with_pages

ENGLISH = "I love this wonderful control plane. It makes me happy every day. The control plane is great."


def write(path: Path, content: str | bytes) -> DocumentInput:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return DocumentInput(url=path.as_uri())


def test_the_shape_is_a_pipe_a_fan_out_and_a_join() -> None:
    groups = [[stage.id for stage in group] for group in document_processor.groups]
    assert groups == [["extract-text"], ["sentiment", "keywords", "language"], ["aggregate"]]


async def test_a_document_is_processed_from_file_to_report(tmp_path: Path) -> None:
    document = write(tmp_path / "a.md", f"# Report\n\n{ENGLISH}\n")
    report = await StageEnvironment().run_workflow(document_processor, document)
    assert report.word_count == 18
    assert report.format == "Markdown"
    assert report.language == "en"
    assert report.sentiment == "positive"
    assert report.sentiment_score is not None
    assert report.sentiment_score > 0.3
    assert "control plane" in report.keywords


async def test_sentiment_is_left_out_where_the_lexicon_does_not_know_the_language(tmp_path: Path) -> None:
    document = write(
        tmp_path / "a.txt", "Die Bahn hat heute wieder große Verspätung, und alle Leute ärgern sich sehr."
    )
    report = await StageEnvironment().run_workflow(document_processor, document)
    assert (report.language, report.sentiment, report.sentiment_score) == ("de", None, None)


async def test_a_pdf_shows_its_progress(tmp_path: Path) -> None:
    environment = StageEnvironment()
    extracted = await environment.run(
        extract_text, write(tmp_path / "a.pdf", pdf_with_pages("one", "two", "three"))
    )
    assert (extracted.word_count, extracted.format) == (3, "PDF")
    fractions = [update.fraction for update in environment.progress]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


@pytest.mark.parametrize(("max_length", "text", "truncated"), [(5, "one t", True), (7, "one two", False)])
async def test_the_text_is_cut_and_the_words_are_all_counted(
    tmp_path: Path, max_length: int, text: str, truncated: bool
) -> None:
    environment = StageEnvironment()
    extracted = await environment.run(
        extract_text, write(tmp_path / "a.txt", "one two"), config=ExtractConfig(max_length=max_length)
    )
    assert (extracted.text, extracted.word_count, extracted.truncated) == (text, 2, truncated)
    assert ("cut" in [record.message for record in environment.logs]) is truncated


async def test_the_number_of_keywords_is_configured(tmp_path: Path) -> None:
    extracted = await StageEnvironment().run(extract_text, write(tmp_path / "a.txt", ENGLISH))
    found: Keywords = await StageEnvironment().run(keywords, extracted, config=KeywordsConfig(count=2))
    assert len(found.keywords) == 2


async def test_config_out_of_range_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_length"):
        await StageEnvironment().run_workflow(
            document_processor, write(tmp_path / "a.txt", "x"), config={"extract-text": {"max_length": 0}}
        )


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.txt", b"", EmptyDocumentError, "holds no text"),
        ("a.png", b"\x89PNG\0", UnsupportedDocumentError, "unsupported kind"),
        (None, b"", DocumentNotFoundError, "there is no file"),
    ],
)
async def test_a_bad_document_fails_its_run_with_the_reason(
    tmp_path: Path, name: str | None, content: bytes, error: type[Exception], message: str
) -> None:
    document = write(tmp_path / name, content) if name else DocumentInput(url=(tmp_path / "none").as_uri())
    with pytest.raises(error, match=message):
        await StageEnvironment().run_workflow(document_processor, document)
