"""Summarises this project's own pages: one model call for each, many at a time, and a table of what they cost.

    python -m examples.summarise_corpus              # a fake provider; see examples/providers.py for a real one
    OPENAI_API_KEY=... python -m examples.summarise_corpus 5

It runs in this process, without a server; with one, the ledger is the same: `stageline usage --by topic`.
"""

import asyncio
import os
import sys
from pathlib import Path

from pydantic import BaseModel
from rich import print as show
from rich.table import Table

from examples.documents.corpus import PROJECT, project_pages
from examples.providers import model, provider
from stageline_local import LocalHost
from stageline_sdk import Context, RunResult, UsageFilter, UsageSum, Workflow, stage

PAGES = 12
CHARACTERS_MAX = 20_000


class Corpus(BaseModel):
    """The pages to read, as paths."""

    paths: list[Path]


class Summary(BaseModel):
    """What a page says."""

    title: str
    points: list[str]


class Digest(BaseModel):
    """What all of them say."""

    summaries: dict[str, Summary]
    in_short: str


@stage("summarise")
async def summarise(ctx: Context[Corpus]) -> dict[str, Summary]:
    """Asks for a summary of each page, all at once; each call is filed under the page's name."""

    async def summary_of(path: Path) -> tuple[str, Summary]:
        text = (await asyncio.to_thread(path.read_text, encoding="utf-8"))[:CHARACTERS_MAX]
        ai = ctx.ai.child(path.stem)
        answer = await ai.generate_object(f"Summarise this page:\n\n{text}", Summary, model=model())
        return path.name, answer.value

    return dict(await asyncio.gather(*map(summary_of, ctx.input.paths)))


@stage("digest")
async def digest(ctx: Context[dict[str, Summary]]) -> Digest:
    """Asks for one sentence about all of them."""
    titles = "\n".join(each.title for each in ctx.input.values())
    answer = await ctx.ai.generate_text(f"What is this project, in one sentence?\n\n{titles}", model=model())
    return Digest(summaries=ctx.input, in_short=answer.text)


corpus = Workflow("summarise-corpus", input=Corpus).pipe(summarise).pipe(digest).build()


def table_of(sums: list[UsageSum]) -> Table:
    """What was paid for, the dearest first."""
    table = Table("what for", "calls", "tokens in", "tokens out", "USD", title="What it cost")
    for each in sums:
        cost = f"{each.cost_usd:f}" + (" + unknown" if each.unknown_cost_count else "")
        row = (each.group[0], each.call_count, each.input_tokens, each.output_tokens, cost)
        table.add_row(*map(str, row))
    return table


async def main(pages: int = PAGES) -> RunResult:
    """Summarises so many pages and shows what came of it."""
    with provider() as variables:
        os.environ |= variables
        async with LocalHost(corpus) as host:
            result = await host.run_and_wait(Corpus(paths=project_pages(PROJECT)[:pages]))
            sums = await host.client.usage.aggregate(UsageFilter(run_id=result.run_id), by=["topic"])
            run = await host.client.get_run(result.run_id)
    show(result.output["in_short"] if result.output else result.error)
    show(table_of(list(sums)))
    print(f"{run.ai_call_count} calls, {run.total_cost_usd:f} USD")
    return result


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:2])))
