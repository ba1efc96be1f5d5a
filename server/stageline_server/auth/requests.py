"""What a request names, whatever its type: namespaces, and the lease that it is made under."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from stageline_engine.model.access import Scope
from stageline_server.auth.grants import Grant, denied
from stageline_server.auth.rules import Rule
from stageline_server.mapping.fields import DEFAULT_NAMESPACE

NAMESPACE = "namespace"
LEASE = "lease_token"


def check_request(request: Any, grant: Grant, rule: Rule) -> None:
    """Makes sure that a request names nothing that its token does not reach.

    Args:
        request: A message; whatever else came is left to those who read it.
        grant: The caller's right.
        rule: What the method needs.

    Raises:
        RefusedError: It names another namespace, or a worker works without a lease. PERMISSION_DENIED.
    """
    if not isinstance(request, Message):
        return
    if not rule.whole_deployment:
        for namespace in namespaces_of(request):
            grant.check_namespace(namespace)
    token = grant.token
    if token is None or not rule.needs_lease or token.scopes != {Scope.WORKER}:
        return
    if any(not lease for lease in values_of(request, LEASE)):
        message = "A worker reads and writes only under a lease: the request names none."
        raise denied(message, token.namespace, "lease")


def namespaces_of(request: Message) -> Iterator[str]:
    """Yields every namespace that a request names. Empty means ``default``, but inside of a list that of the request."""
    for path in paths_to(request.DESCRIPTOR, NAMESPACE):
        repeated = any(field.is_repeated for field in path)
        for value in _values(request, path):
            if value or not repeated:
                yield value or DEFAULT_NAMESPACE


def values_of(request: Message, name: str) -> Iterator[Any]:
    """Yields the values of all fields of a name in a request, at any depth."""
    for path in paths_to(request.DESCRIPTOR, name):
        yield from _values(request, path)


@cache
def paths_to(kind: Descriptor, name: str) -> tuple[tuple[FieldDescriptor, ...], ...]:
    """Returns the ways from a message type to its fields of a name, through messages of our own, none of them twice."""
    return tuple(_paths(kind, name, frozenset()))


def _paths(kind: Descriptor, name: str, seen: frozenset[str]) -> Iterator[tuple[FieldDescriptor, ...]]:
    for field in kind.fields:
        if field.name == name and field.message_type is None:
            yield (field,)
        inner = field.message_type
        if inner is not None and inner.full_name not in seen and not inner.GetOptions().map_entry:
            for rest in _paths(inner, name, seen | {kind.full_name}):
                yield (field, *rest)


def _values(message: Any, path: tuple[FieldDescriptor, ...]) -> Iterator[Any]:
    field, *rest = path
    if not rest:
        value = getattr(message, field.name)
        yield from value if field.is_repeated else (value,)
    elif field.is_repeated:
        for item in getattr(message, field.name):
            yield from _values(item, tuple(rest))
    elif message.HasField(field.name):
        yield from _values(getattr(message, field.name), tuple(rest))
