"""The databases that tests get are their own, and gone afterwards."""

import os

import psycopg
import pytest

from tests.support.fixtures import CreateDatabase
from tests.support.postgres import DatabaseServer


def _make_table(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE prepared AS SELECT pg_backend_pid() AS maker")


def _maker(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT maker FROM prepared").fetchone()
    assert row is not None
    return int(row[0])


def _exists(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_two_databases_are_apart(create_database: CreateDatabase) -> None:
    full, empty = create_database(_make_table), create_database()
    assert _maker(full) > 0
    with pytest.raises(psycopg.errors.UndefinedTable):
        _maker(empty)


def test_preparing_happens_once_for_many_copies(create_database: CreateDatabase) -> None:
    first, second = create_database(_make_table), create_database(_make_table)
    assert first != second
    assert _maker(first) == _maker(second)


def test_a_database_is_dropped_though_a_connection_is_open(postgres_server: DatabaseServer) -> None:
    url = postgres_server.create_database()
    with psycopg.connect(url) as connection:
        postgres_server.drop_database(url)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert not _exists(url)


def test_templates_go_with_the_server(postgres_server: DatabaseServer) -> None:
    def prepare(url: str) -> None:
        made.append(url)

    made: list[str] = []
    copy = postgres_server.create_database(prepare)
    assert _exists(made[0])
    postgres_server.drop_database(copy)
    postgres_server.drop_templates()
    assert not _exists(made[0])


@pytest.mark.skipif("STAGELINE_TEST_DATABASE_URL" not in os.environ, reason="no server was named")
def test_the_server_of_the_environment_is_used(create_database: CreateDatabase) -> None:
    with psycopg.connect(create_database()) as connection:
        port = connection.info.port
    assert str(port) in os.environ["STAGELINE_TEST_DATABASE_URL"]
