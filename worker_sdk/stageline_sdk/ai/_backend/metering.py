"""Sees every request that a call sends to its model, and what each one took."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from pydantic_ai import RunContext
from pydantic_ai.embeddings import EmbeddingResult
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from stageline_sdk._backoff import Backoff
from stageline_sdk.ai._backend.failures import is_transient, may_have_cost, retry_after
from stageline_sdk.ai._backend.prices import Price, price_of
from stageline_sdk.ai.models import AiModel
from stageline_sdk.ai.records import CostSource
from stageline_sdk.limiter import RETRY_WAIT_FIRST, RETRY_WAIT_MAX

T = TypeVar("T")

_COUNTS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_input_tokens": "cache_read_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
}


@dataclass(slots=True)
class Meter:
    """What the requests of one call took so far.

    Attributes:
        model: The model.
        responses: What was answered, in order.
        sent: Requests that were sent, also those that failed.
        retried: Those of them that were sent again after a failure.
        begun: Called before the first request is sent.
        is_dry: Whether no model is called at all.
        unmeasured: Those that may be on the provider's bill, with an amount that nobody told.
    """

    model: AiModel
    is_dry: bool = False
    responses: list[ModelResponse | EmbeddingResult] = field(default_factory=list)
    sent: int = 0
    retried: int = 0
    unmeasured: int = 0
    begun: Callable[[], None] = lambda: None
    _prices: list[Price] = field(default_factory=list)

    def answered(self, response: ModelResponse | EmbeddingResult) -> None:
        """Take a response, complete or not."""
        self.responses.append(response)
        price = price_of(response, self.model.prices)
        if price is not None:
            self._prices.append(price)
        if price is None or _is_cut_off(response):
            self.unmeasured += 1

    def failed(self, error: BaseException) -> None:
        """Take the end of a request that has no response."""
        if may_have_cost(error):
            self.unmeasured += 1

    @property
    def cost_usd(self) -> Decimal | None:
        """What is known of the cost, a lower bound where `unmeasured` is not 0; None where nothing is known."""
        if self.is_dry:
            return Decimal(0)
        if not self._prices:
            return None if self.unmeasured or not self.sent else Decimal(0)
        return sum((price.usd for price in self._prices), Decimal(0))

    @property
    def cost_source(self) -> CostSource:
        """Where the cost comes from; of several sources the one that is least sure."""
        sources = {price.source for price in self._prices}
        order: tuple[CostSource, ...] = ("price-list", "caller", "provider")
        return next((each for each in order if each in sources), "price-list")

    def tokens(self, name: str) -> int | None:
        """Return the sum of one of the counts; None where no response told it."""
        if self.is_dry:
            return 0
        measured = [each.usage for each in self.responses if not each.usage.unmeasured_requests]
        return sum(getattr(each, _COUNTS[name]) for each in measured) if measured else None

    @property
    def last(self) -> ModelResponse | None:
        """The last response of a model that writes."""
        return next((each for each in reversed(self.responses) if isinstance(each, ModelResponse)), None)


def _is_cut_off(response: ModelResponse | EmbeddingResult) -> bool:
    return isinstance(response, ModelResponse) and response.state in {"incomplete", "interrupted"}


async def with_retries(send: Callable[[], Awaitable[T]], meter: Meter, retries_max: int) -> T:
    """Send a request, and again where it failed for a moment.

    It waits as long as the provider asks; where that is too long to sit and wait, the failure is raised, and the stage's
    retry policy does the waiting.
    """
    waits = Backoff(RETRY_WAIT_FIRST, RETRY_WAIT_MAX)
    for retries_left in reversed(range(retries_max + 1)):
        if not meter.sent:
            meter.begun()
        meter.sent += 1
        try:
            return await send()
        except BaseException as error:
            meter.failed(error)
            asked = retry_after(error)
            is_too_long = asked is not None and asked > RETRY_WAIT_MAX
            if not retries_left or is_too_long or not is_transient(error):
                raise
        meter.retried += 1
        await asyncio.sleep(waits.next_seconds() if asked is None else asked.total_seconds())
    raise AssertionError("unreachable")


class MeteredModel(WrapperModel):
    """A model whose requests are metered, and sent again where that helps."""

    def __init__(self, wrapped: Model, meter: Meter, retries_max: int) -> None:
        super().__init__(wrapped)
        self._meter = meter
        self._retries_max = retries_max

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Send a request."""

        async def send() -> ModelResponse:
            return await self.wrapped.request(messages, model_settings, model_request_parameters)

        response = await with_retries(send, self._meter, self._retries_max)
        self._meter.answered(response)
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Send a request whose answer comes in pieces; it is sent again only while no piece has come."""
        async with AsyncExitStack() as stack:

            async def send() -> StreamedResponse:
                return await stack.enter_async_context(
                    self.wrapped.request_stream(
                        messages, model_settings, model_request_parameters, run_context
                    )
                )

            stream = await with_retries(send, self._meter, self._retries_max)
            try:
                yield stream
            finally:
                self._meter.answered(stream.get())
