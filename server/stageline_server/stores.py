"""Puts the ports together: on a PostgreSQL with a disk or a bucket for large bytes, or in memory."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from stageline_engine.adapters.disk import DiskBlobStore
from stageline_engine.adapters.memory import MemoryBlobStore, MemoryStore
from stageline_engine.adapters.postgres import (
    PostgresBlobIndex,
    PostgresClock,
    PostgresDatabase,
    PostgresLogs,
    PostgresPersistence,
    PostgresQueries,
    PostgresRegistry,
    PostgresSessions,
    PostgresTokens,
    PostgresTransport,
    PostgresUsage,
)
from stageline_engine.adapters.system import SystemClock, SystemIds, SystemScheduler
from stageline_engine.ports import BlobStore, EventSink
from stageline_server.auth.office import TokenOffice
from stageline_server.dispatch.ports import Ports
from stageline_server.settings import PREFIX, Settings, SettingsError

BLOBS_FOLDER = "blobs"


@asynccontextmanager
async def postgres_ports(
    settings: Settings, dsn: str, sinks: Mapping[str, EventSink] | None = None
) -> AsyncIterator[Ports]:
    """Opens the ports on a database, and closes its connections at the end.

    Args:
        settings: How many connections, how long to wait for one, and where large bytes go.
        dsn: The database, with its schema migrated.
        sinks: The consumers of events by name.

    Raises:
        StorageUnavailableError: The database cannot be reached.
        SettingsError: The blob store that is asked for is not installed.
    """
    blobs = blob_store(settings)
    database = PostgresDatabase(
        dsn,
        transactions_max=settings.transaction_connections,
        reads_max=settings.read_connections,
        connection_wait=settings.connection_wait,
    )
    async with database:
        clock = PostgresClock(database)
        await clock.refresh()
        yield Ports(
            persistence=PostgresPersistence(database),
            registry=PostgresRegistry(database),
            queries=PostgresQueries(database),
            sessions=PostgresSessions(database),
            tokens=PostgresTokens(database),
            logs=PostgresLogs(database),
            blobs=blobs,
            blob_index=PostgresBlobIndex(database),
            usage=PostgresUsage(database),
            transport=PostgresTransport(database),
            clock=clock,
            scheduler=SystemScheduler(clock),
            ids=SystemIds(),
            sinks=sinks or {},
            pools=database.pools,
        )


@asynccontextmanager
async def token_office(dsn: str) -> AsyncIterator[TokenOffice]:
    """Opens the tokens of a database alone, for whoever may write to it.

    Raises:
        StorageUnavailableError: The database cannot be reached.
    """
    async with PostgresDatabase(dsn, transactions_max=1, reads_max=1) as database:
        clock = PostgresClock(database)
        await clock.refresh()
        yield TokenOffice(PostgresTokens(database), PostgresTransport(database), clock, SystemIds())


def blob_store(settings: Settings) -> BlobStore:
    """Returns where large bytes go: the bucket of the settings, else a folder. Touches neither yet.

    Raises:
        SettingsError: A bucket is asked for, and the library for it is not installed.
    """
    if not settings.blob_bucket:
        return DiskBlobStore(settings.data_dir / BLOBS_FOLDER)
    try:
        from stageline_engine.adapters.s3 import S3BlobStore  # noqa: PLC0415 - needs an extra of the distribution
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{PREFIX}BLOB_BUCKET: needs the library for S3; install it with: pip install 'stageline[s3]'"
        ) from error
    return S3BlobStore(
        settings.blob_bucket,
        prefix=settings.blob_prefix,
        endpoint=settings.blob_endpoint,
        region=settings.blob_region,
    )


def memory_ports(sinks: Mapping[str, EventSink] | None = None) -> Ports:
    """Makes ports in memory: nothing outlives the process. ``sinks`` are the consumers of events by name."""
    store, clock = MemoryStore(), SystemClock()
    return Ports(
        persistence=store.persistence,
        registry=store.registry,
        queries=store.queries,
        sessions=store.sessions,
        tokens=store.tokens,
        logs=store.logs,
        blobs=MemoryBlobStore(),
        blob_index=store.blob_index,
        usage=store.usage,
        transport=store.transport,
        clock=clock,
        scheduler=SystemScheduler(clock),
        ids=SystemIds(),
        sinks=sinks or {},
    )
