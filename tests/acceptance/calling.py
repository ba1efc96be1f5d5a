"""A worker whose stages call models: one answer, one stream, one batch; and then wait where they are told to."""

from datetime import timedelta

from stageline_sdk import Context, NoInput, Worker, Workflow, stage
from stageline_sdk.ai import BatchResults, ai_batch_stage
from tests.acceptance.workflows import GATE_WITHIN, Order, began, gate_of
from tests.waiting import eventually


async def pass_gate(order: Order) -> None:
    """Waits until the gate is open."""

    async def is_open() -> bool:
        return gate_of(order).exists()

    await eventually(is_open, what="the gate", within=GATE_WITHIN)


@stage("text")
async def text(ctx: Context[Order]) -> str:
    """Asks, and has the answer in hand when it comes to the gate."""
    answer = await ctx.ai.generate_text(f"text of {ctx.run_id}", model="gpt-5-mini")
    if began(ctx, ctx.input):
        await pass_gate(ctx.input)
    return answer.text


@stage("stream")
async def stream(ctx: Context[Order]) -> str:
    """Reads an answer as it is written."""
    async with ctx.ai.stream_text(f"stream of {ctx.run_id}", model="claude-haiku-4-5") as pieces:
        return "".join([piece async for piece in pieces])


def questions(ctx: Context[Order]) -> dict[str, str]:
    """Asks two things at once, and keeps the order for the gate."""
    ctx.storage.put_json("order", ctx.input)
    return {"a": "a?", "b": "b?"}


@ai_batch_stage("batch", str, prompts=questions, model="gpt-5-mini", poll_interval=timedelta(seconds=1))
async def batch(ctx: Context[NoInput], results: BatchResults[str]) -> int:
    """Has all results in hand when it comes to the gate."""
    order = Order.model_validate(await ctx.async_storage.get_json("order"))
    if began(ctx, order):
        await pass_gate(order)
    return len(results.outputs)


worker = Worker(*[Workflow(each.id, input=Order).pipe(each).build() for each in (text, stream, batch)])
