"""What a type checker must refuse. Never run.

Each mistake has an ignore of its kind of error: strict checking refuses an ignore that hides nothing, so that a mistake
that is no longer noticed fails the check, as does an error on any other line.
"""

from stageline_sdk import Context, NoInput, RetryPolicy, Workflow, stage
from stageline_sdk.testing import StageEnvironment
from tests.typing.samples.stages import (
    Document,
    ExtractConfig,
    Extracted,
    enrich,
    extract_text,
    join,
    keywords,
    sentiment,
)

start = Workflow("document-processor", input=Document)
extracted = start.pipe(extract_text)

# A stage is given what it does not read.
start.pipe(sentiment)  # type: ignore[arg-type]
extracted.pipe(extract_text)  # type: ignore[arg-type]
extracted.pipe(join)  # type: ignore[arg-type]
extracted.pipe(enrich).pipe(extract_text)  # type: ignore[arg-type]
start.parallel(keywords)  # type: ignore[arg-type]
extracted.parallel(keywords, extract_text)  # type: ignore[arg-type]
Workflow("w", input=int).pipe(extract_text)  # type: ignore[arg-type]

# A plain function is no stage.
start.pipe(lambda ctx: ctx)  # type: ignore[arg-type]
start.pipe("extract-text")  # type: ignore[arg-type]

# An unbuilt workflow does not run.
start.run()  # type: ignore[attr-defined]


@stage("wrong-returns")
async def wrong_returns(ctx: Context[Document]) -> Extracted:
    return "text"  # type: ignore[return-value]


@stage("wrong-reads")
def wrong_reads(ctx: Context[Document, ExtractConfig]) -> int:
    print(ctx.input.uri)  # type: ignore[attr-defined]
    print(ctx.config.min_length)  # type: ignore[attr-defined]
    print(ctx.require(extract_text).words)  # type: ignore[attr-defined]
    print(ctx.optional(extract_text).text)  # type: ignore[union-attr]
    ctx.log("LOUD", "x")  # type: ignore[arg-type]
    ctx.progress("half")  # type: ignore[arg-type]
    ctx.limiter.map(len, ["a"])  # type: ignore[misc]
    ctx.input = Document(url="")  # type: ignore[misc]
    return ctx.require(sentiment)  # type: ignore[return-value]


@stage("wrong-config")  # type: ignore[type-var,arg-type]
def wrong_config(ctx: Context[NoInput, int]) -> int:  # type: ignore[type-var]
    return 1


@stage("wrong-context")  # type: ignore[arg-type]
def wrong_context(document: Document) -> int:
    return 1


@stage("wrong-options", retry=3, timeout=5, mode="batch", executor="gpu")  # type: ignore[arg-type]
def wrong_options(ctx: Context[NoInput]) -> int:
    return 1


RetryPolicy(max_attempts="3")  # type: ignore[arg-type]
RetryPolicy(3)  # type: ignore[call-arg]


async def in_a_test() -> None:
    env = StageEnvironment()
    await env.run(extract_text, Extracted(text="", word_count=1))  # type: ignore[misc]
    await env.run(extract_text, Document(url=""), config=Document(url=""))  # type: ignore[misc]
    print((await env.run(extract_text, Document(url=""))).words)  # type: ignore[attr-defined]
    await env.run_workflow(extracted.build(), Extracted(text="", word_count=1))  # type: ignore[misc]
