"""A document processor: fetch a document, analyse it three ways at once, and sum it up.

    extract-text  ->  sentiment | keywords | language  ->  aggregate

Run it with `stageline dev`, `stageline worker examples.document_processor:worker`, and
`stageline run start document-processor --input '{"url": "file:///path/to/README.md"}' --wait`.
"""

import asyncio
from datetime import timedelta

from pydantic import BaseModel, Field

from examples.documents import analysis, formats
from examples.documents.fetch import fetch
from stageline_sdk import Context, NoInput, RetryPolicy, Worker, Workflow, stage


class DocumentInput(BaseModel):
    """What a run is started with."""

    url: str = Field(description="An http, https or file URL of HTML, Markdown, plain text or a PDF.")


class ExtractConfig(BaseModel):
    """Settings of `extract-text`, which a run may override."""

    max_length: int = Field(default=50_000, ge=1, le=500_000, description="Characters of text to keep.")


class Extracted(BaseModel):
    """The text of a document. The count is of all its words, also of those beyond `max_length`."""

    text: str
    word_count: int
    format: str
    truncated: bool


class Sentiment(BaseModel):
    """How the text sounds, from -1 to 1, by an English lexicon."""

    label: analysis.SentimentLabel
    score: float
    sentence_count: int


class KeywordsConfig(BaseModel):
    """Settings of `keywords`."""

    count: int = Field(default=5, ge=1, le=50, description="How many keywords to find.")


class Keywords(BaseModel):
    """What the text is about, the most telling first."""

    keywords: list[str]


class Language(BaseModel):
    """The text's main language, as an ISO 639 code."""

    code: str
    confidence: float


class Report(BaseModel):
    """What is known of the document in the end."""

    format: str
    word_count: int
    keywords: list[str]
    language: str
    sentiment: analysis.SentimentLabel | None = Field(description="None for other languages than English.")
    sentiment_score: float | None


# A server that is down may be up again in a moment; what is final raises NonRetryableError.
FETCH_RETRY = RetryPolicy(
    max_attempts=4, initial_backoff=timedelta(milliseconds=500), max_backoff=timedelta(seconds=30)
)


@stage("extract-text", retry=FETCH_RETRY, timeout=timedelta(minutes=2))
async def extract_text(ctx: Context[DocumentInput, ExtractConfig]) -> Extracted:
    """Fetch the document and extract its text."""
    ctx.progress(0, "fetching")
    document = await fetch(ctx.input.url, on_progress=lambda share: ctx.progress(share / 2, "fetching"))
    ctx.log.info("fetched", name=document.name, bytes=len(document.content))

    text = await asyncio.to_thread(
        formats.to_text, document, lambda share: ctx.progress(0.5 + share / 2, "reading")
    )
    kept = text[: ctx.config.max_length]
    if len(kept) < len(text):
        ctx.log.warning("cut", characters=len(text), kept=len(kept))
    return Extracted(
        text=kept,
        word_count=formats.word_count(text),
        format=formats.detect_format(document),
        truncated=len(kept) < len(text),
    )


@stage("sentiment")
def sentiment(ctx: Context[Extracted]) -> Sentiment:
    """Score how the text sounds."""
    found = analysis.score_sentiment(ctx.input.text)
    return Sentiment(label=found.label, score=found.score, sentence_count=found.sentence_count)


@stage("keywords")
def keywords(ctx: Context[Extracted, KeywordsConfig]) -> Keywords:
    """Find what the text is about."""
    return Keywords(keywords=analysis.find_keywords(ctx.input.text, count=ctx.config.count))


@stage("language")
def language(ctx: Context[Extracted]) -> Language:
    """Identify the language."""
    found = analysis.identify_language(ctx.input.text)
    return Language(code=found.code, confidence=found.confidence)


@stage("aggregate", dependencies=[extract_text, sentiment, keywords, language])
def aggregate(ctx: Context[NoInput]) -> Report:
    """Sum it up. The input of the run's last group is not needed: outputs of all earlier stages can be required."""
    extracted = ctx.require(extract_text)
    mood = ctx.require(sentiment)
    code = ctx.require(language).code
    is_english = code == "en"
    return Report(
        format=extracted.format,
        word_count=extracted.word_count,
        keywords=ctx.require(keywords).keywords,
        language=code,
        sentiment=mood.label if is_english else None,
        sentiment_score=mood.score if is_english else None,
    )


document_processor = (
    Workflow(
        "document-processor", input=DocumentInput, description="Reads a document and says what it is about."
    )
    .pipe(extract_text)
    .parallel(sentiment, keywords, language)
    .pipe(aggregate)
    .build()
)

worker = Worker(document_processor)
