"""Columns of a batch as PostgreSQL arrays in binary form.

A batch writes a few hundred rows in one statement, each column an array. The driver adapts lists too, but chooses the type
by the values: 40000 makes another type, and so another prepared statement, than 4, and a list of nothing has none. Here the
column says its type. It is also four to twenty times as fast as the driver's lists in text form, its default (measured).
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any, ClassVar
from uuid import UUID

from psycopg.adapt import AdaptersMap, Buffer, Dumper
from psycopg.pq import Format

_HEADER = Struct("!iiIii").pack  # dimensions, has nulls, element type, length, lower bound
_EMPTY = Struct("!iiI").pack
_INT4 = Struct("!ii").pack
_INT8 = Struct("!iq").pack
_LENGTH = Struct("!i").pack
_NULL = _LENGTH(-1)
_UUID_LENGTH = _LENGTH(16)
_INTERVAL = Struct("!iqii").pack
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Parameter:
    """A value in PostgreSQL's binary form with its type."""

    __slots__ = ("data",)
    oid: ClassVar[int]

    def __init__(self, data: bytes) -> None:
        """Takes the binary form."""
        self.data = data


def _uuid(value: UUID) -> bytes:
    return _UUID_LENGTH + value.int.to_bytes(16, "big")


def _int4(value: int) -> bytes:
    return _INT4(4, value)


def _int8(value: int) -> bytes:
    return _INT8(8, value)


def _bool(value: bool) -> bytes:
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


@lru_cache(maxsize=4096)
def _time(value: datetime) -> bytes:
    """Most times of a batch are the same, the present one."""
    return _INT8(8, (value - _EPOCH) // _MICROSECOND)


def _interval(value: timedelta) -> bytes:
    return _INTERVAL(16, value // _MICROSECOND, 0, 0)


def _text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH(len(data)) + data


def _bytes(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


class _Type:
    """An element type: its array's parameter class, the array's and the element's oid, and how one value is written."""

    def __init__(self, name: str, array_oid: int, oid: int, write: Callable[[Any], bytes]) -> None:
        self.parameter: type[Parameter] = type(
            f"{name.title()}Array", (Parameter,), {"oid": array_oid, "__slots__": ()}
        )
        self.oid = oid
        self.write = write


_TYPES = {
    name: _Type(name, array_oid, oid, write)
    for name, array_oid, oid, write in (
        ("uuid", 2951, 2950, _uuid),
        ("integer", 1007, 23, _int4),
        ("bigint", 1016, 20, _int8),
        ("boolean", 1000, 16, _bool),
        ("timestamptz", 1185, 1184, _time),
        ("interval", 1187, 1186, _interval),
        ("text", 1009, 25, _text),
        ("json", 199, 114, _bytes),
        ("bytea", 1001, 17, _bytes),
    )
}


def array(type_name: str, values: Iterable[Any]) -> Parameter:
    """Makes an array parameter.

    Args:
        type_name: PostgreSQL's name of the element type: uuid, integer, bigint, boolean, timestamptz, interval, text,
            json (the values are bytes) or bytea.
        values: The elements; None is NULL.
    """
    kind = _TYPES[type_name]
    write = kind.write
    items = [_NULL if value is None else write(value) for value in values]
    if not items:
        return kind.parameter(_EMPTY(0, 0, kind.oid))
    return kind.parameter(_HEADER(1, 1, kind.oid, len(items), 1) + b"".join(items))


class _ParameterDumper(Dumper):
    """Hands a prepared parameter to the driver as it is."""

    format = Format.BINARY

    def dump(self, obj: Parameter) -> Buffer | None:
        return obj.data


def register(adapters: AdaptersMap) -> None:
    """Teaches a connection these parameters."""
    for kind in _TYPES.values():
        dumper = type(f"{kind.parameter.__name__}Dumper", (_ParameterDumper,), {"oid": kind.parameter.oid})
        adapters.register_dumper(kind.parameter, dumper)
