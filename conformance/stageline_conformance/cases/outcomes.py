"""How jobs end: outputs and failures."""

from stageline.v1 import failure_pb2, report_pb2
from stageline_conformance.bench import Bench, completed
from stageline_conformance.messages import milliseconds
from stageline_conformance.registry import case
from stageline_conformance.violations import expect, expect_equal


async def _failure(bench: Bench, stage_id: str, run_input: object) -> failure_pb2.StageError:
    report = await bench.do(await bench.connected(), bench.job(stage_id, run_input))
    expect_equal(report.WhichOneof("outcome"), "failed", "the outcome")
    return report.failed.error


def _expect_kind(error: failure_pb2.StageError, kind: "failure_pb2.FailureKind.ValueType") -> None:
    names = failure_pb2.FailureKind
    expect_equal(names.Name(error.kind), names.Name(kind), "the kind of the failure")


@case("R50", "R58")
async def a_completed_job_is_reported(bench: Bench) -> None:
    """A stage that returns is reported Completed with its output, and how long it ran."""
    report = await bench.do(await bench.connected(), bench.job("echo", {"a": [1, 2.5, "x"]}))
    expect_equal(completed(report), {"a": [1, 2.5, "x"]}, "the output")
    expect(report.HasField("active_duration"), "active_duration is unset")


@case("R58")
async def the_time_of_work_is_told(bench: Bench) -> None:
    """active_duration spans the stage's work."""
    stream = await bench.connected()
    gate = bench.gate()
    job = bench.job("wait", gate.input)
    await stream.offer(job)
    await gate.entered()
    await bench.pause(milliseconds(120))
    gate.open()
    report = await stream.report(job.lease_token)
    await stream.acknowledge(job.lease_token)
    length = report.active_duration.ToTimedelta()
    expect(milliseconds(100) <= length <= milliseconds(15_000), f"active_duration is {length}")


@case("R54")
async def a_failure_of_the_code_is_told(bench: Bench) -> None:
    """An error of the stage's code is Failed, of kind APPLICATION, with type and message; nothing is said of retries."""
    error = await _failure(bench, "fail", {"message": "no good: ünïcode"})
    _expect_kind(error, failure_pb2.FAILURE_KIND_APPLICATION)
    expect("no good: ünïcode" in error.message, f"the message is {error.message!r}")
    expect(bool(error.type), "the type is empty")
    expect(not error.HasField("retryable"), f"retryable is {error.retryable}, though the code said nothing")
    expect(not error.HasField("retry_after"), "retry_after is set, though the code said nothing")


@case("R54")
async def a_final_failure_is_told(bench: Bench) -> None:
    """An error that the code calls final has `retryable` false."""
    error = await _failure(bench, "fail", {"message": "encrypted", "retryable": False})
    expect(error.HasField("retryable") and not error.retryable, "retryable is not false")
    _expect_kind(error, failure_pb2.FAILURE_KIND_APPLICATION)


@case("R54")
async def a_failure_may_say_when_to_try_again(bench: Bench) -> None:
    """An error with a wait has `retryable` true and the wait."""
    error = await _failure(
        bench, "fail", {"message": "rate limited", "retryable": True, "retry_after_ms": 2500}
    )
    expect(error.HasField("retryable") and error.retryable, "retryable is not true")
    expect_equal(error.retry_after.ToTimedelta(), milliseconds(2500), "retry_after")


@case("R54")
async def a_failure_without_words_has_some(bench: Bench) -> None:
    """An error without a message is told with one all the same: the server requires it."""
    error = await _failure(bench, "fail", {"message": ""})
    expect(bool(error.message), "the message is empty")


@case("R54", "R55")
async def a_failure_with_too_many_words_is_told(bench: Bench) -> None:
    """An error with a message of 2 MB is still told."""
    error = await _failure(bench, "fail", {"message": "long", "repeat": 500_000})
    expect(error.message.startswith("long"), "the message is not what the code said")


@case("R55")
async def an_input_that_does_not_fit_is_refused(bench: Bench) -> None:
    """An input that the stage's type refuses is Failed with INVALID_INPUT; the code does not run."""
    error = await _failure(bench, "typed", {"count": "many"})
    _expect_kind(error, failure_pb2.FAILURE_KIND_INVALID_INPUT)
    expect(bool(error.message), "the message is empty")


@case("R41", "R55")
async def an_input_that_fits_is_typed(bench: Bench) -> None:
    """An input that the stage's type accepts reaches the code as that type."""
    report = await bench.do(await bench.connected(), bench.job("typed", {"count": 41}))
    expect_equal(completed(report), {"count": 42}, "the output")


@case("R50", "R54")
async def every_attempt_is_a_job_of_its_own(bench: Bench) -> None:
    """The next attempt of a stage that failed is worked on as any other job, under its own lease."""
    stream = await bench.connected()
    first = bench.job("fail", {"message": "first"}, run_id="run-retried")
    expect_equal((await bench.do(stream, first)).WhichOneof("outcome"), "failed", "the first outcome")
    second = bench.job("echo", "second", run_id="run-retried", attempt=2)
    expect_equal(await bench.output_of(stream, second), "second", "the second output")


@case("R50")
async def jobs_end_in_their_own_order(bench: Bench) -> None:
    """A job that is quick does not wait for one that was offered before it."""
    stream = await bench.connected()
    gate = bench.gate()
    slow, quick = bench.job("wait", gate.input), bench.job("echo", 1)
    await stream.offer(slow, quick)
    report: report_pb2.Report = await stream.next("report")
    expect_equal(report.lease_token, quick.lease_token, "the first report")
    await stream.acknowledge(quick.lease_token)
    gate.open()
    await stream.report(slow.lease_token)
    await stream.acknowledge(slow.lease_token)


@case("R50")
async def a_failure_harms_no_neighbour(bench: Bench) -> None:
    """Of four jobs in one frame, one of which fails, three complete."""
    stream = await bench.connected()
    jobs = [
        bench.job("echo", 0),
        bench.job("fail", {"message": "x"}),
        bench.job("echo", 2),
        bench.job("echo", 3),
    ]
    await stream.offer(*jobs)
    outcomes = []
    for job in jobs:
        outcomes.append((await stream.report(job.lease_token)).WhichOneof("outcome"))
        await stream.acknowledge(job.lease_token)
    expect_equal(outcomes, ["completed", "failed", "completed", "completed"], "the outcomes")
