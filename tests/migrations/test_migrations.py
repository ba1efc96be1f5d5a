"""The schema by migrations is the schema of the tables, forwards and backwards, by one server or by many."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

import stageline_migrations
from stageline_engine.adapters.postgres.tables import metadata
from stageline_migrations import current, downgrade, newest, upgrade
from tests.migrations.catalog import schema_text
from tests.support.fixtures import CreateDatabase

GOLDEN = Path(__file__).parent / "schema.txt"
VERSIONS = Path(stageline_migrations.__file__).parent / "versions"


def engine(url: str) -> Engine:
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)


def test_migrated_schema_is_that_of_the_tables(create_database: CreateDatabase) -> None:
    migrated, made = create_database(upgrade), create_database()
    metadata.create_all(engine(made))
    assert schema_text(migrated) == schema_text(made)
    with engine(migrated).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_schema_is_the_one_that_was_reviewed(create_database: CreateDatabase) -> None:
    """After a change on purpose, write the new text to the file and read the difference."""
    assert schema_text(create_database(upgrade)) == GOLDEN.read_text()


def test_down_and_up_again_changes_nothing(create_database: CreateDatabase) -> None:
    url = create_database(upgrade)
    before = schema_text(url)
    downgrade(url, "base")
    assert current(url) is None
    assert schema_text(url) == "-- columns\n-- constraints\n-- indexes\n-- storage\n"
    upgrade(url)
    assert current(url) == newest()
    assert schema_text(url) == before


def test_servers_that_start_together_migrate_once(create_database: CreateDatabase) -> None:
    url = create_database()
    with ThreadPoolExecutor(5) as servers:
        for outcome in [servers.submit(upgrade, url) for _ in range(5)]:
            outcome.result()
    assert current(url) == newest()


def test_upgrade_of_an_up_to_date_database_changes_nothing(create_database: CreateDatabase) -> None:
    url = create_database(upgrade)
    before = schema_text(url)
    upgrade(url)
    assert schema_text(url) == before


def test_current_of_an_empty_database_is_none(create_database: CreateDatabase) -> None:
    assert current(create_database()) is None


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("[0-9]*.py")), ids=lambda path: path.stem)
def test_file_names_say_whether_they_expand_or_contract(path: Path) -> None:
    number, kind, *slug = path.stem.split("_")
    assert len(number) == 4
    assert kind in {"expand", "contract"}
    assert slug
