"""What a client does when calls fail, watches break, and pages follow on pages."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from stageline.v1 import error_pb2, run_pb2, run_service_pb2
from stageline_sdk import (
    AbortedError,
    Client,
    DeadlineExceededError,
    Event,
    NotFoundError,
    SyncClient,
    UnavailableError,
)
from tests.support.scripted_runs import RUN_ID, ScriptedRuns

IN_PROGRESS = error_pb2.ErrorDetail(
    reason=error_pb2.ERROR_REASON_REQUEST_IN_PROGRESS, message="still running"
)
NOT_FOUND = error_pb2.ErrorDetail(reason=error_pb2.ERROR_REASON_RUN_NOT_FOUND, message="no such run")


@pytest.fixture
async def runs() -> AsyncIterator[ScriptedRuns]:
    async with ScriptedRuns() as server:
        yield server


# Calls


async def test_a_call_is_repeated_with_the_same_request_id(runs: ScriptedRuns) -> None:
    runs.failures.extend([grpc.StatusCode.UNAVAILABLE, (grpc.StatusCode.ABORTED, IN_PROGRESS)])
    async with Client(runs.address) as client:
        run = await client.create_run("pipeline", {"a": 1})
    assert run.id == RUN_ID
    request_ids = [request.request_id for request in runs.requests]
    assert len(request_ids) == 3
    assert len(set(request_ids)) == 1
    assert request_ids[0] != ""


async def test_each_run_has_a_request_id_of_its_own_or_the_given_one(runs: ScriptedRuns) -> None:
    async with Client(runs.address) as client:
        await client.create_run("pipeline")
        await client.create_run("pipeline")
        await client.create_run("pipeline", request_id="mine")
    first, second, third = (request.request_id for request in runs.requests)
    assert first != second
    assert third == "mine"


async def test_a_refusal_is_not_repeated(runs: ScriptedRuns) -> None:
    runs.failures.append((grpc.StatusCode.NOT_FOUND, NOT_FOUND))
    async with Client(runs.address) as client:
        with pytest.raises(NotFoundError, match="RUN_NOT_FOUND: no such run"):
            await client.get_run("nothing")
    assert len(runs.requests) == 1


async def test_another_abortion_is_not_repeated(runs: ScriptedRuns) -> None:
    runs.failures.append(grpc.StatusCode.ABORTED)
    async with Client(runs.address) as client:
        with pytest.raises(AbortedError):
            await client.get_run(RUN_ID)
    assert len(runs.requests) == 1


async def test_a_client_without_patience_tries_once(runs: ScriptedRuns) -> None:
    runs.failures.extend([grpc.StatusCode.UNAVAILABLE] * 3)
    async with Client(runs.address, retry_for=timedelta(0)) as client:
        with pytest.raises(UnavailableError):
            await client.get_run(RUN_ID)


async def test_the_token_goes_with_every_call(runs: ScriptedRuns) -> None:
    async with Client(runs.address, token="secret") as client:
        await client.run_and_wait("pipeline")
    assert set(runs.tokens) == {"Bearer secret"}


async def test_a_client_can_be_used_again_after_it_was_closed(runs: ScriptedRuns) -> None:
    client = Client(runs.address)
    await client.close()
    await client.get_run(RUN_ID)
    await client.close()
    await client.get_run(RUN_ID)
    await client.close()


# Watches


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(breaks=st.lists(st.integers(0, 4), max_size=5), after=st.integers(0, 9), repeats=st.booleans())
def test_a_watch_that_breaks_neither_repeats_nor_skips(breaks: list[int], after: int, repeats: bool) -> None:
    async def watch() -> list[int]:
        async with ScriptedRuns() as runs, Client(runs.address) as client:
            runs.watches.extend(breaks)
            runs.repeats = repeats
            return [event.sequence async for event in client.watch_run(RUN_ID, after_sequence=after)]

    assert asyncio.run(watch()) == list(range(after + 1, 11))


async def test_a_watch_gives_up_when_the_server_stays_away(runs: ScriptedRuns) -> None:
    runs.failures.extend([grpc.StatusCode.UNAVAILABLE] * 50)
    async with Client(runs.address, outage_max=timedelta(milliseconds=50)) as client:
        with pytest.raises(UnavailableError):
            _ = [event async for event in client.watch_run(RUN_ID)]


async def test_a_watch_of_nothing_is_refused(runs: ScriptedRuns) -> None:
    runs.failures.append((grpc.StatusCode.NOT_FOUND, NOT_FOUND))
    async with Client(runs.address) as client:
        with pytest.raises(NotFoundError):
            _ = [event async for event in client.watch_run("nothing")]
    assert len(runs.requests) == 1


# Waiting


class Answer(BaseModel):
    answer: int


@pytest.mark.parametrize("is_async", [True, False])
async def test_waiting_tells_events_and_returns_the_result(runs: ScriptedRuns, is_async: bool) -> None:
    seen: list[int] = []

    def tell(event: Event) -> None:
        seen.append(event.sequence)

    async def tell_later(event: Event) -> None:
        seen.append(event.sequence)

    runs.watches.extend([3, 3])
    async with Client(runs.address) as client:
        result = await client.run_and_wait("pipeline", on_event=tell_later if is_async else tell)
    assert seen == list(range(1, 11))
    assert result.is_completed
    assert result.status == "COMPLETED"
    assert result.output == {"answer": 42}
    assert result.output_as(Answer) == Answer(answer=42)


async def test_a_time_limit_ends_the_waiting_and_names_the_run(runs: ScriptedRuns) -> None:
    runs.watches.extend([0] * 1000)
    async with Client(runs.address) as client:
        with pytest.raises(DeadlineExceededError, match="it goes on") as raised:
            await client.run_and_wait("pipeline", timeout=timedelta(milliseconds=100))
    assert raised.value.metadata["run_id"] == RUN_ID
    assert isinstance(raised.value, TimeoutError)


async def test_an_error_of_the_callback_is_raised(runs: ScriptedRuns) -> None:
    def fail(_event: Event) -> None:
        raise LookupError("mine")

    async with Client(runs.address) as client:
        with pytest.raises(LookupError, match="mine"):
            await client.run_and_wait("pipeline", on_event=fail)


# Lists


def page(*ids: str, token: str = "") -> run_service_pb2.ListRunsResponse:
    return run_service_pb2.ListRunsResponse(
        runs=[run_pb2.Run(run_id=each) for each in ids], next_page_token=token
    )


async def test_pages_are_fetched_as_they_are_needed(runs: ScriptedRuns) -> None:
    runs.pages.extend([page("a", "b", token="2"), page(token="3"), page("c")])
    async with Client(runs.address) as client:
        listed = [run.id async for run in client.list_runs(workflow="pipeline", status=["failed"])]
    assert listed == ["a", "b", "c"]
    assert [request.page_token for request in runs.requests] == ["", "2", "3"]
    assert {request.workflow_name for request in runs.requests} == {"pipeline"}
    assert list(runs.requests[0].states) == [run_pb2.RUN_STATE_FAILED]


async def test_a_list_keeps_to_its_limit(runs: ScriptedRuns) -> None:
    runs.pages.extend([page("a", "b", token="2"), page("c", "d", token="3")])
    async with Client(runs.address) as client:
        listed = [run.id async for run in client.list_runs(limit=3)]
    assert listed == ["a", "b", "c"]
    assert [request.page_size for request in runs.requests] == [3, 1]


async def test_a_status_that_does_not_exist_is_refused(runs: ScriptedRuns) -> None:
    async with Client(runs.address) as client:
        with pytest.raises(ValueError, match="DONE"):
            _ = [run async for run in client.list_runs(status=["DONE"])]


# The client for scripts


async def test_the_sync_client_does_the_same(runs: ScriptedRuns) -> None:
    def script() -> tuple[str, list[int], list[str], int]:
        seen: list[int] = []
        with SyncClient(runs.address) as client:
            run = client.create_run("pipeline", {"a": 1})
            watched = [event.sequence for event in client.watch_run(run.id)]
            listed = [each.id for each in client.list_runs()]
            result = client.run_and_wait("pipeline", on_event=lambda event: seen.append(event.sequence))
            assert seen == watched
            return run.id, watched, listed, result.output["answer"]

    runs.watches.extend([4])
    runs.pages.append(page("a"))
    assert await asyncio.to_thread(script) == (RUN_ID, list(range(1, 11)), ["a"], 42)


async def test_a_watch_of_the_sync_client_can_be_left_early(runs: ScriptedRuns) -> None:
    def script() -> int:
        with SyncClient(runs.address) as client:
            for event in client.watch_run(RUN_ID):
                return event.sequence
        return 0

    assert await asyncio.to_thread(script) == 1


def test_a_sync_client_that_was_never_used_closes_quietly() -> None:
    client = SyncClient("127.0.0.1:1")
    client.close()
    client.close()


def test_the_sync_client_has_every_method_of_the_other_one() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(SyncClient) == public(Client)
    for name in public(Client):
        assert getattr(SyncClient, name).__doc__, name
