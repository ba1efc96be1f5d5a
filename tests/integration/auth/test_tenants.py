"""Tenants see nothing of each other, and tokens reach no further than whoever made them."""

from datetime import timedelta

import pytest

from stageline_engine.model.access import Scope
from stageline_sdk import (
    Client,
    Context,
    InvalidArgumentError,
    NoInput,
    NotFoundError,
    PermissionDeniedError,
    RunStatus,
    TokenScope,
    UnauthenticatedError,
    Workflow,
    stage,
)
from stageline_server.dispatch.ports import Ports
from tests.integration.auth.serving import issued, secret
from tests.integration.server.running import Server, running


@stage("only")
def only(ctx: Context[NoInput]) -> int:
    return 1


ONE = Workflow("one", input=NoInput).pipe(only).build()
TWO = Workflow("two", input=NoInput).pipe(only).build()
ONCE = timedelta(0)


def client(server: Server, token: str, namespace: str = "default") -> Client:
    return Client(server.application.address, token=token, namespace=namespace, retry_for=ONCE)


async def test_a_run_of_another_tenant_does_not_exist(server: Server, ports: Ports) -> None:
    mine, theirs = await secret(ports), await secret(ports, namespace="acme")
    async with client(server, mine) as one, client(server, theirs, "acme") as other:
        await one.register_workflow(ONE)
        await other.register_workflow(ONE)
        run = await one.create_run("one")
        with pytest.raises(NotFoundError):
            await other.get_run(run.id)
        with pytest.raises(NotFoundError):
            await other.cancel_run(run.id)
        assert [each async for each in other.list_runs()] == []
        assert (await one.get_run(run.id)).status is RunStatus.RUNNING
    async with client(server, theirs) as liar:
        with pytest.raises(
            PermissionDeniedError, match=r"bound to namespace 'acme' .* names 'default'"
        ) as raised:
            await liar.get_run(run.id)
        assert raised.value.metadata == {"namespace": "default", "permission": "namespace"}


async def test_an_administrator_makes_lists_and_revokes(server: Server, ports: Ports) -> None:
    async with client(server, await secret(ports, Scope.ADMIN)) as admin:
        made = await admin.create_token(
            "workers", ["worker", TokenScope.CLIENT], workflows=["one"], expire_after=timedelta(days=1)
        )
        assert made.secret not in repr(made)
        assert (made.token.name, made.token.workflows) == ("workers", ("one",))
        assert set(made.token.scopes) == {TokenScope.WORKER, TokenScope.CLIENT}
        assert made.token.expires_at == made.token.created_at + timedelta(days=1)
        assert [each.name async for each in admin.list_tokens()] == ["test", "workers"]
        async with client(server, made.secret) as user:
            assert [each async for each in user.list_runs()] == []
            revoked = await admin.revoke_token(made.token.id)
            assert revoked.revoked_at is not None
            with pytest.raises(UnauthenticatedError, match="was revoked"):
                [each async for each in user.list_runs()]
        assert await admin.revoke_token(made.token.id) == revoked
        assert [each.name async for each in admin.list_tokens()] == ["test"]
        assert [each.name async for each in admin.list_tokens(include_ended=True)] == ["test", "workers"]


async def test_an_administrator_reaches_its_own_namespace(server: Server, ports: Ports) -> None:
    theirs = await issued(ports, namespace="acme")
    token = await secret(ports, Scope.ADMIN)
    async with client(server, token) as admin:
        with pytest.raises(NotFoundError) as raised:
            await admin.revoke_token(str(theirs.token.id))
        assert raised.value.reason == "TOKEN_NOT_FOUND"
    for namespace in ("acme", "*"):
        async with client(server, token, namespace) as admin:
            with pytest.raises(PermissionDeniedError):
                await admin.create_token("more", ["admin"])
            with pytest.raises(PermissionDeniedError):
                [each async for each in admin.list_tokens()]


async def test_an_operator_reaches_all(server: Server, ports: Ports) -> None:
    token = await secret(ports, Scope.ADMIN, namespace="*")
    async with client(server, token, "acme") as operator:
        made = await operator.create_token("theirs", ["client"])
        assert made.token.namespace == "acme"
    async with client(server, token, "*") as operator:
        assert [each.namespace async for each in operator.list_tokens()] == ["*"]
        with pytest.raises(InvalidArgumentError) as raised:
            await operator.create_token("worker of all", ["worker"])
        assert [each.field for each in raised.value.field_violations] == ["scopes"]


async def test_a_worker_registers_what_its_token_names(server: Server, ports: Ports) -> None:
    made = await issued(ports, Scope.WORKER, workflows=("one",))
    async with client(server, made.secret) as worker:
        await worker.register_workflow(ONE)
        with pytest.raises(PermissionDeniedError, match="allows to serve one, not 'two'"):
            await worker.register_workflow(TWO)


async def test_an_open_server_asks_nobody_and_makes_tokens_all_the_same(ports: Ports) -> None:
    async with running(ports) as open_server, client(open_server, "") as anyone:
        made = await anyone.create_token("first", ["admin"])
        assert made.token.namespace == "default"
        with pytest.raises(ValueError, match="not a valid TokenScope"):
            await anyone.create_token("second", ["king"])
