"""Hosts in memory and on a PostgreSQL."""

from collections.abc import Callable

import pytest

from stageline_local import LocalHost
from stageline_migrations import upgrade
from stageline_sdk import BuiltWorkflow
from tests.support.fixtures import CreateDatabase

MakeHost = Callable[..., LocalHost]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def make_host(request: pytest.FixtureRequest) -> MakeHost:
    """Makes hosts that share one state where it outlives them."""
    database_url = None
    if request.param == "postgres":
        create: CreateDatabase = request.getfixturevalue("create_database")
        database_url = create(upgrade)

    def make(*workflows: BuiltWorkflow, **options: object) -> LocalHost:  # type: ignore[type-arg]
        return LocalHost(*workflows, database_url=database_url, **options)  # type: ignore[arg-type]

    return make
