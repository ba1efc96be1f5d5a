"""What an administrator may do with the tokens by which callers show who they are."""

from collections.abc import AsyncGenerator, Iterable
from datetime import timedelta

from stageline.v1 import token_service_pb2, token_service_pb2_grpc
from stageline_sdk._client_base import ClientBase
from stageline_sdk._wire import from_timestamp
from stageline_sdk.tokens import AccessToken, NewToken, TokenScope

_PREFIX = "TOKEN_SCOPE_"


class Tokens(ClientBase):
    """The calls of `Client` that are about tokens."""

    @property
    def _tokens(self) -> "token_service_pb2_grpc.TokenServiceAsyncStub":
        return token_service_pb2_grpc.TokenServiceStub(self._open())

    async def create_token(
        self,
        name: str,
        scopes: Iterable[TokenScope | str],
        *,
        workflows: Iterable[str] = (),
        expire_after: timedelta | None = None,
    ) -> NewToken:
        """Make a token for this client's namespace. Its secret is in what is returned, and can never be read again.

        Not tried again where the answer was lost: revoke the token that nobody has.

        Args:
            name: What it is for, for people. 1 to 128 characters.
            scopes: What it is for, at least one: "client", "worker", "admin".
            workflows: Workflows that a worker with it may serve, at most 100. Default: every one of the namespace.
            expire_after: How long it is good. Default: until it is revoked.

        Raises:
            ValueError: A scope is unknown.
            InvalidArgumentError: A field is out of its limits.
            PermissionDeniedError: Your own token may not.
            UnavailableError: The server could not be reached.
        """
        request = token_service_pb2.CreateTokenRequest(
            namespace=self._namespace,
            name=name,
            scopes=[token_service_pb2.TokenScope.Value(f"{_PREFIX}{TokenScope(one).name}") for one in scopes],
            workflow_names=workflows,
        )
        if expire_after is not None:
            request.expire_after.FromTimedelta(expire_after)
        response = await self._call.once(self._tokens.CreateToken, request)
        return NewToken(_decoded(response.token), response.secret)

    async def list_tokens(self, *, include_ended: bool = False) -> AsyncGenerator[AccessToken]:
        """Yield the tokens of this client's namespace, the oldest first.

        Args:
            include_ended: Whether those that have expired or were revoked are among them.

        Raises:
            PermissionDeniedError: Your own token may not.
            UnavailableError: The server could not be reached.
        """
        request = token_service_pb2.ListTokensRequest(namespace=self._namespace, include_ended=include_ended)
        while True:
            response = await self._call(self._tokens.ListTokens, request)
            for message in response.tokens:
                yield _decoded(message)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    async def revoke_token(self, token_id: str) -> AccessToken:
        """Take a token back: calls by it are refused, and streams that live by it end within seconds.

        Raises:
            NotFoundError: This namespace has no such token.
            PermissionDeniedError: Your own token may not.
            UnavailableError: The server could not be reached.
        """
        request = token_service_pb2.RevokeTokenRequest(namespace=self._namespace, token_id=token_id)
        return _decoded((await self._call(self._tokens.RevokeToken, request)).token)


def _decoded(message: token_service_pb2.Token) -> AccessToken:
    names = [token_service_pb2.TokenScope.Name(scope).removeprefix(_PREFIX) for scope in message.scopes]
    return AccessToken(
        id=message.token_id,
        namespace=message.namespace,
        name=message.name,
        scopes=tuple(TokenScope(name.lower()) for name in names if name in TokenScope.__members__),
        workflows=tuple(message.workflow_names),
        created_at=from_timestamp(message.create_time),
        expires_at=from_timestamp(message.expire_time) if message.HasField("expire_time") else None,
        revoked_at=from_timestamp(message.revoke_time) if message.HasField("revoke_time") else None,
    )
