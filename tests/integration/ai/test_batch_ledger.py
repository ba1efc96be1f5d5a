"""A batch is booked once in the ledger, however often it is fetched: what the provider charged is what the run cost."""

from datetime import timedelta

from stageline_local import run_local
from stageline_sdk import Context, NoInput, RetryPolicy, RunStatus, Workflow
from stageline_sdk.ai import BatchResults, ModelRegistry, ai_batch_stage
from stageline_sdk.ai.testing import Asked, Failure, FakeProvider, Reply, Tokens

SOON = RetryPolicy(max_attempts=3, initial_backoff=timedelta(milliseconds=1))
HANDED_OVER: list[int] = []


def questions(ctx: Context[list[str]]) -> dict[str, str]:
    return {name: name for name in ctx.input}


@ai_batch_stage(
    "ask", int, prompts=questions, model="gpt-5-mini", retry=SOON, poll_interval=timedelta(seconds=1)
)
async def ask(ctx: Context[NoInput], results: BatchResults[int]) -> dict[str, int]:
    HANDED_OVER.append(len(results))
    if len(HANDED_OVER) < 2:
        raise ValueError("a mistake of the stage's own")
    return dict(results.outputs)


def test_results_that_were_fetched_twice_are_booked_once_and_nothing_is_submitted_again() -> None:
    """The first attempt fails after the fetch; of two batches the second repeats what the first failed for a moment."""
    HANDED_OVER.clear()
    busy = [True]

    def answer(asked: Asked) -> Reply | Failure:
        if asked.prompt == "busy" and busy:
            busy.clear()
            return Failure(status=503)
        return Reply(value={"response": 7}, tokens=Tokens(input=1000, output=200))

    with FakeProvider(answer) as fake:
        models = ModelRegistry(base_urls={"openai": fake.base_url("openai")}, api_keys={"openai": "k"})
        workflow = Workflow("asker", input=list[str]).pipe(ask).build()
        result = run_local(workflow, ["a", "busy"], models=models)
    assert (result.run.status, result.run.error, result.output) == (
        RunStatus.COMPLETED,
        None,
        {"a": 7, "busy": 7},
    )
    assert (len(fake.batches), HANDED_OVER) == (2, [2, 2])
    assert (result.run.total_cost_usd, result.run.ai_call_count) == (fake.bill.total_usd, 3)
