r"""One workflow whose stages run in three languages: `count` in Go, `letters` in TypeScript, the others here.

This worker registers the workflow, with the types of all stages, and runs `title` and `summarize`. In other terminals, against
the same server:

    stageline worker examples.polyglot:worker
    cd worker_sdk/go && go run ./examples/polyglot
    cd worker_sdk/typescript && node dist/examples/polyglot.js
    stageline run start polyglot --input '{"body": "A Title\n\nand some text"}' --wait
"""

from typing import NoReturn

from pydantic import BaseModel

from stageline_sdk import Context, NoInput, NonRetryableError, RetryPolicy, Worker, Workflow, stage


class Text(BaseModel):
    body: str


class Counts(BaseModel):
    words: int
    lines: int


class Letters(BaseModel):
    count: int
    most_frequent: str


class Summary(BaseModel):
    title: str
    words: int
    lines: int
    letters: int
    most_frequent: str


@stage("count", retry=RetryPolicy(max_attempts=1))
def count(ctx: Context[Text]) -> Counts:
    """Runs in worker_sdk/go/examples/polyglot; its types are declared here."""
    runs_elsewhere(ctx)


@stage("letters", retry=RetryPolicy(max_attempts=1))
def letters(ctx: Context[Text]) -> Letters:
    """Runs in worker_sdk/typescript/examples/polyglot.ts; its types are declared here."""
    runs_elsewhere(ctx)


@stage("title")
def title(ctx: Context[Text]) -> str:
    return next((line.strip() for line in ctx.input.body.splitlines() if line.strip()), "")


@stage("summarize", dependencies=[count, letters, title])
def summarize(ctx: Context[NoInput]) -> Summary:
    counted, found = ctx.require(count), ctx.require(letters)
    return Summary(
        title=ctx.require(title),
        words=counted.words,
        lines=counted.lines,
        letters=found.count,
        most_frequent=found.most_frequent,
    )


def runs_elsewhere(ctx: Context[Text]) -> NoReturn:
    raise NonRetryableError(f"stage {ctx.stage_id!r} was given to a worker that only declares it")


polyglot = Workflow("polyglot", input=Text).parallel(count, letters, title).pipe(summarize).build()
worker = Worker(polyglot, stages=[title, summarize], name="polyglot-python")
