"""What a batch's answers must look like, as JSON Schema and as a check of what came."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model
from pydantic_core import to_json

T = TypeVar("T")
_MESSAGE_LENGTH_MAX = 600


class InvalidOutputError(ValueError):
    """An answer that does not fit the output's type."""


class OutputType(Generic[T]):
    """The type of each answer of a batch. Of a type whose schema is no object, a provider is asked for one around it.

    Attributes:
        name: The type's name.
        is_text: Whether any text will do.
        schema: JSON Schema of what a provider is asked for.
    """

    def __init__(self, output_type: Any) -> None:
        """Take a type: `str` for any text, else whatever pydantic can validate."""
        self.name: str = getattr(output_type, "__name__", None) or repr(output_type)
        self.is_text = output_type is str
        self._adapter: TypeAdapter[Any] = TypeAdapter(output_type)
        schema = self._adapter.json_schema()
        self._wraps = schema.get("type") != "object"
        if self._wraps:
            wrapper: type[BaseModel] = create_model("Output", response=(output_type, ...))
            self._adapter, schema = TypeAdapter(wrapper), wrapper.model_json_schema()
        self.schema: Mapping[str, Any] = schema

    def parse(self, answer: str | Mapping[str, Any]) -> T:
        """Return the value of an answer.

        Raises:
            InvalidOutputError: It is no JSON, or does not fit.
        """
        if self.is_text:
            return answer  # type: ignore[return-value]  # The type is str.
        try:
            value = self._adapter.validate_json(answer if isinstance(answer, str) else to_json(answer))
        except ValidationError as error:
            raise InvalidOutputError(_brief(error)) from error
        return value.response if self._wraps else value  # type: ignore[no-any-return]


def _brief(error: ValidationError) -> str:
    """Say where and what, without the answer itself, which may be private."""
    lines = [
        f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}"
        for each in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return "; ".join(lines)[:_MESSAGE_LENGTH_MAX]
