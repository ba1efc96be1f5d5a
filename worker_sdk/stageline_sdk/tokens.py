"""Tokens by which callers show who they are, as the client returns them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class TokenScope(StrEnum):
    """What a token is for."""

    CLIENT = "client"
    WORKER = "worker"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A token, without its secret.

    Attributes:
        id: Names it, openly.
        namespace: The namespace that it is bound to; `*` for one that looks after the whole deployment.
        name: What it is for, for people.
        scopes: What it is for.
        workflows: Workflows that a worker with it may serve; empty means every one of the namespace.
        created_at: When it was made.
        expires_at: When it ends by itself; None means never.
        revoked_at: When it was taken back; None while it was not.
    """

    id: str
    namespace: str
    name: str
    scopes: tuple[TokenScope, ...]
    workflows: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made.

    Attributes:
        token: What it is.
        secret: The token itself, as STAGELINE_TOKEN takes it. The server stores only its hash.
    """

    token: AccessToken
    secret: str = field(repr=False)
