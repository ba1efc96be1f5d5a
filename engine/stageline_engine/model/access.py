"""Who may call: a token's rights. The token itself is told once, to whoever it is made for; its hash is what is stored."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

ALL_NAMESPACES = "*"
"""What a token is bound to that looks after the whole deployment. No namespace can have this name."""


class Scope(StrEnum):
    """What a token is for. The names are those of ``stageline.v1.TokenScope``."""

    CLIENT = "CLIENT"
    WORKER = "WORKER"
    ADMIN = "ADMIN"


class AccessToken(Struct, frozen=True):
    """One row of ``access_tokens``.

    Attributes:
        id: Names it, openly.
        namespace: The tenant that it is bound to, or ``ALL_NAMESPACES``.
        name: What it is for, for people.
        scopes: What it is for.
        workflow_names: Workflows that a worker with it may serve, sorted; empty means every one of the namespace.
        secret_sha256: Hash of the token itself.
        created_at: When it was made.
        expires_at: When it ends by itself; None means never.
        revoked_at: When it was taken back; None while it was not.
    """

    id: UUID
    namespace: str
    name: str
    scopes: frozenset[Scope]
    workflow_names: tuple[str, ...]
    secret_sha256: bytes
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def counts(self, now: datetime) -> bool:
        """Whether it may be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def reaches(self, namespace: str) -> bool:
        """Whether it may be used in a namespace."""
        return self.namespace in (namespace, ALL_NAMESPACES)

    def may_serve(self, workflow_name: str) -> bool:
        """Whether a worker with it may serve a workflow."""
        return not self.workflow_names or workflow_name in self.workflow_names
