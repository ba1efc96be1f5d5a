"""Making tokens. The secret is told to whoever it is made for, and forgotten here."""

import hashlib
import re
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from stageline_engine import limits
from stageline_engine.model.access import ALL_NAMESPACES, AccessToken, Scope
from stageline_engine.rejections import FieldViolation

PREFIX = "stl_"
"""What tokens begin with, so that people and scanners of source code know one when they see it."""

SECRET_BYTES = 32
"""Random bytes of a secret. So many cannot be guessed, also not from a hash that is fast."""

_NAME = re.compile(limits.NAME_PATTERN)


@dataclass(frozen=True, slots=True)
class TokenWish:
    """A token to be made.

    Attributes:
        namespace: What it is bound to; ``ALL_NAMESPACES`` for the whole deployment.
        name: What it is for, for people.
        scopes: What it is for.
        workflow_names: Workflows that a worker with it may serve; empty means all.
        expire_after: How long it is good; None means for ever.
    """

    namespace: str
    name: str
    scopes: frozenset[Scope]
    workflow_names: tuple[str, ...] = ()
    expire_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token, and its secret, which is nowhere else."""

    token: AccessToken
    secret: str


def issue(wish: TokenWish, token_id: UUID, now: datetime) -> Issued:
    """Makes a token of a wish without faults; it is not stored yet."""
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    digest = hashlib.sha256(secret.encode()).digest()
    expires_at = now + wish.expire_after if wish.expire_after else None
    names = tuple(sorted(set(wish.workflow_names)))
    token = AccessToken(token_id, wish.namespace, wish.name, wish.scopes, names, digest, now, expires_at)
    return Issued(token, secret)


def faults(wish: TokenWish) -> Iterator[FieldViolation]:
    """Yields what is wrong with a wish."""
    everywhere = wish.namespace == ALL_NAMESPACES
    if not everywhere and not _NAME.fullmatch(wish.namespace):
        yield FieldViolation("namespace", f"must match {limits.NAME_PATTERN}")
    if not 0 < len(wish.name) <= limits.NAME_LENGTH_MAX or "\0" in wish.name:
        yield FieldViolation(
            "name", f"must have 1 to {limits.NAME_LENGTH_MAX} characters, but has {len(wish.name)}"
        )
    if not wish.scopes:
        yield FieldViolation("scopes", "is empty")
    if everywhere and wish.scopes != {Scope.ADMIN}:
        yield FieldViolation("scopes", "must be ADMIN alone for a token of all namespaces")
    yield from _workflow_faults(wish.workflow_names, wish.scopes)
    lifetime = wish.expire_after
    if lifetime is not None and not timedelta(0) < lifetime <= limits.ACCESS_TOKEN_LIFETIME_MAX:
        days = limits.ACCESS_TOKEN_LIFETIME_MAX.days
        yield FieldViolation(
            "expire_after", f"must be more than 0 and at most {days} days, but is {lifetime}"
        )


def _workflow_faults(names: Collection[str], scopes: frozenset[Scope]) -> Iterator[FieldViolation]:
    if names and Scope.WORKER not in scopes:
        yield FieldViolation("workflow_names", "is for a token of scope WORKER")
    if len(names) > limits.ACCESS_TOKEN_WORKFLOWS_MAX:
        yield FieldViolation(
            "workflow_names", f"{len(names)} names, limit {limits.ACCESS_TOKEN_WORKFLOWS_MAX}"
        )
    for index, name in enumerate(names):
        if not _NAME.fullmatch(name):
            yield FieldViolation(f"workflow_names.{index}", f"must match {limits.NAME_PATTERN}")
