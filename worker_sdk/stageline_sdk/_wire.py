"""Between the wire's values and Python's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from stageline.v1 import payload_pb2


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """Stands for a JSON value that is too large for a message and that is stored apart.

    Attributes:
        sha256: SHA-256 of its JSON text, in hexadecimal.
        size_bytes: Size of its JSON text.
    """

    sha256: str
    size_bytes: int


def to_duration(value: timedelta | None) -> Duration | None:
    """Return a duration as a message; None stays None, which leaves a field unset."""
    if value is None:
        return None
    message = Duration()
    message.FromTimedelta(value)
    return message


def to_timestamp(value: datetime | None) -> Timestamp | None:
    """Return a time as a message. A time without a zone is taken for local time, as Python takes it.

    None stays None, which leaves a field unset.
    """
    if value is None:
        return None
    message = Timestamp()
    message.FromDatetime(value.astimezone(UTC))
    return message


def from_timestamp(message: Timestamp) -> datetime:
    """Return a time, in UTC."""
    return message.ToDatetime(tzinfo=UTC)


def to_payload(value: Any) -> payload_pb2.Payload:
    """Return a value as a payload: a pydantic model, JSON's own types, or anything else that pydantic can write.

    Raises:
        pydantic_core.PydanticSerializationError: A part of it has no form in JSON.
    """
    text = value.model_dump_json(by_alias=True).encode() if isinstance(value, BaseModel) else to_json(value)
    return payload_pb2.Payload(json=text)


def from_payload(payload: payload_pb2.Payload) -> Any:
    """Return a payload's JSON value; a `StoredPayload` where the value is stored apart, None where there is none."""
    if payload.WhichOneof("body") == "reference":
        return StoredPayload(payload.reference.sha256.hex(), payload.reference.size_bytes)
    return from_json_text(payload.json)


def from_json_text(text: bytes) -> Any:
    """Return the value of a JSON text; None for an empty one, which stands for an unset field."""
    return from_json(text) if text else None


def json_object(text: bytes) -> Mapping[str, Any]:
    """Return the object of a JSON text; `{}` for an empty text, and for one that is no object."""
    value = from_json_text(text)
    return value if isinstance(value, dict) else {}
