"""Fixtures for tests that need a real PostgreSQL, or S3. A test that uses a database is marked `postgres` by it."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.object_store import Bucket, make_bucket, object_server
from tests.support.postgres import DatabaseServer, Prepare, database_server

CreateDatabase = Callable[..., str]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[DatabaseServer]:
    """The PostgreSQL of this test process; see `tests/support/postgres.py`."""
    with database_server() as server:
        yield server


@pytest.fixture
def create_database(postgres_server: DatabaseServer) -> Iterator[CreateDatabase]:
    """Makes databases of this test's own: `create_database(prepare=None) -> url`. Dropped after the test."""
    made: list[str] = []

    def create(prepare: Prepare | None = None) -> str:
        made.append(postgres_server.create_database(prepare))
        return made[-1]

    yield create
    for url in made:
        postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def object_endpoint() -> Iterator[str]:
    """The URL of this test process's S3."""
    with object_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(object_endpoint: str) -> Bucket:
    """An empty bucket of this test's own."""
    return make_bucket(object_endpoint)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that reach a PostgreSQL through these fixtures."""
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")
