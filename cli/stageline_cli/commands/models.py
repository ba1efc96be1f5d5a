"""`stageline models`: which AI models stages can call."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stageline_sdk.ai import AiModel, ModelPrices, ModelRegistry


@click.group(context_settings={"max_content_width": 100})
def models() -> None:
    """List the AI models that workers can call."""


@models.command("list")
@click.argument("target", metavar="[MODULE:ATTRIBUTE]", default="")
@click.option("--embeddings", is_flag=True, help="Only those that turn texts into vectors.")
@click.option("--batches", is_flag=True, help="Only those that a provider runs batches of.")
@click.option("--json", "as_json", is_flag=True, help="Print the models as a JSON array.")
def list_(target: str, embeddings: bool, batches: bool, as_json: bool) -> None:
    """List the models of a registry, or of a worker, by key; without one, those that every worker has.

    Prices are in US dollars for a million tokens: registered ones, else those of the installed list (pip install 'stageline[ai]').
    READY says whether this machine has an API key for it.

    \b
    Examples:
      stageline models list
      stageline models list my_module:worker --batches
      stageline models list my_module:models --json | jq '.[].key'
    """  # noqa: D301 - click reads the control character
    from rich.markup import escape

    from stageline_cli.loading import load_models
    from stageline_cli.output import print_json, stdout, table
    from stageline_sdk.ai import ModelRegistry

    registry = load_models(target) if target else ModelRegistry()
    chosen = sorted(
        (
            each
            for each in registry
            if (each.is_embedding or not embeddings) and (each.batch_route is not None or not batches)
        ),
        key=lambda each: each.key,
    )
    if as_json:
        print_json([_as_json(registry, each) for each in chosen])
        return
    shown = table("MODEL", "PROVIDER", "KIND", "#INPUT", "#CACHED", "#OUTPUT", "#IN BATCHES", "READY")
    for each in chosen:
        prices = _prices(registry, each)
        shown.add_row(
            escape(each.key),
            escape(each.provider),
            "embedding" if each.is_embedding else "text",
            *map(_dollars, _amounts(prices)),
            _discount(each, prices),
            "yes" if _is_ready(registry, each) else "no key",
        )
    stdout().print(shown)


def _as_json(registry: "ModelRegistry", model: "AiModel") -> dict[str, Any]:
    prices = _prices(registry, model)
    given, cached, written = map(_number, _amounts(prices))
    route = model.batch_route
    return {
        "key": model.key,
        "provider": model.provider,
        "model_id": model.model_id,
        "is_embedding": model.is_embedding,
        "batch_provider": route.provider if route else None,
        "input_usd_per_million": given,
        "cached_input_usd_per_million": cached,
        "output_usd_per_million": written,
        "batch_discount": None if prices is None else _number(prices.batch_discount),
        "is_ready": _is_ready(registry, model),
        "description": model.description,
    }


def _prices(registry: "ModelRegistry", model: "AiModel") -> "ModelPrices | None":
    from stageline_sdk.ai import MissingExtraError

    try:
        return registry.prices(model.key)
    except MissingExtraError:
        return None


def _amounts(prices: "ModelPrices | None") -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Returns the prices of input, cached input and output."""
    return (None, None, None) if prices is None else (prices.input, prices.cached_input, prices.output)


def _is_ready(registry: "ModelRegistry", model: "AiModel") -> bool:
    from stageline_sdk.ai import MissingKeyError

    if model.provider in registry.resolvers:
        return True
    try:
        registry.api_key(model, model.provider)
    except MissingKeyError:
        return False
    return True


def _discount(model: "AiModel", prices: "ModelPrices | None") -> str:
    if model.batch_route is None:
        return "-"
    return "?" if prices is None else f"-{prices.batch_discount:.0%}"


def _dollars(price: Decimal | None) -> str:
    return "?" if price is None else f"{price:.2f}" if price == round(price, 2) else format(price, "f")


def _number(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")
