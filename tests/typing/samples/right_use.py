"""What a type checker must accept, and the types that it must see."""

from typing import Any, assert_type

from stageline_sdk import BuiltWorkflow, Context, NoConfig, NoInput, Stage, Workflow, stage
from stageline_sdk.presets import ConcurrencyConfig, FullConfig
from stageline_sdk.testing import StageEnvironment
from tests.typing.samples.stages import (
    Document,
    ExtractConfig,
    Extracted,
    Richer,
    batch,
    enrich,
    extract_text,
    join,
    keywords,
    reads_anything,
    reads_nothing,
    sentiment,
)

assert_type(extract_text, Stage[Document, Extracted, ExtractConfig])
assert_type(sentiment, Stage[Extracted, float, NoConfig])
assert_type(batch, Stage[Document, Extracted, NoConfig])

start = Workflow("document-processor", input=Document, description="Reads documents.")
assert_type(start, Workflow[Document, Document])
assert_type(start.pipe(extract_text), Workflow[Document, Extracted])
assert_type(start.pipe(extract_text).build(), BuiltWorkflow[Document, Extracted])
assert_type(start.pipe(extract_text).parallel(sentiment, keywords, reads_nothing), Workflow[Document, Any])
assert_type(
    start.pipe(extract_text).parallel(sentiment, keywords).pipe(join).build(), BuiltWorkflow[Document, str]
)
assert_type(start.pipe(extract_text).pipe(reads_anything).build(), BuiltWorkflow[Document, int])
assert_type(start.pipe(extract_text).pipe(reads_nothing).build(), BuiltWorkflow[Document, bool])
assert_type(start.pipe(batch).pipe(sentiment).build(), BuiltWorkflow[Document, float])

# A stage that reads the base of what is written will do.
start.pipe(extract_text).pipe(enrich).pipe(sentiment)
assert_type(start.pipe(extract_text).pipe(enrich), Workflow[Document, Richer])

# Types that are no classes have to be given without one.
Workflow("any", input=int | None).pipe(reads_anything)


@stage("report")
def report(ctx: Context[NoInput, ExtractConfig]) -> dict[str, int]:
    assert_type(ctx.config, ExtractConfig)
    assert_type(ctx.require(extract_text), Extracted)
    assert_type(ctx.require(sentiment), float)
    assert_type(ctx.optional(extract_text), Extracted | None)
    assert_type(ctx.require("extract-text"), Any)
    ctx.log.info("fetched", bytes=10)
    ctx.log("WARNING", "odd", why=None)
    ctx.progress(0.5, "half way", pages=3)
    return {"words": ctx.require(extract_text).word_count}


class PagesConfig(FullConfig):
    style: str = "plain"


async def shout(word: str) -> bytes:
    return word.upper().encode()


@stage("pages")
async def pages(ctx: Context[Document, PagesConfig]) -> int:
    assert_type(ctx.config.is_enabled("new-parser"), bool)
    assert_type(ctx.config.max_tokens, int | None)
    assert_type(await ctx.limiter.gather(shout, ["a"]), list[bytes])
    assert_type(ctx.limiter.map(len, ["a"]), list[int])
    assert_type(ctx.dry_run, bool)
    return PagesConfig(concurrency=3).delay_ms


@stage("bounded")
def bounded(ctx: Context[NoInput, ConcurrencyConfig]) -> list[int]:
    return ctx.limiter.map(len, ["a"])


async def in_a_test() -> None:
    env = StageEnvironment(outputs={extract_text: Extracted(text="", word_count=1), "sentiment": 0.5})
    assert_type(await env.run(extract_text, Document(url=""), config=ExtractConfig()), Extracted)
    assert_type(await env.run(report), dict[str, int])
    assert_type(await env.run_workflow(start.pipe(extract_text).build(), Document(url="")), Extracted)
