"""Payloads in and out: texts inline, or references to what is stored apart."""

import hashlib
from collections.abc import Mapping

import orjson

from stageline.v1 import payload_pb2
from stageline_engine import payloads
from stageline_engine.limits import ANSWER_PAYLOADS_BYTES_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_INLINE_BYTES_MAX
from stageline_engine.model.stored_payload import SHA256_BYTES, StoredPayload, reference_in
from stageline_server.errors import RefusedError, invalid_field


def payload_of(payload: payload_pb2.Payload, field: str) -> bytes:
    """Returns a payload that is set, as the engine takes it: its text, or a ``StoredPayload``.

    Raises:
        RefusedError: It has no body, or names no payload (INVALID_FIELD); it is too large for where it is
            (PAYLOAD_TOO_LARGE).
    """
    return _sound(payload, field, PAYLOAD_BYTES_MAX)


def small_payload_of(payload: payload_pb2.Payload, field: str) -> bytes:
    """As ``payload_of``, of a payload that is kept inline however it comes: its limit is the same by reference.

    Raises:
        RefusedError: As ``payload_of``.
    """
    return _sound(payload, field, PAYLOAD_INLINE_BYTES_MAX)


def _sound(payload: payload_pb2.Payload, field: str, stored_bytes_max: int) -> bytes:
    fault = payload_fault(payload, field, stored_bytes_max=stored_bytes_max)
    if fault is not None:
        raise fault
    return payload.json if payload.WhichOneof("body") == "json" else stored_payload(payload.reference)


def payload_fault(
    payload: payload_pb2.Payload, field: str, *, stored_bytes_max: int = PAYLOAD_BYTES_MAX
) -> RefusedError | None:
    """What is wrong with a payload, before anybody reads it; None where nothing is."""
    kind = payload.WhichOneof("body")
    if kind is None:
        return invalid_field(field, "must hold a value: set json or reference")
    if kind == "json":
        size, limit = len(payload.json), PAYLOAD_INLINE_BYTES_MAX
    else:
        size, limit = payload.reference.size_bytes, stored_bytes_max
        if len(payload.reference.sha256) != SHA256_BYTES:
            return invalid_field(f"{field}.reference.sha256", f"must have {SHA256_BYTES} bytes")
        if size < 1:
            return invalid_field(f"{field}.reference.size_bytes", f"must be at least 1, but is {size}")
    return RefusedError(payloads.too_large(field, size, limit)) if size > limit else None


def stored_payload(reference: payload_pb2.PayloadReference) -> StoredPayload:
    """Returns a reference that has no fault, as the engine takes it."""
    return StoredPayload(reference.sha256, reference.size_bytes)


def payload_message(text: str) -> payload_pb2.Payload:
    """Returns a stored text as a payload: what it refers to, or itself."""
    found = reference_in(text)
    return (
        payload_pb2.Payload(json=text.encode())
        if found is None
        else _reference(found.sha256, found.size_bytes)
    )


def _reference(sha256: bytes, size_bytes: int) -> payload_pb2.Payload:
    return payload_pb2.Payload(reference=payload_pb2.PayloadReference(sha256=sha256, size_bytes=size_bytes))


class PayloadRoom:
    """The room for payloads in one answer, which gRPC clients take up to 4 MiB of."""

    def __init__(self, bytes_max: int = ANSWER_PAYLOADS_BYTES_MAX) -> None:
        """Begins an answer.

        Args:
            bytes_max: Sum of the texts that may be inline.

        Attributes:
            beyond: Texts that had no room, and have to be stored apart before the answer is given.
        """
        self._left = bytes_max
        self.beyond: list[bytes] = []

    def payload(self, text: str | bytes) -> payload_pb2.Payload:
        """Returns a JSON text as a payload: what it refers to; itself where it fits; else its size and SHA-256."""
        found = reference_in(text) if isinstance(text, str) else None
        if found is not None:
            return _reference(found.sha256, found.size_bytes)
        raw = text.encode() if isinstance(text, str) else text
        if len(raw) <= self._left:
            self._left -= len(raw)
            return payload_pb2.Payload(json=raw)
        self.beyond.append(raw)
        return _reference(hashlib.sha256(raw).digest(), len(raw))


def joined_output(outputs: Mapping[str, str]) -> bytes:
    """Returns a run's output from those of its last group, by joining the texts: nothing is parsed again.

    Args:
        outputs: JSON text by stage id, in definition order, none of it a reference; at least one.

    Returns:
        The output of a single stage as it is, of several an object by stage id.
    """
    if len(outputs) == 1:
        return next(iter(outputs.values())).encode()
    return orjson.dumps({stage_id: orjson.Fragment(text) for stage_id, text in outputs.items()})
