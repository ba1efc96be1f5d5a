"""Stages that several tests use. At the top of a module, so that processes can import them."""

import os
import signal
import sys
import threading
from datetime import timedelta

from pydantic import BaseModel, Field

from stageline_sdk import Context, NoInput, RetryableError, StillWaiting, Suspended, Workflow, stage


class Document(BaseModel):
    url: str


class ExtractConfig(BaseModel):
    max_length: int = Field(default=50_000, ge=1)
    encoding: str = "utf-8"


class Extracted(BaseModel):
    text: str
    word_count: int


class Joined(BaseModel):
    sentiment: float
    keywords: list[str]


@stage("extract-text")
async def extract_text(ctx: Context[Document, ExtractConfig]) -> Extracted:
    """Take the words out of a document."""
    text = ctx.input.url[: ctx.config.max_length]
    ctx.log.info("fetched", characters=len(text))
    ctx.progress(0.5, "half way", pages=3)
    return Extracted(text=text, word_count=len(text.split()))


@stage("sentiment", dependencies=[extract_text])
def sentiment(ctx: Context[Extracted]) -> float:
    return 0.5


@stage("keywords")
async def keywords(ctx: Context[Extracted]) -> list[str]:
    return ctx.input.text.split()


@stage("aggregate", dependencies=[extract_text, sentiment])
def aggregate(ctx: Context[NoInput]) -> dict[str, float]:
    return {"words": ctx.require(extract_text).word_count, "sentiment": ctx.require(sentiment)}


document_processor = (
    Workflow("document-processor", input=Document, description="Reads documents.")
    .pipe(extract_text)
    .parallel(sentiment, keywords)
    .pipe(aggregate)
    .build()
)


# Stages that run in processes.


@stage("in-process", executor="process")
def in_process(ctx: Context[Document]) -> dict[str, int | str]:
    ctx.log.info("working", pid=os.getpid())
    ctx.progress(1.0, "done")
    ctx.annotate("decision.outcome", "kept")
    return {"pid": os.getpid(), "url": ctx.input.url, "main": threading.current_thread().name}


@stage("fetches-in-process", executor="process")
def fetches_in_process(ctx: Context[NoInput]) -> int:
    return ctx.require(extract_text).word_count


@stage("raises-in-process", executor="process")
def raises_in_process(ctx: Context[NoInput]) -> None:
    raise RetryableError("too busy", retry_after=timedelta(seconds=7))


@stage("dies", executor="process")
def dies(ctx: Context[NoInput]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@stage("exits", executor="process")
def exits(ctx: Context[NoInput]) -> None:
    sys.stdout.flush()
    os._exit(3)


@stage("listens", executor="process")
def listens(ctx: Context[NoInput]) -> str:
    ctx.log.info("listening")
    ctx.cancelled.wait()
    ctx.raise_if_cancelled()
    return "never"


@stage("deaf", executor="process")
def deaf(ctx: Context[NoInput]) -> str:
    ctx.log.info("listening")
    threading.Event().wait()
    return "never"


# A stage whose work goes on elsewhere.


class BatchState(BaseModel):
    batch_id: str


@stage("batch", mode="async-batch")
async def batch(ctx: Context[Document, ExtractConfig]) -> Suspended | Extracted:
    if ctx.input.url == "small":
        return Extracted(text="small", word_count=1)
    state = BatchState(batch_id=f"b-{ctx.input.url}")
    return Suspended(state=state, poll_interval=timedelta(seconds=5), max_wait=timedelta(hours=2))


@batch.check
async def check_batch(ctx: Context[NoInput, ExtractConfig], state: BatchState) -> Extracted | StillWaiting:
    if state.batch_id == "b-slow":
        return StillWaiting(next_check=timedelta(seconds=9), state=BatchState(batch_id="b-quick"))
    return Extracted(text=state.batch_id, word_count=ctx.config.max_length)
