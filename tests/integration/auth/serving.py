"""Servers that ask for tokens, on one state, and tokens for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc

from stageline_engine.model.access import Scope
from stageline_engine.rejections import Rejection
from stageline_server.auth.office import TokenOffice
from stageline_server.auth.policy import TokenPolicy
from stageline_server.auth.tokens import Issued, TokenWish
from stageline_server.dispatch.ports import Ports
from stageline_server.settings import Settings
from tests.integration.server.running import ANY_PORT, Server, running

ASKING = Settings(listen=ANY_PORT, tokens=TokenPolicy.REQUIRED)


@asynccontextmanager
async def asking(ports: Ports, settings: Settings = ASKING) -> AsyncIterator[Server]:
    """Runs a server that asks for tokens."""
    async with running(ports, settings) as server:
        yield server


async def issued(
    ports: Ports,
    *scopes: Scope,
    namespace: str = "default",
    workflows: tuple[str, ...] = (),
    expire_after: timedelta | None = None,
) -> Issued:
    """Makes a token."""
    office = TokenOffice(ports.tokens, ports.transport, ports.clock, ports.ids)
    wish = TokenWish(namespace, "test", frozenset(scopes or (Scope.CLIENT,)), workflows, expire_after)
    made = await office.create(wish)
    assert not isinstance(made, Rejection), made
    return made


async def secret(ports: Ports, *scopes: Scope, namespace: str = "default") -> str:
    """Makes a token and returns its secret."""
    return (await issued(ports, *scopes, namespace=namespace)).secret


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call by a token."""
    return (("authorization", f"Bearer {token}"),)


UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
DENIED = (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
