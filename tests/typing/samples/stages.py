"""Stages for the samples beside this file."""

from typing import Any

from pydantic import BaseModel, Field

from stageline_sdk import Context, NoInput, StillWaiting, Suspended, stage


class Document(BaseModel):
    url: str


class ExtractConfig(BaseModel):
    max_length: int = Field(default=50_000, ge=1)


class Extracted(BaseModel):
    text: str
    word_count: int


class Richer(Extracted):
    language: str


class Joined(BaseModel):
    sentiment: float
    keywords: list[str]


@stage("extract-text")
async def extract_text(ctx: Context[Document, ExtractConfig]) -> Extracted:
    return Extracted(text=ctx.input.url, word_count=ctx.config.max_length)


@stage("enrich")
async def enrich(ctx: Context[Extracted]) -> Richer:
    return Richer(**ctx.input.model_dump(), language="en")


@stage("sentiment", dependencies=[extract_text])
def sentiment(ctx: Context[Extracted]) -> float:
    return 0.5


@stage("keywords")
async def keywords(ctx: Context[Extracted]) -> list[str]:
    return ctx.input.text.split()


@stage("join")
def join(ctx: Context[Joined]) -> str:
    return ctx.input.keywords[0]


@stage("reads-anything")
def reads_anything(ctx: Context[Any]) -> int:
    return len(ctx.input)


@stage("reads-nothing")
def reads_nothing(ctx: Context[NoInput]) -> bool:
    return ctx.optional(extract_text) is not None


@stage("batch", mode="async-batch")
async def batch(ctx: Context[Document]) -> Suspended | Extracted:
    return Suspended(state={"id": ctx.input.url})


@batch.check
async def check_batch(ctx: Context[NoInput], state: dict[str, str]) -> StillWaiting | Extracted:
    return StillWaiting()
