"""Hints as texts that fit in a notification."""

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import orjson

from stageline_engine.commands import LeaseReference
from stageline_engine.ports import Hint

PAYLOAD_BYTES_MAX = 7000
"""One notification. PostgreSQL refuses those of 8000 bytes or more."""

RUNS_MAX = 180
STOPPED_MAX = 25
ROUTES_MAX = 100
TOKENS_MAX = 25
"""What one notification names at most: together they stay within its size. Stopped leases and routes beyond go into
further ones, since each must reach its holder, and so do tokens; of more runs it is said that any may have changed."""

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEASE_BYTES = 52

Item = TypeVar("Item")


def encode(hint: Hint) -> list[str]:
    """Returns a hint as one text, or as several where it names very much."""
    routes = list(_pieces(sorted(hint.routes), ROUTES_MAX))
    stopped = list(_pieces(hint.stopped, STOPPED_MAX))
    tokens = list(_pieces(sorted(hint.revoked_tokens), TOKENS_MAX))
    return [_text(part) for part in _parts(hint, routes, stopped, tokens)]


def _parts(
    hint: Hint,
    routes: Sequence[Sequence[int]],
    stopped: Sequence[Sequence[LeaseReference]],
    tokens: Sequence[Sequence[UUID]],
) -> Iterator[dict[str, Any]]:
    for place in range(max(len(routes), len(stopped), len(tokens), 1)):
        part: dict[str, Any] = {}
        if place == 0:
            part |= _runs_and_time(hint)
        if place < len(routes):
            part["routes"] = routes[place]
        if place < len(stopped):
            part["stopped"] = _base64(b"".join(map(_lease_bytes, stopped[place])))
        if place < len(tokens):
            part["tokens"] = _base64(b"".join(token_id.bytes for token_id in tokens[place]))
        yield part


def _runs_and_time(hint: Hint) -> dict[str, Any]:
    part: dict[str, Any] = {}
    if hint.all_runs or len(hint.runs) > RUNS_MAX:
        part["all"] = True
    elif hint.runs:
        part["runs"] = _base64(b"".join(run_id.bytes for run_id in hint.runs))
    if hint.wake_at is not None:
        part["wake"] = (hint.wake_at - _EPOCH) // _MICROSECOND
    return part


def decode(text: str) -> Hint:
    """Returns the hint of a text. Keys that it does not know are ignored: servers of two versions may share a database."""
    part = orjson.loads(text)
    stopped = base64.b64decode(part.get("stopped", ""))
    wake = part.get("wake")
    return Hint(
        routes=frozenset(part.get("routes", ())),
        runs=_uuids(part.get("runs", "")),
        stopped=tuple(
            _lease(stopped[start : start + _LEASE_BYTES]) for start in range(0, len(stopped), _LEASE_BYTES)
        ),
        wake_at=None if wake is None else _EPOCH + wake * _MICROSECOND,
        all_runs=part.get("all", False),
        revoked_tokens=_uuids(part.get("tokens", "")),
    )


def _uuids(text: str) -> frozenset[UUID]:
    data = base64.b64decode(text)
    return frozenset(UUID(bytes=data[start : start + 16]) for start in range(0, len(data), 16))


def _lease_bytes(lease: LeaseReference) -> bytes:
    ids = lease.session_id.bytes + lease.lease_token.bytes + lease.run_id.bytes
    return ids + lease.stage_number.to_bytes(4, "big")


def _lease(data: bytes) -> LeaseReference:
    session_id, token, run_id = (UUID(bytes=data[start : start + 16]) for start in (0, 16, 32))
    return LeaseReference(session_id, token, run_id, int.from_bytes(data[48:], "big"))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text(part: dict[str, Any]) -> str:
    return orjson.dumps(part).decode()


def _pieces(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
