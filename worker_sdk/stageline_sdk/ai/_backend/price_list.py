"""The list of prices that is installed: what it says of a model, and how it is kept up to date."""

from collections.abc import Callable
from decimal import Decimal

from genai_prices import UpdatePrices, Usage, calc_price

from stageline_sdk.ai.models import ModelPrices

_THOUSAND = 1_000
"""Tokens to price one by one thousand: a million in one request would be of a dearer tier with some models."""


def keep_up_to_date(url: str) -> Callable[[], None]:
    """Fetch the list now and every hour, in a thread, and return what ends it. A failure is logged; the last list counts.

    There is one list in a process: of several addresses the last one counts.
    """
    updater = UpdatePrices(url=url)
    updater.start()
    return updater.stop


def listed_prices(provider: str, model_id: str) -> ModelPrices | None:
    """Return what the list says of a model, for requests of usual length; None where it does not have it."""

    def of_million(usage: Usage, context: dict[str, str] | None = None) -> Decimal:
        price = calc_price(usage, model_id, provider_id=provider, price_context=context)
        return Decimal(price.total_price * _THOUSAND).normalize() + 0

    try:
        written = of_million(Usage(input_tokens=_THOUSAND))
        in_batch = of_million(Usage(input_tokens=_THOUSAND), {"processing": "batch"})
        return ModelPrices(
            input=written,
            output=of_million(Usage(output_tokens=_THOUSAND)),
            cached_input=of_million(Usage(input_tokens=_THOUSAND, cache_read_tokens=_THOUSAND)),
            batch_discount=1 - in_batch / written if written else Decimal(0),
        )
    except LookupError:
        return None
