"""Config models to build a stage's own config on: what many stages need, under the same names and with the same limits.

    class SummariseConfig(StandardConfig):
        style: str = "plain"

    @stage("summarise")
    async def summarise(ctx: Context[Pages, SummariseConfig]) -> list[str]:
        return await ctx.limiter.gather(ctx.config.summary_of, ctx.input.pages)

Each may be mixed with others, `class MyConfig(AIConfig, DebugConfig)`, and every field may be set by a run. What a preset
promises, it does: see each one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AICallDefaults",
    "AIConfig",
    "ConcurrencyConfig",
    "DebugConfig",
    "FeatureFlagsConfig",
    "FullConfig",
    "MinimalAIConfig",
    "StandardConfig",
    "ai_call_defaults",
]

AI_MODEL_DEFAULT = "gemini-2.5-flash"
CONCURRENCY_MAX = 1_000
DELAY_MS_MAX = 3_600_000
RETRIES_MAX = 100


class MinimalAIConfig(BaseModel):
    """Which model a stage calls, and how freely it answers.

    Attributes:
        model: Key of a model. Default: gemini-2.5-flash.
        temperature: 0 to 2. Default: 0.7.
    """

    model_config = ConfigDict(frozen=True)

    model: str = Field(
        default=AI_MODEL_DEFAULT, min_length=1, max_length=255, description="Key of the model to call."
    )
    temperature: float = Field(default=0.7, ge=0, le=2, description="How freely the model answers.")


class AIConfig(MinimalAIConfig):
    """The same, and how long its answers may be.

    Attributes:
        max_tokens: Tokens of one answer at most, 1 or more. Default: None, which leaves it to the model.
    """

    max_tokens: int | None = Field(default=None, gt=0, description="Tokens of one answer at most.")


class ConcurrencyConfig(BaseModel):
    """How hard a stage may press on what it calls. `ctx.limiter` keeps to it.

    Attributes:
        concurrency: Calls at once, 1 to 1,000. Default: 5.
        delay_ms: The shortest time between the starts of two calls, in milliseconds, at most an hour. Default: 0.
        max_retries: How often a call that raised RetryableError is made again, at most 100. Default: 3.
    """

    model_config = ConfigDict(frozen=True)

    concurrency: int = Field(default=5, ge=1, le=CONCURRENCY_MAX, description="Calls at once.")
    delay_ms: int = Field(
        default=0, ge=0, le=DELAY_MS_MAX, description="Milliseconds between the starts of two calls."
    )
    max_retries: int = Field(
        default=3, ge=0, le=RETRIES_MAX, description="How often a failed call is made again."
    )


class FeatureFlagsConfig(BaseModel):
    """Switches, by name.

    Attributes:
        feature_flags: Whether each one is on. Default: none is set.
    """

    model_config = ConfigDict(frozen=True)

    feature_flags: Mapping[str, bool] = Field(default_factory=dict, description="Switches, by name.")

    def is_enabled(self, name: str, *, default: bool = False) -> bool:
        """Whether a switch is on.

        Args:
            name: The switch.
            default: What a switch is that nobody has set.
        """
        return self.feature_flags.get(name, default)


class DebugConfig(BaseModel):
    """How much a stage says, and whether it acts.

    Attributes:
        verbose: Whether the stage's DEBUG lines are kept. Default: False. A stage without this preset keeps them all.
        dry_run: What `ctx.dry_run` is, which a stage asks before it changes anything outside. Default: False.
    """

    model_config = ConfigDict(frozen=True)

    verbose: bool = Field(default=False, description="Keep DEBUG lines.")
    dry_run: bool = Field(default=False, description="Change nothing outside.")


class StandardConfig(AIConfig, ConcurrencyConfig, FeatureFlagsConfig):
    """A model, a bound on calls to it, and switches: AIConfig, ConcurrencyConfig and FeatureFlagsConfig in one."""


class FullConfig(StandardConfig, DebugConfig):
    """StandardConfig and DebugConfig in one."""


@dataclass(frozen=True, slots=True)
class AICallDefaults:
    """What a stage's config says of its AI calls, for whatever makes them. None leaves a setting to the call.

    Attributes:
        model: Key of a model.
        temperature: 0 to 2.
        max_tokens: Tokens of one answer at most.
        max_retries: How often a call that failed for a moment is made again.
        concurrency: Calls at once.
    """

    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_retries: int | None = None
    concurrency: int | None = None


def ai_call_defaults(config: BaseModel) -> AICallDefaults:
    """Return what a config says of AI calls: the fields of the presets that it is built on, None for all others."""
    ai = config if isinstance(config, MinimalAIConfig) else None
    bounds = config if isinstance(config, ConcurrencyConfig) else None
    return AICallDefaults(
        model=ai.model if ai else None,
        temperature=ai.temperature if ai else None,
        max_tokens=config.max_tokens if isinstance(config, AIConfig) else None,
        max_retries=bounds.max_retries if bounds else None,
        concurrency=bounds.concurrency if bounds else None,
    )
