"""Suspension and checks."""

import hashlib
from typing import Any

from stageline.v1 import job_pb2, report_pb2
from stageline_conformance.bench import Bench, completed
from stageline_conformance.messages import milliseconds, payload, value_of
from stageline_conformance.registry import case
from stageline_conformance.violations import expect, expect_equal


async def _suspended(bench: Bench, run_input: dict[str, Any]) -> report_pb2.Suspended:
    report = await bench.do(await bench.connected(), bench.job("suspend", run_input))
    expect_equal(report.WhichOneof("outcome"), "suspended", "the outcome")
    return report.suspended


async def _checked(bench: Bench, state: dict[str, Any]) -> report_pb2.Report:
    job = bench.job("suspend", kind=job_pb2.JOB_KIND_CHECK, suspended_state=payload(state))
    return await bench.do(await bench.connected(), job)


@case("R56")
async def a_suspension_is_reported(bench: Bench) -> None:
    """A stage that suspends is reported with its state and its poll policy."""
    told = await _suspended(
        bench,
        {
            "state": {"batch": "b-1", "name": "größe"},
            "poll_interval_ms": 2000,
            "max_wait_ms": 60_000,
            "first_check_ms": 1500,
        },
    )
    expect_equal(value_of(told.state), {"batch": "b-1", "name": "größe"}, "the state")
    policy = told.poll_policy
    expect_equal(policy.poll_interval.ToTimedelta(), milliseconds(2000), "poll_interval")
    expect_equal(policy.wait_max.ToTimedelta(), milliseconds(60_000), "wait_max")
    expect_equal(policy.first_check_delay.ToTimedelta(), milliseconds(1500), "first_check_delay")
    expect_equal(policy.never_poll, False, "never_poll")


@case("R56")
async def a_resume_token_is_told_by_its_hash(bench: Bench) -> None:
    """Of a resume token the server is told the SHA-256, and never the text."""
    stream = await bench.connected()
    job = bench.job("suspend", {"state": {}, "never_poll": True, "tokens": ["approval by finance"]})
    told = (await bench.do(stream, job)).suspended
    expect_equal(told.poll_policy.never_poll, True, "never_poll")
    expect_equal(
        [condition.label for condition in told.resume_conditions], ["approval by finance"], "the labels"
    )
    # The stage puts the token into its state, so that the suite can tell.
    text: str = value_of(told.state)["tokens"][0]
    expect(len(text) >= 16, f"the token {text!r} can be guessed")
    digest = hashlib.sha256(text.encode()).digest()
    expect_equal(told.resume_conditions[0].token_sha256, digest, "token_sha256")


@case("R45", "R57", "R58")
async def a_check_that_is_ready_completes(bench: Bench) -> None:
    """A check that finds the work done is reported Completed, with the stage's output."""
    report = await _checked(bench, {"answer": "ready", "output": [1, 2]})
    expect_equal(completed(report), [1, 2], "the output")


@case("R57")
async def a_check_that_is_not_ready_waits_on(bench: Bench) -> None:
    """A check that finds nothing yet is reported StillWaiting, the state left as it is."""
    report = await _checked(bench, {"answer": "not-yet"})
    expect_equal(report.WhichOneof("outcome"), "still_waiting", "the outcome")
    expect(not report.still_waiting.HasField("state"), "a state is set")
    expect(not report.still_waiting.HasField("next_check_delay"), "next_check_delay is set")


@case("R57")
async def a_check_may_replace_state_and_delay(bench: Bench) -> None:
    """A check may say when to ask again, and what to remember until then."""
    report = await _checked(bench, {"answer": "not-yet", "next_check_ms": 3000, "state": {"page": 2}})
    expect_equal(report.WhichOneof("outcome"), "still_waiting", "the outcome")
    expect_equal(report.still_waiting.next_check_delay.ToTimedelta(), milliseconds(3000), "next_check_delay")
    expect_equal(value_of(report.still_waiting.state), {"page": 2}, "the state")


@case("R57", "R54")
async def a_check_that_fails_is_a_failure(bench: Bench) -> None:
    """A check whose code fails is reported Failed."""
    report = await _checked(bench, {"answer": "fail"})
    expect_equal(report.WhichOneof("outcome"), "failed", "the outcome")
    expect(bool(report.failed.error.message), "the message is empty")


@case("R55", "R56")
async def only_async_stages_have_checks(bench: Bench) -> None:
    """A check of a stage that has none fails, and does not run the stage."""
    job = bench.job("echo", kind=job_pb2.JOB_KIND_CHECK, suspended_state=payload({}))
    report = await bench.do(await bench.connected(), job)
    expect_equal(report.WhichOneof("outcome"), "failed", "the outcome")
