"""A worker whose stage spends money, says so, and then waits where it is told to."""

from stageline_sdk import Context, Worker, Workflow, stage
from tests.acceptance.workflows import GATE_WITHIN, Order, began, gate_of
from tests.waiting import eventually


@stage("spend")
async def spend(ctx: Context[Order]) -> int:
    """Spends a quarter of a dollar in each delivery."""
    ctx.ai.record_call(model="fast", cost_usd="0.25", input_tokens=10, output_tokens=5)
    if began(ctx, ctx.input):
        gate = gate_of(ctx.input)

        async def is_open() -> bool:
            return gate.exists()

        await eventually(is_open, what="the gate", within=GATE_WITHIN)
    return 1


worker = Worker(Workflow("spender", input=Order).pipe(spend).build())
