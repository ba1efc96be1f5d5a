"""Columns of a batch as PostgreSQL arrays in binary form.

A batch writes a few hundred rows in one statement, each column an array. The driver adapts lists too, but chooses the type
by the values: 40000 makes another type, and so another prepared statement, than 4, and a list of nothing has none. Here the
column says its type. It is also four to twenty times as fast as the driver's lists in text form, its default (measured).
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
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
_KNOWN_MAX = 4096

Write = Callable[[Iterable[Any]], Iterable[bytes]]
"""Writes the values of an array, each with its length."""


class Parameter:
    """A value in PostgreSQL's binary form with its type."""

    __slots__ = ("data",)
    oid: ClassVar[int]

    def __init__(self, data: bytes) -> None:
        """Takes the binary form."""
        self.data = data


class _Known(dict[Any, bytes]):
    """The binary form of values that come again and again, such as states and small numbers.

    A look-up runs in C where a function of ours would not, and a batch writes ten thousand values.
    """

    def __init__(self, write: Callable[[Any], bytes], length_max: int = 64) -> None:
        """Knows NULL.

        Args:
            write: Makes the form of a value that is not known yet.
            length_max: Bytes of the longest form that is kept.
        """
        super().__init__({None: _NULL})
        self._write = write
        self._length_max = length_max

    def __missing__(self, value: Any) -> bytes:
        written = self._write(value)
        if len(written) <= self._length_max:
            if len(self) >= _KNOWN_MAX:
                self.clear()
                self[None] = _NULL
            self[value] = written
        return written


def _int4(value: int) -> bytes:
    return _INT4(4, value)


def _int8(value: int) -> bytes:
    return _INT8(8, value)


def _bool(value: bool) -> bytes:
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


def _time(value: datetime) -> bytes:
    return _INT8(8, (value - _EPOCH) // _MICROSECOND)


def _interval(value: timedelta) -> bytes:
    return _INTERVAL(16, value // _MICROSECOND, 0, 0)


def _text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH(len(data)) + data


def _each(write: Callable[[Any], bytes]) -> Write:
    known = _Known(write)
    return lambda values: map(known.__getitem__, values)


def _uuids(values: Iterable[UUID | None]) -> Iterable[bytes]:
    return [_NULL if value is None else _UUID_LENGTH + value.int.to_bytes(16, "big") for value in values]


def _bytes(values: Iterable[bytes | None]) -> Iterable[bytes]:
    return [_NULL if value is None else _LENGTH(len(value)) + value for value in values]


class _Type:
    """An element type: its array's parameter class, the array's and the element's oid, and how its values are written."""

    def __init__(self, name: str, array_oid: int, oid: int, write: Write) -> None:
        self.parameter: type[Parameter] = type(
            f"{name.title()}Array", (Parameter,), {"oid": array_oid, "__slots__": ()}
        )
        self.oid = oid
        self.write = write


_TYPES = {
    name: _Type(name, array_oid, oid, write)
    for name, array_oid, oid, write in (
        ("uuid", 2951, 2950, _uuids),
        ("integer", 1007, 23, _each(_int4)),
        ("bigint", 1016, 20, _each(_int8)),
        ("boolean", 1000, 16, _each(_bool)),
        ("timestamptz", 1185, 1184, _each(_time)),
        ("interval", 1187, 1186, _each(_interval)),
        ("text", 1009, 25, _each(_text)),
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
    items = [*kind.write(values)]
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
