"""Real encryption: a client that trusts the server, one that does not, and one that must show who it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from stageline_engine.model.access import Scope
from stageline_sdk import (
    Client,
    Context,
    RunStatus,
    TlsConfig,
    UnavailableError,
    Worker,
    Workflow,
    stage,
)
from stageline_server.app import Application, ListenError
from stageline_server.auth.policy import TokenPolicy
from stageline_server.dispatch.ports import Ports
from stageline_server.settings import Settings
from tests.integration.auth.serving import issued
from tests.support.certificates import Authority


@stage("double")
async def double(ctx: Context[int]) -> int:
    return ctx.input * 2


DOUBLE = Workflow("double", input=int).pipe(double).build()
ONCE = timedelta(0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def encrypted(ports: Ports, authority: Authority, *, asks_clients: bool = False) -> AsyncIterator[str]:
    """A server with TLS and tokens; yields its address."""
    files = authority.issue("server")
    settings = Settings(
        listen="127.0.0.1:0",
        tokens=TokenPolicy.REQUIRED,
        tls_cert=files.cert,
        tls_key=files.key,
        tls_client_ca=authority.ca if asks_clients else None,
    )
    application = Application(settings, ports)
    try:
        yield await application.start()
    finally:
        await application.end()


async def can_list(address: str, token: str, tls: TlsConfig | None) -> bool:
    async with Client(address, token=token, tls=tls, retry_for=ONCE) as client:
        try:
            return [each async for each in client.list_runs()] == []
        except UnavailableError:
            return False


async def test_who_trusts_the_authority_gets_through(
    ports: Ports, authority: Authority, tmp_path: Path
) -> None:
    token = (await issued(ports)).secret
    (tmp_path / "other").mkdir()
    async with encrypted(ports, authority) as address:
        assert await can_list(address, token, TlsConfig(ca=authority.ca))
        assert await can_list(f"https://{address}", token, TlsConfig(ca=str(authority.ca)))
        assert not await can_list(address, token, TlsConfig(ca=Authority(tmp_path / "other").ca))
        assert not await can_list(address, token, TlsConfig())
        assert not await can_list(address, token, None)


async def test_the_environment_is_enough(
    ports: Ports, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGELINE_TOKEN", (await issued(ports)).secret)
    monkeypatch.setenv("STAGELINE_TLS_CA", str(authority.ca))
    async with encrypted(ports, authority) as address, Client(address, retry_for=ONCE) as client:
        assert [each async for each in client.list_runs()] == []


async def test_with_mtls_a_client_shows_a_certificate_and_a_token(
    ports: Ports, authority: Authority, tmp_path: Path
) -> None:
    token = (await issued(ports)).secret
    (tmp_path / "other").mkdir()
    mine, foreign = authority.issue("client"), Authority(tmp_path / "other").issue("client")
    async with encrypted(ports, authority, asks_clients=True) as address:
        assert await can_list(address, token, TlsConfig(authority.ca, mine.cert, mine.key))
        assert not await can_list(address, token, TlsConfig(authority.ca))
        assert not await can_list(address, token, TlsConfig(authority.ca, foreign.cert, foreign.key))


async def test_a_worker_works_over_it(ports: Ports, authority: Authority) -> None:
    tls = TlsConfig(ca=authority.ca)
    working, asking = await issued(ports, Scope.WORKER), await issued(ports)
    async with encrypted(ports, authority) as address:
        worker = Worker(DOUBLE)
        serving = asyncio.create_task(worker.run(address, token=working.secret, tls=tls))
        async with Client(address, token=asking.secret, tls=tls) as client:
            await client.register_workflow(DOUBLE)
            result = await client.run_and_wait(DOUBLE, 21)
        assert (result.status, result.output) == (RunStatus.COMPLETED, 42)
        worker.stop(timedelta(0))
        with suppress(Exception):
            await serving


async def test_a_key_of_another_certificate_is_told(ports: Ports, authority: Authority) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    settings = Settings(listen="127.0.0.1:0", tls_cert=one.cert, tls_key=other.key)
    application = Application(settings, ports)
    with pytest.raises(ListenError, match="is STAGELINE_TLS_KEY the key of STAGELINE_TLS_CERT"):
        await application.start()
    await application.end()


async def test_a_renewed_certificate_counts_from_the_next_connection_on(
    ports: Ports, authority: Authority, tmp_path: Path
) -> None:
    token = (await issued(ports)).secret
    async with encrypted(ports, authority) as address:
        assert await can_list(address, token, TlsConfig(ca=authority.ca))
        # The other authority has the same folder: its certificate takes the place of the one that the server was started with.
        other = Authority(tmp_path, "other")
        files = other.issue("server")
        assert await can_list(address, token, TlsConfig(ca=other.ca))
        assert not await can_list(address, token, TlsConfig(ca=authority.ca))
        files.key.unlink()  # while it is being replaced, the one before counts
        assert await can_list(address, token, TlsConfig(ca=other.ca))
