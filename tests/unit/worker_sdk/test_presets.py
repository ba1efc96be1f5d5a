"""Config presets: their fields and limits, and that those which promise behaviour behave."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from stageline_sdk import Context, DefinitionError, NoInput, Workflow, stage
from stageline_sdk.presets import (
    AICallDefaults,
    AIConfig,
    ConcurrencyConfig,
    DebugConfig,
    FeatureFlagsConfig,
    FullConfig,
    MinimalAIConfig,
    StandardConfig,
    ai_call_defaults,
)
from stageline_sdk.testing import StageEnvironment

AI = {"model": "gemini-2.5-flash", "temperature": 0.7, "max_tokens": None}
BOUNDS = {"concurrency": 5, "delay_ms": 0, "max_retries": 3}
FLAGS: dict[str, Any] = {"feature_flags": {}}
DEBUG = {"verbose": False, "dry_run": False}


class PagesConfig(FullConfig):
    style: str = "plain"


@stage("pages")
async def pages(ctx: Context[NoInput, PagesConfig]) -> dict[str, Any]:
    async def upper(word: str) -> str:
        return word.upper()

    ctx.log.debug("detail")
    ctx.log.info("told")
    return {
        "words": await ctx.limiter.gather(upper, ["a", "b"]),
        "dry": ctx.dry_run,
        "new": ctx.config.is_enabled("new-parser"),
        "style": ctx.config.style,
    }


@stage("sync-pages")
def sync_pages(ctx: Context[NoInput, StandardConfig]) -> list[str]:
    ctx.log.debug("detail")
    return ctx.limiter.map(str.upper, ["a", "b"])


@pytest.mark.parametrize(
    ("preset", "fields"),
    [
        (MinimalAIConfig, {"model": AI["model"], "temperature": AI["temperature"]}),
        (AIConfig, AI),
        (ConcurrencyConfig, BOUNDS),
        (FeatureFlagsConfig, FLAGS),
        (DebugConfig, DEBUG),
        (StandardConfig, AI | BOUNDS | FLAGS),
        (FullConfig, AI | BOUNDS | FLAGS | DEBUG),
    ],
)
def test_fields_and_defaults(preset: type[BaseModel], fields: dict[str, Any]) -> None:
    assert preset().model_dump() == fields


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("temperature", [0, 2], [-0.1, 2.1]),
        ("max_tokens", [1], [0]),
        ("model", ["m" * 255], ["", "m" * 256]),
        ("concurrency", [1, 1_000], [0, 1_001]),
        ("delay_ms", [0, 3_600_000], [-1, 3_600_001]),
        ("max_retries", [0, 100], [-1, 101]),
    ],
)
def test_limits(field: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(FullConfig(**{field: value}), field) == value
    for value in bad:
        with pytest.raises(ValidationError):
            FullConfig(**{field: value})


def test_a_workflow_tells_the_server_defaults_and_limits() -> None:
    workflow = Workflow("reader", input=NoInput).pipe(pages).build()
    assert workflow.stages[0].default_config == AI | BOUNDS | FLAGS | DEBUG | {"style": "plain"}
    bounds = workflow.stages[0].config_schema["properties"]["concurrency"]
    assert (bounds["minimum"], bounds["maximum"]) == (1, 1_000)


async def test_presets_behave_in_a_stage() -> None:
    env = StageEnvironment()
    told = await env.run(pages)
    assert told == {"words": ["A", "B"], "dry": False, "new": False, "style": "plain"}
    assert [record.message for record in env.logs] == ["told"]


async def test_a_run_sets_them() -> None:
    env = StageEnvironment()
    config = PagesConfig(verbose=True, dry_run=True, feature_flags={"new-parser": True})
    told = await env.run(pages, config=config)
    assert (told["dry"], told["new"]) == (True, True)
    assert [record.message for record in env.logs] == ["detail", "told"]


async def test_plain_stages_have_them_too_and_keep_debug_lines_without_the_preset() -> None:
    env = StageEnvironment()
    assert await env.run(sync_pages) == ["A", "B"]
    assert [record.message for record in env.logs] == ["detail"]


def test_switches_are_asked_by_name() -> None:
    config = FeatureFlagsConfig(feature_flags={"on": True, "off": False})
    assert config.is_enabled("on")
    assert not config.is_enabled("off", default=True)
    assert not config.is_enabled("unknown")
    assert config.is_enabled("unknown", default=True)


async def test_a_limiter_needs_its_preset() -> None:
    @stage("unbounded")
    async def unbounded(ctx: Context[NoInput, DebugConfig]) -> int:
        return len(await ctx.limiter.gather(abs_later, [1]))  # type: ignore[misc]

    async def abs_later(number: int) -> int:
        return abs(number)

    with pytest.raises(DefinitionError, match=r"'unbounded': ctx.limiter needs a config that is a Concurr"):
        await StageEnvironment().run(unbounded)


def test_what_a_config_says_of_ai_calls() -> None:
    assert ai_call_defaults(StandardConfig(model="m", max_tokens=9, concurrency=2)) == AICallDefaults(
        model="m", temperature=0.7, max_tokens=9, max_retries=3, concurrency=2
    )
    assert ai_call_defaults(MinimalAIConfig(temperature=0)) == AICallDefaults(
        model="gemini-2.5-flash", temperature=0
    )
    assert ai_call_defaults(DebugConfig()) == AICallDefaults()
