"""The database goes away and comes back; connections are cut; what was begun is not half-written."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from stageline_engine.adapters.postgres import PostgresDatabase, PostgresTransport
from stageline_engine.commands import JobOffer
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.ports import LOOK_AT_EVERYTHING, Hint
from stageline_engine.records import ChangeSet
from stageline_engine.testing import Scene, workflow
from stageline_engine.testing.conformance.base import load
from stageline_engine.testing.scene import completed
from stageline_migrations import upgrade
from stageline_server.embedded.instance import Instance, new_instance
from tests.integration.postgres.backends import backend_on
from tests.waiting import eventually

CUT = b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"


@pytest.fixture
async def instance() -> AsyncIterator[Instance]:
    """A PostgreSQL of the test's own, to be stopped and started."""
    folder = Path(tempfile.mkdtemp(prefix="stageline-test-"))
    made = new_instance(folder, settings={"fsync": "off"})
    try:
        upgrade(await asyncio.to_thread(made.start))
        yield made
    finally:
        await asyncio.to_thread(made.stop)
        shutil.rmtree(folder)


def cut_every_connection(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CUT)


async def listed(scene: Scene) -> bool:
    """Whether the database answers."""
    try:
        await scene.backend.registry.list("default", limit=1)
    except StorageUnavailableError:
        return False
    return True


async def leased(scene: Scene, session_id: UUID, registered: RegisteredWorkflow) -> list[JobOffer]:
    try:
        return list(await scene.lease(session_id, registered))
    except StorageUnavailableError:
        return []


@pytest.mark.postgres
async def test_a_restart_is_an_error_and_then_over(instance: Instance) -> None:
    async with PostgresDatabase(instance.dsn("stageline"), transactions_max=2) as database:
        scene = Scene(backend_on(database))
        registered = await scene.register(workflow("flow", "a"))
        run_id = await scene.create("flow")
        session_id = await scene.open_session()
        assert instance.process is not None
        await asyncio.to_thread(instance.process.stop)
        with pytest.raises(StorageUnavailableError):
            await scene.lease(session_id, registered)
        await asyncio.to_thread(instance.launch)
        await eventually(lambda: listed(scene), what="an answer after the restart")
        [offer] = await eventually(lambda: leased(scene, session_id, registered), what="a lease")
        await scene.report(offer, completed(1))
        assert (await scene.event_types(run_id))[-1] == "workflow:completed"


async def test_a_transaction_that_was_cut_wrote_nothing(database_url: str) -> None:
    async with PostgresDatabase(database_url, transactions_max=2) as database:
        scene = Scene(backend_on(database))
        await scene.register(workflow("flow", "a"))
        run_id = await scene.create("flow")
        async with scene.backend.persistence.begin() as work:
            loaded = await load(work, run_id)
            await asyncio.to_thread(cut_every_connection, database_url)
            with pytest.raises(StorageUnavailableError):
                await work.commit(ChangeSet(runs_updated=[loaded.run]))
        await eventually(lambda: listed(scene), what="an answer")
        assert (await scene.details(run_id)).run == loaded.run


async def test_a_cancelled_task_leaves_no_lock_behind(database_url: str) -> None:
    async with PostgresDatabase(database_url, transactions_max=2) as database:
        scene = Scene(backend_on(database))
        await scene.register(workflow("flow", "a"))
        run_id = await scene.create("flow")

        async def wait_for_the_run() -> None:
            async with scene.backend.persistence.begin() as work:
                await load(work, run_id)

        async with scene.backend.persistence.begin() as holder:
            await load(holder, run_id)
            waiter = asyncio.ensure_future(wait_for_the_run())
            await eventually(lambda: _someone_waits(database), what="the second transaction to wait")
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
        for _ in range(4):  # more than there are connections: none was lost
            await wait_for_the_run()


async def _someone_waits(database: PostgresDatabase) -> bool:
    found = await database.run(b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return bool(found)


async def test_a_listener_that_was_cut_off_says_so(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with PostgresDatabase(database_url) as database:
        transport = backend_on(database).transport
        stream = transport.listen()
        first = asyncio.ensure_future(anext(stream))
        await eventually(lambda: _announced(database, first), what="the first hint")
        assert (await first).routes == {1}
        with caplog.at_level(logging.WARNING):
            again = asyncio.ensure_future(anext(stream))
            cut_every_connection(database_url)
            while (hint := await again) != LOOK_AT_EVERYTHING:
                assert hint.routes == {1}  # one announced before the cut
                again = asyncio.ensure_future(anext(stream))
        assert "listens for hints is lost" in caplog.text
        await stream.aclose()  # type: ignore[attr-defined]


async def _announced(database: PostgresDatabase, heard: "asyncio.Future[Hint]") -> bool:
    await backend_on(database).transport.announce(Hint(routes=frozenset({1})))
    return heard.done()


async def test_a_listener_knows_whether_others_listen(database_url: str) -> None:
    async with PostgresDatabase(database_url) as database:
        one = PostgresTransport(database, company_unknown_for=timedelta(0))
        other = PostgresTransport(database, company_unknown_for=timedelta(0))
        assert one.has_company
        first = asyncio.ensure_future(_listen(one))
        await eventually(lambda: _each_has_company(one, wanted=False), what="the first to find itself alone")
        second = asyncio.ensure_future(_listen(other))
        await eventually(lambda: _each_has_company(one, other), what="both to hear of each other")
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)


async def _each_has_company(*transports: PostgresTransport, wanted: bool = True) -> bool:
    return all(transport.has_company is wanted for transport in transports)


async def _listen(transport: PostgresTransport) -> None:
    async for _ in transport.listen():
        pass
