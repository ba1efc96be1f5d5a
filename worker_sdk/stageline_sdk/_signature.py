"""What a stage function's annotations say: its input, output and config types."""

import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

from stageline_sdk.context import Context
from stageline_sdk.errors import DefinitionError
from stageline_sdk.suspension import StillWaiting, Suspended

_EXAMPLE = "write it as `async def extract(ctx: Context[Document, ExtractConfig]) -> Extracted:`"


@dataclass(frozen=True, slots=True)
class StageSignature:
    """The types that a stage function declares.

    Attributes:
        input_type: The first argument of `Context[...]`.
        config_type: The second one; NoConfig if unsaid.
        output_type: The return type, without Suspended; None stands for JSON's null.
        may_suspend: Whether the return type names Suspended.
        is_async: Whether it is an `async def`.
    """

    input_type: Any
    config_type: type[BaseModel]
    output_type: Any
    may_suspend: bool
    is_async: bool


def read_signature(function: Callable[..., Any], stage_id: str, names: Mapping[str, Any]) -> StageSignature:
    """Read the types of a stage function.

    Args:
        function: The decorated function.
        stage_id: For messages.
        names: Local names where the function is defined, in which its annotations may be written.

    Raises:
        DefinitionError: It is not a plain function of one `ctx`, or an annotation is missing or not usable.
    """
    where = f"stage {stage_id!r}"
    require_plain_function(function, where)
    (ctx, *others) = _parameters(function, where)
    if others:
        raise DefinitionError(
            f"{where}: {_name(function)} takes more than `ctx` ({', '.join(p.name for p in others)}); "
            "take other values from ctx.input, ctx.config or ctx.require()"
        )
    hints = resolve_hints(function, names, where)
    input_type, config_type = read_context(hints.get(ctx.name), ctx.name, where)
    output, may_suspend = _output(hints, where)
    return StageSignature(input_type, config_type, output, may_suspend, inspect.iscoroutinefunction(function))


def read_check_state(function: Callable[..., Any], stage_id: str, names: Mapping[str, Any]) -> Any:
    """Return the type of the `state` parameter of a check function, Any if it has no annotation.

    Raises:
        DefinitionError: It is not a plain function of `ctx` and `state`.
    """
    where = f"the check of stage {stage_id!r}"
    require_plain_function(function, where)
    parameters = _parameters(function, where)
    if len(parameters) != 2:
        raise DefinitionError(f"{where}: {_name(function)} must take two parameters, `ctx` and `state`")
    hints = resolve_hints(function, names, where)
    read_context(hints.get(parameters[0].name), parameters[0].name, where)
    return hints.get(parameters[1].name, Any)


def require_plain_function(function: Callable[..., Any], where: str) -> None:
    """Refuse what is not a `def` or `async def`.

    Raises:
        DefinitionError: It is a class, a partial, a generator or another callable.
    """
    if not inspect.isfunction(function):
        raise DefinitionError(
            f"{where}: decorate a plain `def` or `async def` function, not {_name(function)}"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(
            f"{where}: {_name(function)} yields; return one value, and report progress with ctx.progress()"
        )


def resolve_hints(function: Callable[..., Any], names: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a function's annotations as types, also those that are written as strings.

    Raises:
        DefinitionError: A name in an annotation is not known where the function is defined.
    """
    try:
        return typing.get_type_hints(function, localns=dict(names), include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise DefinitionError(
            f"{where}: the annotations of {_name(function)} cannot be read: {error}. "
            "Are its types imported at run time, not only under TYPE_CHECKING?"
        ) from error


def read_context(hint: Any, parameter: str, where: str) -> tuple[Any, type[BaseModel]]:
    """Return the input and config types of a `Context[...]` annotation.

    Raises:
        DefinitionError: It is missing, bare, or names a config that is not a pydantic model.
    """
    hint = _plain(hint)
    if hint is None:
        raise DefinitionError(f"{where}: parameter {parameter!r} has no annotation; {_EXAMPLE}")
    if hint is Context:
        raise DefinitionError(
            f"{where}: say the input's type in `{parameter}: Context[...]`; `Context[NoInput]` if it reads none"
        )
    if get_origin(hint) is not Context:
        raise DefinitionError(f"{where}: parameter {parameter!r} must be a Context, not {hint!r}; {_EXAMPLE}")
    input_type, config_type = get_args(hint)
    if isinstance(input_type, TypeVar):
        raise DefinitionError(f"{where}: its input's type is the variable {input_type}; name a concrete type")
    if not (isinstance(config_type, type) and issubclass(config_type, BaseModel)):
        raise DefinitionError(f"{where}: its config must be a pydantic model, not {config_type!r}")
    return input_type, config_type


def _parameters(function: Callable[..., Any], where: str) -> Sequence[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        raise DefinitionError(f"{where}: {_name(function)} takes no parameter; {_EXAMPLE}")
    if parameters[0].name in ("self", "cls"):
        raise DefinitionError(f"{where}: {_name(function)} is a method; stages are functions of a module")
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    starred = [str(parameter) for parameter in parameters if parameter.kind not in named]
    if starred:
        raise DefinitionError(
            f"{where}: {_name(function)} has parameters that are not positional: {', '.join(starred)}"
        )
    return parameters


def _output(hints: Mapping[str, Any], where: str) -> tuple[Any, bool]:
    if "return" not in hints:
        raise DefinitionError(
            f"{where}: its return type has no annotation, and that is its output's schema; {_EXAMPLE}"
        )
    hint = hints["return"]
    origin = get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Awaitable):
        raise DefinitionError(f"{where}: a plain `def` that returns {hint!r}; make it `async def`")
    if origin not in (Union, types.UnionType):
        return (Any, True) if hint in (Suspended, StillWaiting) else (hint, False)
    members = [member for member in get_args(hint) if member not in (Suspended, StillWaiting)]
    may_suspend = len(members) < len(get_args(hint))
    return (Union[tuple(members)] if members else Any), may_suspend  # noqa: UP007 - of a tuple that is only known now


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
