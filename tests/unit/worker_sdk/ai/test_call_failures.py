"""What goes wrong with calls: what is tried again, what is raised, and that nothing spent is forgotten."""

import asyncio
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelOverloadedError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
)
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo

from stageline_sdk import NonRetryableError, RetryableError, StageCancelledError
from stageline_sdk.ai import (
    KeyRefusedError,
    MissingKeyError,
    ModelRegistry,
    PromptTooLongError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitedError,
    RequestRefusedError,
    UnknownModelError,
)
from stageline_sdk.cancellation import CancelSource
from tests.unit.worker_sdk.ai.scripted import Desk, busy, desk, registry_of, response


async def test_a_rate_limit_is_waited_out_and_shown_in_the_record() -> None:
    made = desk(busy(), busy(), response("x"))
    assert (await made.ai.generate_text("?")).text == "x"
    assert (made.record.metadata["requests"], made.record.metadata["retries"]) == (3, 2)
    assert made.record.cost_usd == Decimal("0.00056")


async def test_when_retries_are_used_up_the_stage_learns_when_to_come_back() -> None:
    made = desk(busy())
    with pytest.raises(RateLimitedError, match="model 'm': slow down") as caught:
        await made.ai.generate_text("?", max_retries=1)
    assert isinstance(caught.value, RetryableError)
    assert caught.value.retry_after == timedelta(0)
    # A request that the provider refused is not on its bill.
    assert (made.record.cost_usd, made.record.metadata["requests"]) == (Decimal(0), 2)
    assert made.record.error.startswith("RateLimitedError")


async def test_a_wait_that_is_too_long_is_left_to_the_stage() -> None:
    made = desk(busy(3600), response("x"))
    with pytest.raises(RateLimitedError) as caught:
        await made.ai.generate_text("?")
    assert caught.value.retry_after == timedelta(hours=1)
    assert made.record.metadata["requests"] == 1


@pytest.mark.parametrize(
    ("error", "kind", "is_final"),
    [
        (ModelHTTPError(500, "m"), ProviderUnavailableError, False),
        (ModelOverloadedError("m", "overloaded"), ProviderUnavailableError, False),
        (ModelConnectionError("m", "refused", phase="connect"), ProviderUnavailableError, False),
        (ModelHTTPError(429, "m"), RateLimitedError, False),
        (ModelQuotaExceededError("m", "no money"), QuotaExceededError, True),
        (ModelAuthenticationError("m", "bad key"), KeyRefusedError, True),
        (ModelContextWindowExceededError("m", "too long"), PromptTooLongError, True),
        (ModelRequestRejectedError("m", "bad request"), RequestRefusedError, True),
        (ModelHTTPError(422, "m"), RequestRefusedError, True),
        (ModelAPIError("m", "nobody knows"), ProviderUnavailableError, False),
    ],
)
async def test_failures_of_providers_are_our_own_errors(
    error: Exception, kind: type[Exception], is_final: bool
) -> None:
    made = desk(error)
    with pytest.raises(kind) as caught:
        await made.ai.generate_text("?", max_retries=0)
    assert isinstance(caught.value, NonRetryableError if is_final else RetryableError)
    assert caught.value.__cause__ is error
    assert made.record.error.startswith(kind.__name__)


async def test_a_connection_that_broke_after_the_request_may_have_cost_something() -> None:
    made = desk(ModelConnectionError("m", "reset", phase="read"))
    with pytest.raises(ProviderUnavailableError):
        await made.ai.generate_text("?", max_retries=0)
    assert made.record.cost_usd is None
    assert made.record.metadata["unmeasured_requests"] == 1


async def test_a_step_that_failed_later_leaves_what_the_first_one_cost() -> None:
    def tool() -> str:
        """Do something."""
        raise ModelConnectionError("m", "reset", phase="connect")

    made = desk(response(ToolCallPart("tool", {})))
    with pytest.raises(ProviderUnavailableError):
        await made.ai.generate_text("?", tools=[tool])
    assert made.record.cost_usd == Decimal("0.00056")


async def test_an_error_of_the_users_own_tool_passes_as_it_is() -> None:
    def tool() -> str:
        """Do something."""
        raise KeyError("mine")

    made = desk(response(ToolCallPart("tool", {})))
    with pytest.raises(KeyError, match="mine"):
        await made.ai.generate_text("?", tools=[tool])
    assert made.record.cost_usd == Decimal("0.00056")


async def test_an_unknown_model_names_its_neighbours_and_sends_nothing() -> None:
    made = Desk(ModelRegistry())
    with pytest.raises(UnknownModelError, match="did you mean 'gpt-5-mini'") as caught:
        await made.ai.generate_text("?", model="gpt5-mini")
    assert caught.value.near[0] == "gpt-5-mini"
    assert made.records == []


@pytest.mark.parametrize(
    ("key", "variable"),
    [
        ("gpt-5-mini", "OPENAI_API_KEY"),
        ("claude-haiku-4-5", "ANTHROPIC_API_KEY"),
        ("gemini-2.5-flash", "GOOGLE_API_KEY"),
    ],
)
async def test_a_missing_key_is_told_at_the_first_call_with_the_variable_to_set(
    key: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (variable, "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    made = Desk(ModelRegistry())
    with pytest.raises(MissingKeyError, match=f"set the environment variable {variable}") as caught:
        await made.ai.generate_text("?", model=key)
    assert caught.value.variables[0] == variable
    assert made.records == []


class Waiting:
    """A model that never answers."""

    def __init__(self) -> None:
        self.began = threading.Event()

    async def answer(self, _messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        self.began.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def test_a_cancelled_task_ends_its_call_which_is_booked_with_an_unknown_cost() -> None:
    waiting = Waiting()
    made = Desk(registry_of(waiting.answer))
    task = asyncio.create_task(made.ai.generate_text("?"))
    await asyncio.to_thread(waiting.began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made.record.cost_usd is None
    assert made.record.error == "the call was ended before its answer was complete"


def test_a_cancelled_job_ends_the_call_of_a_plain_stage() -> None:
    waiting, source = Waiting(), CancelSource()
    made = Desk(registry_of(waiting.answer), cancelled=source)

    def cancel() -> None:
        waiting.began.wait()
        source.cancel("the run was cancelled")

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(StageCancelledError, match="the run was cancelled"):
        made.ai.sync.generate_text("?")
    thread.join()
    assert made.record.error == "the call was ended before its answer was complete"
    made.ai._scope.runtime.portal.close(_nothing)


async def _nothing() -> None:
    pass


async def test_nothing_is_sent_for_work_that_is_not_wanted_any_more() -> None:
    source = CancelSource()
    source.cancel("too late")
    made = desk(response("x"), cancelled=source)
    with pytest.raises(StageCancelledError):
        await made.ai.generate_text("?")
    assert made.records == []
