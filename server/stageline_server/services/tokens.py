"""TokenService: making tokens and taking them back."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc

from stageline.v1 import token_service_pb2 as messages
from stageline.v1 import token_service_pb2_grpc
from stageline_engine.model.access import ALL_NAMESPACES, AccessToken, Scope
from stageline_engine.ports import Hint
from stageline_server.auth.office import TokenOffice
from stageline_server.auth.tokens import TokenWish
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError, accepted, answering, invalid_field
from stageline_server.mapping.fields import namespace_of, page_size_of, timestamp_of
from stageline_server.mapping.page_tokens import page_token, position_of

Context = grpc.aio.ServicerContext[Any, Any]

_PREFIX = "TOKEN_SCOPE_"


class TokenService(token_service_pb2_grpc.TokenServiceServicer):
    """Serves tokens; the gate has checked that the caller's own reaches the namespace."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane to work with."""
        ports = plane.ports
        self._plane = plane
        self._office = TokenOffice(ports.tokens, ports.transport, ports.clock, ports.ids)

    @answering
    async def CreateToken(
        self, request: messages.CreateTokenRequest, context: Context
    ) -> messages.CreateTokenResponse:
        """Makes a token."""
        issued = accepted(await self._office.create(wish_of(request)))
        return messages.CreateTokenResponse(token=token_message(issued.token), secret=issued.secret)

    @answering
    async def ListTokens(
        self, request: messages.ListTokensRequest, context: Context
    ) -> messages.ListTokensResponse:
        """Lists the tokens of a namespace, the oldest first."""
        namespace, size = token_namespace_of(request.namespace), page_size_of(request.page_size)
        binding = ("ListTokens", namespace, request.include_ended)
        found = await self._office.tokens.list(
            namespace,
            include_ended=request.include_ended,
            now=self._office.clock.now(),
            after=position_of(request.page_token, binding, UUID),
            limit=size + 1,
        )
        shown = found[:size]
        return messages.ListTokensResponse(
            tokens=map(token_message, shown),
            next_page_token=page_token(binding, shown[-1].id) if len(found) > size else "",
        )

    @answering
    async def RevokeToken(
        self, request: messages.RevokeTokenRequest, context: Context
    ) -> messages.RevokeTokenResponse:
        """Takes a token back, and tells every server."""
        namespace, token_id = token_namespace_of(request.namespace), _token_id_of(request.token_id)
        token = await self._office.revoke(token_id, namespace)
        if token is None:
            facts = {"namespace": namespace, "token_id": str(token_id)}
            message = f"There is no token {token_id} in namespace {namespace!r}."
            raise RefusedError(Refusal("TOKEN_NOT_FOUND", message, facts))
        self._plane.take_hint(Hint(revoked_tokens=frozenset({token.id})))  # at once, here
        return messages.RevokeTokenResponse(token=token_message(token))


def wish_of(request: messages.CreateTokenRequest) -> TokenWish:
    """Returns the token that a request wishes.

    Raises:
        RefusedError: A scope is unknown. INVALID_FIELD.
    """
    known = messages.TokenScope.values()
    for index, scope in enumerate(request.scopes):
        if scope not in known or scope == messages.TOKEN_SCOPE_UNSPECIFIED:
            raise invalid_field(f"scopes.{index}", f"is no scope: {scope}")
    scopes = frozenset(Scope(messages.TokenScope.Name(one).removeprefix(_PREFIX)) for one in request.scopes)
    if len(scopes) < len(request.scopes):
        raise invalid_field("scopes", "names one twice")
    lifetime: timedelta | None = None
    if request.HasField("expire_after"):
        lifetime = request.expire_after.ToTimedelta()
    return TokenWish(
        token_namespace_of(request.namespace),
        request.name,
        scopes,
        tuple(request.workflow_names),
        lifetime,
    )


def token_namespace_of(text: str) -> str:
    """Returns what a token is bound to: a namespace, or all of them.

    Raises:
        RefusedError: It is neither. INVALID_FIELD.
    """
    return text if text == ALL_NAMESPACES else namespace_of(text)


def token_message(token: AccessToken) -> messages.Token:
    """Returns a token as a message, which has no secret."""
    return messages.Token(
        token_id=str(token.id),
        namespace=token.namespace,
        name=token.name,
        scopes=[messages.TokenScope.Value(f"{_PREFIX}{scope}") for scope in sorted(token.scopes)],
        workflow_names=token.workflow_names,
        create_time=timestamp_of(token.created_at),
        expire_time=timestamp_of(token.expires_at),
        revoke_time=timestamp_of(token.revoked_at),
    )


def _token_id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise invalid_field("token_id", f"is no UUID: {text[:64]!r}") from None
