"""Submitting once: what a crash between the declaration and the answer leaves, and what the next attempt does."""

import asyncio
from typing import Any

import pytest

from stageline_sdk import (
    ApiError,
    Context,
    NoInput,
    NonRetryableError,
    Stage,
    SuspectedOrphanError,
    stage,
)
from stageline_sdk._submit_once import AttemptSubmissions, submit_once
from stageline_sdk.submissions import Submission
from stageline_sdk.testing import StageEnvironment

AnyStage = Stage[Any, Any, Any]


class Provider:
    """What a provider has, and how often it was asked; `fault` is raised after it took a submission."""

    def __init__(self, *, fault: Exception | None = None, refuses: Exception | None = None) -> None:
        self.taken: list[str] = []
        self.looked_up: list[str] = []
        self.fault = fault
        self.refuses = refuses

    async def submit(self, key: str) -> str:
        if self.refuses is not None:
            raise self.refuses
        self.taken.append(key)
        if self.fault is not None:
            raise self.fault
        return f"batch-of-{key}"

    async def look_up(self, key: str) -> str | None:
        self.looked_up.append(key)
        return f"batch-of-{key}" if key in self.taken else None


PROVIDER: list[Provider] = []


@stage("careful")
async def careful(ctx: Context[NoInput]) -> str:
    return await ctx.submit_once(
        "prompts", PROVIDER[-1].submit, PROVIDER[-1].look_up, refusals=(PermissionError,)
    )


@stage("careless")
async def careless(ctx: Context[NoInput]) -> str:
    return await ctx.submit_once("prompts", PROVIDER[-1].submit)


@stage("threaded")
def threaded(ctx: Context[NoInput]) -> str:
    provider = PROVIDER[-1]
    return ctx.submit_once_sync(
        "prompts",
        lambda key: asyncio.run(provider.submit(key)),
        lambda key: asyncio.run(provider.look_up(key)),
    )


def _phases(env: StageEnvironment) -> list[str]:
    return [each.phase for each in env.submissions.values()]


@pytest.fixture
def provider() -> Provider:
    PROVIDER.append(Provider())
    return PROVIDER[-1]


@pytest.mark.parametrize("which", [careful, threaded])
async def test_what_is_submitted_is_on_record_with_its_reference(which: AnyStage, provider: Provider) -> None:
    env = StageEnvironment()

    reference = await env.run(which)

    (submission,) = env.submissions.values()
    assert submission.key.startswith("prompts-")
    assert (submission.phase, submission.reference) == ("CONFIRMED", reference)
    assert provider.taken == [submission.key]


@pytest.mark.parametrize("which", [careful, threaded])
async def test_a_later_attempt_gets_the_confirmed_reference_and_asks_nobody(
    which: AnyStage, provider: Provider
) -> None:
    env = StageEnvironment()
    first = await env.run(which)

    assert await env.run(which) == first
    assert (len(provider.taken), provider.looked_up) == (1, [])


@pytest.mark.parametrize("which", [careful, threaded])
async def test_an_answer_that_was_lost_is_looked_up_and_not_paid_twice(
    which: AnyStage, provider: Provider
) -> None:
    env = StageEnvironment()
    provider.fault = ConnectionError("the reply was lost")
    with pytest.raises(ConnectionError):
        await env.run(which)
    assert _phases(env) == ["DECLARED"]

    assert await env.run(which) == f"batch-of-{provider.taken[0]}"
    assert len(provider.taken) == 1
    assert _phases(env) == ["CONFIRMED"]


async def test_what_never_reached_the_provider_is_submitted_after_the_look_up(provider: Provider) -> None:
    env = StageEnvironment()
    provider.refuses = ConnectionError("no route")
    with pytest.raises(ConnectionError):
        await env.run(careful)
    provider.refuses = None

    await env.run(careful)

    assert (len(provider.looked_up), len(provider.taken)) == (1, 1)


async def test_a_refusal_is_withdrawn_and_a_retry_submits_without_looking(provider: Provider) -> None:
    env = StageEnvironment()
    provider.refuses = PermissionError("over the quota")
    with pytest.raises(PermissionError):
        await env.run(careful)
    assert _phases(env) == ["WITHDRAWN"]
    provider.refuses = None

    await env.run(careful)

    assert (provider.looked_up, len(provider.taken)) == ([], 1)


async def test_what_cannot_be_looked_up_is_suspected_and_never_repeated(provider: Provider) -> None:
    env = StageEnvironment()
    provider.fault = ConnectionError("the reply was lost")
    with pytest.raises(ConnectionError):
        await env.run(careless)
    provider.fault = None

    with pytest.raises(SuspectedOrphanError) as caught:
        await env.run(careless)
    assert caught.value.key == provider.taken[0]
    assert isinstance(caught.value, NonRetryableError)
    assert _phases(env) == ["SUSPECTED"]

    with pytest.raises(SuspectedOrphanError):
        await env.run(careless)
    assert len(provider.taken) == 1


async def test_a_rerun_submits_anew_under_another_key(provider: Provider) -> None:
    await StageEnvironment().run(careful)
    await StageEnvironment(generation=2).run(careful)

    assert len(set(provider.taken)) == 2


def test_nothing_is_submitted_where_the_declaration_is_not_on_record() -> None:
    def refuse(submission: Submission) -> None:
        raise ApiError("the lease has ended", reason="LEASE_SUPERSEDED")

    asked: list[str] = []
    submissions = AttemptSubmissions("run", "stage", 1, ())
    with pytest.raises(ApiError):
        submit_once(submissions, refuse, "prompts", asked.append, None, ())  # type: ignore[arg-type]

    assert (asked, submissions.known) == ([], ())


def test_one_name_is_not_under_way_twice_at_a_time() -> None:
    submissions = AttemptSubmissions("run", "stage", 1, ())
    steps = submissions.steps("prompts", can_look_up=False)
    next(steps)

    with pytest.raises(RuntimeError, match="under way"):
        next(submissions.steps("prompts", can_look_up=False))
    steps.close()
    next(submissions.steps("prompts", can_look_up=False))


@pytest.mark.parametrize("name", ["", "a b", ".hidden", "x" * 65, "ü"])
def test_a_name_that_is_none_is_told(name: str) -> None:
    with pytest.raises(ValueError, match="submission's name has 1 to 64 characters"):
        AttemptSubmissions("run", "stage", 1, ()).key_of(name)


def test_the_longest_name_fits() -> None:
    assert len(AttemptSubmissions("run", "stage", 1, ()).key_of("x" * 64)) == 101


@pytest.mark.parametrize("reference", ["", "x" * 1025, None, 7])
def test_a_reference_that_is_none_is_told_and_the_submission_stays_declared(reference: object) -> None:
    told: list[Submission] = []
    submissions = AttemptSubmissions("run", "stage", 1, ())
    with pytest.raises(ValueError, match="1 to 1024 characters"):
        submit_once(submissions, told.append, "prompts", lambda key: reference, None, ())  # type: ignore[arg-type, return-value]

    assert [each.phase for each in told] == ["DECLARED"]
