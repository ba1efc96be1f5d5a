"""Tokens by the database itself: whoever may write to it on the server's host needs no token for the first one."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError, needs_server_extra
from stageline_cli.serving import read_settings, require_database
from stageline_sdk import AccessToken, NewToken, TokenScope

if TYPE_CHECKING:
    from stageline_engine.model.access import AccessToken as StoredToken
    from stageline_server.auth.office import TokenOffice

T = TypeVar("T")

PAGE_SIZE = 1000


def create_here(
    namespace: str,
    name: str,
    scopes: Collection[str],
    workflows: Collection[str],
    expires: timedelta | None,
) -> NewToken:
    """Makes a token.

    Raises:
        CommandError: The database is not named, cannot be reached, or is too old; or the wish is out of the limits.
    """

    async def make(office: "TokenOffice") -> NewToken:
        from stageline_engine.model.access import Scope
        from stageline_engine.rejections import Rejection
        from stageline_server.auth.tokens import TokenWish

        rights = frozenset(Scope(scope.upper()) for scope in scopes)
        issued = await office.create(TokenWish(namespace, name, rights, tuple(workflows), expires))
        if isinstance(issued, Rejection):
            lines = [issued.message, *(f"  {one.field}: {one.description}" for one in issued.violations)]
            raise CommandError("\n".join(lines), ExitCode.USAGE)
        return NewToken(_shown(issued.token), issued.secret)

    return _at_the_office(make)


def list_here(namespace: str, *, include_ended: bool) -> list[AccessToken]:
    """Returns the tokens that are bound to a namespace, the oldest first; as ``create_here``."""

    async def read(office: "TokenOffice") -> list[AccessToken]:
        found: list[AccessToken] = []
        after: UUID | None = None
        while True:
            page = await office.tokens.list(
                namespace, include_ended=include_ended, now=office.clock.now(), after=after, limit=PAGE_SIZE
            )
            found += map(_shown, page)
            if len(page) < PAGE_SIZE:
                return found
            after = page[-1].id

    return _at_the_office(read)


def revoke_here(namespace: str, token_id: str) -> AccessToken:
    """Takes a token back; as ``create_here``.

    Raises:
        CommandError: Also where there is no such token.
    """

    async def take_back(office: "TokenOffice") -> AccessToken:
        try:
            known = UUID(token_id)
        except ValueError:
            raise CommandError(f"{token_id!r} is no token's id", ExitCode.USAGE) from None
        token = await office.revoke(known, namespace)
        if token is None:
            raise CommandError(f"There is no token {token_id} in namespace {namespace!r}.", ExitCode.REFUSED)
        return _shown(token)

    return _at_the_office(take_back)


def _at_the_office(visit: "Callable[[TokenOffice], Awaitable[T]]") -> T:
    with needs_server_extra("token --database"):
        from stageline_engine.errors import StorageUnavailableError
        from stageline_server.schema import SchemaError, check_schema
        from stageline_server.stores import token_office

    settings = read_settings()
    require_database(settings, "token --database")
    dsn = settings.database_url.get_secret_value()

    async def go() -> T:
        await check_schema(dsn)
        async with token_office(dsn) as office:
            return await visit(office)

    try:
        return asyncio.run(go())
    except (StorageUnavailableError, SchemaError) as error:
        raise CommandError(str(error), ExitCode.START_FAILED) from error


def _shown(token: "StoredToken") -> AccessToken:
    return AccessToken(
        id=str(token.id),
        namespace=token.namespace,
        name=token.name,
        scopes=tuple(TokenScope(scope.lower()) for scope in sorted(token.scopes)),
        workflows=token.workflow_names,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
    )
