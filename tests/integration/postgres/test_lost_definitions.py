"""Definitions that were written over behind our back, met by a server that has not read them before."""

import pytest

from stageline_engine.adapters.postgres import PostgresDatabase
from stageline_engine.decide.repair import DEFINITION_LOST
from stageline_engine.errors import InvariantError
from stageline_engine.testing import Scene, workflow
from tests.integration.postgres.backends import backend_on

OVERWRITE = b"UPDATE workflow_versions SET definition = $1::json WHERE name = $2"


async def overwritten(database: PostgresDatabase, text: str) -> Scene:
    """A fresh process beside two workflows, of which the definition of one was overwritten."""
    before = Scene(backend_on(database))
    for name in ("broken", "sound"):
        await before.register(workflow(name, "a"))
    await database.run(OVERWRITE, (text, "broken"))
    return Scene(backend_on(database), seed=1, clock=before.clock)


async def test_what_cannot_be_read_counts_as_not_there_and_hides_nothing(database: PostgresDatabase) -> None:
    scene = await overwritten(database, '{"groups": [[{"mode": "odd", "id": "a"}]]}')
    assert await scene.backend.registry.get("default", "broken", 1) is None
    page = await scene.backend.registry.list("default", limit=1)
    assert [workflow.definition.name for workflow in page] == ["sound"]
    with pytest.raises(InvariantError, match="cannot be read"):
        await scene.register(workflow("broken", "a"))


async def test_runs_of_a_definition_that_has_not_their_stages_end_and_others_are_leased(
    database: PostgresDatabase,
) -> None:
    first = Scene(backend_on(database))
    broken, sound = [await first.register(workflow(name, "a")) for name in ("broken", "sound")]
    lost, well = await first.create("broken", priority=9), await first.create("sound")
    await database.run(OVERWRITE, ('{"name": "broken", "groups": [[{"id": "b"}]]}', "broken"))
    fresh = Scene(backend_on(database), seed=1, clock=first.clock)
    offers = await fresh.lease(await fresh.open_session(), broken, sound)
    assert [offer.lease.run_id for offer in offers] == [well]
    error = (await fresh.details(lost)).run.error
    assert error is not None
    assert error.code == DEFINITION_LOST
    assert "has not its stages" in error.message
