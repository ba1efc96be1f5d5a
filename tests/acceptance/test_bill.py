"""The ledger says what the provider's bill says, to the last cent, whoever is killed: what it cannot know, it calls unknown.

The provider outlives everybody here. It charges a request once it begins to work, whether or not anyone hears the answer.
"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from stageline_sdk import SyncClient
from stageline_sdk.ai.testing import Charge, FakeProvider, Reply, Tokens
from tests.acceptance.ledger import Ledger
from tests.support.processes import stopped
from tests.support.stack import DevServer, Stack
from tests.waiting import eventually_sync

pytestmark = pytest.mark.timeout(180)

WORKER = "tests.acceptance.calling:worker"
TOKENS = Tokens(input=1234, cached=400, output=321, reasoning=50)


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(lambda asked: Reply(text=f"heard {asked.prompt}", tokens=TOKENS)) as fake:
        yield fake


def paying(stack: Stack, provider: FakeProvider) -> Stack:
    """The same processes, whose models are the provider's."""
    return replace(stack, environment={**stack.environment, **provider.environment()})


def booked(server: DevServer) -> tuple[int, int, int, Decimal]:
    """The ledger: calls, those that are open, those of unknown cost, and the sum of what is known."""
    ((calls, is_open, unknown, cost),) = server.query(
        "SELECT count(*), count(*) FILTER (WHERE is_open), count(*) - count(cost), coalesce(sum(cost), 0) FROM ai_calls"
    )
    return calls, is_open, unknown, cost


def wait_for_calls(server: DevServer, count: int) -> None:
    """Returns once so many calls are on the books."""
    eventually_sync(lambda: booked(server)[0] >= count, what=f"{count} calls on the books")


def total(*charges: Charge) -> Decimal:
    """What charges cost in all."""
    return sum((each.cost_usd or Decimal(0) for each in charges), Decimal(0))


def test_what_killed_workers_spent_is_on_the_books_or_told_to_be_unknown(
    stack: Stack, ledger: Ledger, provider: FakeProvider
) -> None:
    """In mid-call, in the middle of a stream, with the answer in hand; and with a batch fetched, which is fetched again."""
    stack = paying(stack, provider)
    server = stack.dev()
    doomed = stack.worker(WORKER, server)
    held = Reply(text="one two three four", tokens=TOKENS, held_after_chunks=2)
    with SyncClient(server.address) as client:
        provider.answer(replace(held, is_held=True, held_after_chunks=None), held)
        runs = [client.create_run("text", ledger.order()).id]
        provider.wait_for_held(1)
        runs.append(client.create_run("stream", ledger.order()).id)
        provider.wait_for_held(2)
        runs.append(client.create_run("text", ledger.order(held=["text"])).id)
        runs.append(client.create_run("batch", ledger.order(held=["batch"])).id)
        ledger.wait_for("text", 1)
        ledger.wait_for("batch", 1)
        # Two that began, one with its answer, two items of a batch.
        eventually_sync(lambda: booked(server)[:3] == (5, 2, 2), what="all that is known of the calls")
        doomed.kill()
        provider.release()
        ledger.open_gate()
        stack.worker(WORKER, server)
        assert [client.wait_for_run(each).error for each in runs] == [None] * 4
        details = [client.get_run(each) for each in runs]
    lost, charges = provider.bill.charges[:2], provider.bill.charges
    assert len(charges) == 2 + 1 + 2 + 3, "the batch was paid once, the other three twice"
    assert booked(server) == (len(charges), 2, 2, total(*charges) - total(*lost))
    assert [each.unknown_cost_count for each in details] == [1, 1, 0, 0]
    assert sum(each.total_cost_usd for each in details) == total(*charges) - total(*lost)


def test_a_killed_server_costs_no_cent_of_the_ledger(
    patient_stack: Stack, ledger: Ledger, provider: FakeProvider
) -> None:
    """One call goes on while it is away, another one ends, and of a third the announcement alone is on the books."""
    stack = paying(patient_stack, provider)
    server = stack.dev()
    stack.worker(WORKER, server)
    provider.answer(Reply(text="at last", tokens=TOKENS, is_held=True))
    with SyncClient(server.address) as client:
        runs = [client.create_run("text", ledger.order()).id]
        provider.wait_for_held()
        runs.append(client.create_run("text", ledger.order(held=["text"])).id)
        ledger.wait_for("text", 1)
        wait_for_calls(server, 2)
        server.process.kill()
        provider.release()
        ledger.open_gate()
        ledger.wait_for("text", 2)
        server = stack.dev(port=server.port)
        assert {client.wait_for_run(each).status for each in runs} == {"COMPLETED"}
    assert booked(server) == (2, 0, 0, provider.bill.total_usd)


def test_superseded_and_cancelled_work_is_paid_for_and_on_the_books(
    stack: Stack, ledger: Ledger, provider: FakeProvider
) -> None:
    stack = paying(stack, provider)
    server = stack.dev()
    sleeper = stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        superseded = client.create_run("text", ledger.order(held=["text"])).id
        ledger.wait_for("text", 1)
        wait_for_calls(server, 1)
        with stopped(sleeper.pid):
            stack.worker(WORKER, server)
            ledger.wait_for("text", 2)
            cancelled = client.create_run("text", ledger.order(held=["text"])).id
            ledger.wait_for("text", 3)
            client.cancel_run(cancelled)
            ledger.open_gate()
            assert client.wait_for_run(superseded).status == "COMPLETED"
        assert client.wait_for_run(cancelled).status == "CANCELLED"
        # The sleeper wakes, finishes what is no longer its own, and tells of its call once more.
        sessions = server.count_sessions()
        server.wait_for_sessions(sessions + 1, of=sleeper)
        eventually_sync(lambda: booked(server)[:3] == (3, 0, 0), what="all that is known of the calls")
        spent = [client.get_run(each) for each in (superseded, cancelled)]
    charges = provider.bill.charges
    assert booked(server) == (3, 0, 0, total(*charges))
    assert [each.wasted_cost_usd for each in spent] == [charges[0].cost_usd, charges[2].cost_usd]
