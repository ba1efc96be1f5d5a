"""What a stage costs: statements, round trips and transactions, by count and not by time."""

from stageline_engine.adapters.postgres import PostgresDatabase
from stageline_engine.testing import Scene, workflow
from stageline_engine.testing.scene import completed
from tests.integration.postgres.backends import backend_on
from tests.integration.postgres.wire import messages_sent

STATEMENTS_PER_STAGE_MAX = 6
ROUND_TRIPS_PER_BATCH_MAX = 4


async def test_an_idle_stage_from_lease_to_advance(database: PostgresDatabase) -> None:
    """Report a stage, start the next one, hand it over with its inputs: one transaction of six statements."""
    scene = Scene(backend_on(database))
    registered = await scene.register(workflow("line", *(f"s{n}" for n in range(8))))
    session_id = await scene.open_session()
    demand = scene.demand(session_id, registered, slots=1)
    await scene.create("line")
    [offer] = await scene.lease(session_id, registered, slots=1)
    for _ in range(2):  # the first time a statement is run it is prepared as well
        [offer] = (await scene.report_many((offer, completed({"n": 1})), demands=[demand])).effects.offers
    async with messages_sent(database) as sent:
        [offer] = (await scene.report_many((offer, completed({"n": 1})), demands=[demand])).effects.offers
    assert list(offer.outputs.values()) == ['{"n":1}']
    assert sent["Execute"] <= STATEMENTS_PER_STAGE_MAX
    assert sent["Parse"] == 0
    assert sent["Sync"] + sent["Flush"] <= ROUND_TRIPS_PER_BATCH_MAX


async def test_two_hundred_stages_cost_as_many_statements_as_one(database: PostgresDatabase) -> None:
    scene = Scene(backend_on(database))
    registered = await scene.register(workflow("line", *(f"s{n}" for n in range(5))))
    session_id = await scene.open_session()
    demand = scene.demand(session_id, registered, slots=200)
    for _ in range(200):
        await scene.create("line")
    offers = await scene.lease(session_id, registered, slots=200)
    for _ in range(2):
        reports = [(offer, completed(1)) for offer in offers]
        offers = (await scene.report_many(*reports, demands=[demand])).effects.offers
    async with messages_sent(database) as sent:
        reports = [(offer, completed(1)) for offer in offers]
        offers = (await scene.report_many(*reports, demands=[demand])).effects.offers
    assert len(offers) == 200
    assert sent["Execute"] <= STATEMENTS_PER_STAGE_MAX
    assert sent["Sync"] + sent["Flush"] <= ROUND_TRIPS_PER_BATCH_MAX


async def test_a_lease_of_nothing_writes_nothing(database: PostgresDatabase) -> None:
    scene = Scene(backend_on(database))
    registered = await scene.register(workflow("line", "a"))
    session_id = await scene.open_session()
    await scene.lease(session_id, registered)
    async with messages_sent(database) as sent:
        assert await scene.lease(session_id, registered) == ()
    assert sent["Execute"] == 3  # BEGIN, claim, COMMIT


async def test_what_is_left_without_a_statement_costs_nothing(database: PostgresDatabase) -> None:
    backend = backend_on(database)
    async with messages_sent(database) as sent, backend.persistence.begin():
        pass
    assert not sent


async def test_a_rollback_keeps_what_is_prepared(database: PostgresDatabase) -> None:
    scene = Scene(backend_on(database))
    await scene.register(workflow("line", "a"))
    run_id = await scene.create("line")

    async def look_and_leave() -> None:
        async with scene.backend.persistence.begin() as work:
            assert len(await work.load_runs({run_id: frozenset({1})})) == 1

    await look_and_leave()
    await look_and_leave()
    async with messages_sent(database) as sent:
        await look_and_leave()
    assert sent["Execute"] == 4  # BEGIN, two reads, ROLLBACK
    assert sent["Parse"] == 0
