"""Looking after a server over the wire: its workers, its timers by hand, what it could not deliver."""

from datetime import timedelta
from typing import Any

import grpc

from stageline.v1 import admin_service_pb2, event_service_pb2, run_pb2, run_service_pb2
from stageline.v1.event_service_pb2_grpc import EventServiceStub
from stageline_engine.model.session import SessionRow
from stageline_engine.ports import OutboxSettlement
from stageline_engine.records import ChangeSet
from tests.integration.server.running import Server, documents, refused
from tests.integration.server.test_waits import approval

TICK = admin_service_pb2.MaintenanceTickRequest()


async def test_workers_are_listed_by_name_with_what_they_hold(server: Server) -> None:
    await server.register(documents())
    await server.create()
    await server.lease()
    now, ids = server.ports.clock.now(), server.ports.ids
    for name, namespace in (("a-2", "default"), ("a-1", "default"), ("a-3", "other")):
        labels = {"zone": "b"}
        row = SessionRow(
            ids.new_id(), namespace, name, "elsewhere", 4, "sdk 1.2 python 3.11", now, now + timedelta(hours=1), labels
        )  # fmt: skip
        await server.ports.sessions.open(row)
    request = admin_service_pb2.ListWorkersRequest(page_size=2)
    first = await server.admin.ListWorkers(request)
    request.page_token = first.next_page_token
    second = await server.admin.ListWorkers(request)
    found = [*first.workers, *second.workers]
    assert [(each.identity.name, each.held_jobs) for each in found] == [("a-1", 0), ("a-2", 0), ("tester", 1)]
    one = found[0]
    assert (one.identity.sdk_name, one.identity.sdk_version, one.identity.runtime) == (
        "sdk",
        "1.2",
        "python 3.11",
    )
    assert (one.slots, dict(one.labels), one.server_id, one.draining) == (
        4,
        {"zone": "b"},
        "elsewhere",
        False,
    )
    assert not second.next_page_token
    request.namespace = "other"
    assert (await refused(server.admin.ListWorkers(request))).reason == "PAGE_TOKEN_INVALID"


async def test_a_tick_takes_back_the_leases_of_the_dead(server: Server) -> None:
    await server.register(documents())
    run = await server.create()
    now, workflow = server.ports.clock.now(), await server.ports.registry.get("default", "documents")
    assert workflow is not None
    offers = await server.lease()
    [offer] = offers
    await server.ports.sessions.renew({offer.lease.session_id}, server.application.plane.server_id, now)
    ticked = await server.admin.MaintenanceTick(TICK)
    assert (ticked.reaped_lease_count, ticked.expired_stage_count, ticked.more) == (1, 0, False)
    [again] = await server.lease()
    assert (str(again.lease.run_id), again.delivery) == (run.run_id, 2)
    assert (await server.admin.MaintenanceTick(TICK)).reaped_lease_count == 0


async def test_a_tick_of_one_namespace_is_refused(server: Server) -> None:
    request = admin_service_pb2.MaintenanceTickRequest(namespace="default")
    answer = await refused(server.admin.MaintenanceTick(request))
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["namespace"])


async def test_a_run_that_takes_too_long_fails_at_its_moment(server: Server) -> None:
    definition = approval()
    definition.run_timeout.FromTimedelta(timedelta(milliseconds=30))
    stored = (await server.register(definition)).workflow
    assert stored.definition.run_timeout == definition.run_timeout
    run = await server.create()
    types = []
    async for answer in _watch(server, run.run_id):
        types.append(answer.event.type)
    assert types[-1] == "workflow:failed"
    failed = await server.get(run.run_id)
    assert (failed.state, failed.error.code) == (run_pb2.RUN_STATE_FAILED, "RUN_TIMED_OUT")


async def test_a_time_limit_that_is_none_is_refused(server: Server) -> None:
    for seconds in (0, -1, 400 * 86_400):
        definition = approval()
        definition.run_timeout.FromTimedelta(timedelta(seconds=seconds))
        answer = await refused(server.register(definition))
        assert answer.fields == ["definition.run_timeout"]


async def test_where_nothing_is_dead_nothing_is_replayed(server: Server) -> None:
    events = EventServiceStub(server.channel)
    listed = await events.ListDeadLetters(event_service_pb2.ListDeadLettersRequest())
    assert (len(listed.dead_letters), listed.next_page_token) == (0, "")
    request = event_service_pb2.ReplayDeadLettersRequest
    replayed = await events.ReplayDeadLetters(request(plugin="sink"))
    assert (replayed.replayed_count, replayed.more) == (0, False)
    unknown = "sink.01920000-0000-7000-8000-000000000000.3"
    for letter_id in (unknown, "x", "x" * 5000):
        answer = await refused(events.ReplayDeadLetters(request(dead_letter_ids=[letter_id])))
        assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "DEAD_LETTER_NOT_FOUND")
    for wrong in (
        request(),
        request(dead_letter_ids=[unknown], plugin="sink"),
        request(dead_letter_ids=["x"] * 1001),
    ):
        assert (await refused(events.ReplayDeadLetters(wrong))).fields == ["dead_letter_ids"]


async def test_dead_letters_are_listed_and_replayed_by_id_and_all_together(server: Server) -> None:
    events = EventServiceStub(server.channel)
    await server.register(documents())
    runs = sorted([(await server.create()).run_id for _ in range(3)])
    await give_up(server)
    request = event_service_pb2.ListDeadLettersRequest(page_size=2)
    first = await events.ListDeadLetters(request)
    request.page_token = first.next_page_token
    second = await events.ListDeadLetters(request)
    letters = [*first.dead_letters, *second.dead_letters]
    assert [letter.event.run_id for letter in letters] == runs
    one = letters[0]
    assert (one.plugin, one.attempts, one.last_error) == ("sink", 20, "it is away")
    assert (one.event.sequence, one.event.type, one.event.workflow_name) == (
        1,
        "workflow:created",
        "documents",
    )
    other = await events.ListDeadLetters(event_service_pb2.ListDeadLettersRequest(namespace="other"))
    assert not other.dead_letters
    replay = event_service_pb2.ReplayDeadLettersRequest
    foreign = await refused(
        events.ReplayDeadLetters(replay(namespace="other", dead_letter_ids=[one.dead_letter_id]))
    )
    assert foreign.reason == "DEAD_LETTER_NOT_FOUND"
    answer = await events.ReplayDeadLetters(replay(dead_letter_ids=[one.dead_letter_id]))
    assert (answer.replayed_count, answer.more) == (1, False)
    rest = await events.ReplayDeadLetters(replay(plugin="sink"))
    assert rest.replayed_count == 2
    assert not (await events.ListDeadLetters(event_service_pb2.ListDeadLettersRequest())).dead_letters


async def give_up(server: Server) -> None:
    """Dead-letters the first event of every run, as a flusher does whose sink refuses it for hours."""
    persistence, now = server.ports.persistence, server.ports.clock.now()
    until = now + timedelta(minutes=1)
    async with persistence.begin() as work:
        await work.keep_consumers(["sink"], now)
        await work.sequence_events(now, 100)
        await work.commit(ChangeSet())
    async with persistence.begin() as work:
        claimed = await work.claim_outbox("sink", now, 100, until)
        await work.commit(ChangeSet())
    async with persistence.begin() as work:
        await work.settle_outbox(
            "sink",
            [
                OutboxSettlement(each.run_id, until, 0, tries=20, dead_at=now, last_error="it is away")
                for each in claimed
            ],
        )
        await work.commit(ChangeSet())


def _watch(server: Server, run_id: str) -> Any:
    return server.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=run_id))
