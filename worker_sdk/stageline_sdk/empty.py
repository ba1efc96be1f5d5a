"""What a stage says when it takes no input or no config."""

from pydantic import BaseModel, ConfigDict


class NoInput(BaseModel):
    """The input of a stage that does not read its input: `ctx: Context[NoInput]`.

    Whatever the stages before it write is accepted, be it an object, a list, a string or null, and is not read.
    Such a stage takes what it needs with `ctx.require()`.
    """

    model_config = ConfigDict(frozen=True)


class NoConfig(BaseModel):
    """The config of a stage that has none. A run that sends it config is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
