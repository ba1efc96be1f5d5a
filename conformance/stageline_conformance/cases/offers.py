"""What a stage is given, and offers that a worker cannot do."""

from typing import Any

from stageline.v1 import job_pb2, report_pb2
from stageline_conformance.bench import Bench, completed, expect_returned
from stageline_conformance.messages import VERSION, payload
from stageline_conformance.registry import case
from stageline_conformance.violations import expect_equal


@case("R41", "R101")
async def falsy_inputs_are_inputs(bench: Bench) -> None:
    """null, 0, false, empty strings, arrays and objects come and go unchanged."""
    stream = await bench.connected()
    values: tuple[Any, ...] = (None, 0, False, "", [], {})
    for value in values:
        output = await bench.output_of(stream, bench.job("echo", value))
        expect_equal((type(output), output), (type(value), value), "the output of echo")


@case("R41")
async def the_output_of_one_stage_is_bare(bench: Bench) -> None:
    """With one stage before, its output is the input."""
    stream = await bench.connected()
    job = bench.job(
        "echo", input_stage_ids=["a"], outputs={"a": payload({"text": "x"})}, completed_stage_ids=["a"]
    )
    expect_equal(await bench.output_of(stream, job), {"text": "x"}, "the input")


@case("R41")
async def the_outputs_of_several_stages_are_keyed(bench: Bench) -> None:
    """With several stages before, the input is an object keyed by their ids, in any order; others are left out."""
    stream = await bench.connected()
    outputs = {"b": payload(None), "a-1.x": payload([1]), "other": payload("not asked for")}
    job = bench.job(
        "echo", input_stage_ids=["b", "a-1.x"], outputs=outputs, completed_stage_ids=list(outputs)
    )
    expect_equal(await bench.output_of(stream, job), {"b": None, "a-1.x": [1]}, "the input")


@case("R42")
async def inputs_that_did_not_come_are_fetched(bench: Bench) -> None:
    """Outputs that the input needs and the offer has no room for are fetched, those that remain asked for again."""
    stream = await bench.connected()
    bench.server.outputs |= {"b": b'"fetched"', "c": b"0"}
    job = bench.job(
        "echo",
        input_stage_ids=["a", "b", "c"],
        outputs={"a": payload("came")},
        completed_stage_ids=["a", "b", "c"],
    )
    expect_equal(await bench.output_of(stream, job), {"a": "came", "b": "fetched", "c": 0}, "the input")
    asked = {stage_id for request in bench.server.fetched for stage_id in request.stage_ids}
    expect_equal(asked, {"b", "c"}, "the stages whose outputs were fetched")
    tokens = {request.lease_token for request in bench.server.fetched}
    expect_equal(tokens, {job.lease_token}, "the leases under which they were")


@case("R42")
async def outputs_are_fetched_when_the_code_asks(bench: Bench) -> None:
    """The stage's code reads outputs that came with the offer and others that are fetched."""
    stream = await bench.connected()
    bench.server.outputs["far"] = b'{"n":2}'
    job = bench.job(
        "require",
        {"stage_ids": ["near", "far"]},
        outputs={"near": payload(1)},
        completed_stage_ids=["near", "far"],
    )
    expect_equal(await bench.output_of(stream, job), {"near": 1, "far": {"n": 2}}, "the outputs")


@case("R42")
async def an_output_that_does_not_exist_fails_the_attempt(bench: Bench) -> None:
    """Code that requires what no earlier stage put out fails, and the server is not asked."""
    stream = await bench.connected()
    report = await bench.do(stream, bench.job("require", {"stage_ids": ["never"]}, completed_stage_ids=["a"]))
    expect_equal(report.WhichOneof("outcome"), "failed", "the outcome")
    expect_equal(len(bench.server.fetched), 0, "fetches")


@case("R44")
async def the_code_reads_its_circumstances(bench: Bench) -> None:
    """Run, workflow, stage, generation, attempt and delivery are those of the offer."""
    stream = await bench.connected()
    job = bench.job("describe", {}, run_id="run-of-this-case", generation=3, attempt=2, delivery=4)
    described = await bench.output_of(stream, job)
    expected: dict[str, Any] = {
        "run_id": "run-of-this-case",
        "workflow_name": "conformance",
        "workflow_version": VERSION,
        "stage_id": "describe",
        "generation": 3,
        "attempt": 2,
        "delivery": 4,
        "has_deadline": False,
        "resume_state": None,
    }
    expect_equal({key: described.get(key, "missing") for key in expected}, expected, "what describe returned")


@case("R44")
async def the_code_reads_its_config(bench: Bench) -> None:
    """The config is that of the offer."""
    stream = await bench.connected()
    described = await bench.output_of(stream, bench.job("describe", {}, config=payload({"greeting": "ahoi"})))
    expect_equal(described["greeting"], "ahoi", "config.greeting")


@case("R24", "R44")
async def a_deadline_counts_from_receipt(bench: Bench) -> None:
    """With start_to_close the code has a deadline, which lies ahead."""
    stream = await bench.connected()
    described = await bench.output_of(stream, bench.job("describe", {}, start_to_close={"seconds": 30}))
    expect_equal(described["has_deadline"], True, "whether there is a deadline")
    expect_equal(described["is_past_deadline"], False, "whether it has passed")


@case("R44")
async def an_attempt_after_a_suspension_has_its_state(bench: Bench) -> None:
    """The state of the last suspension can be read by an execute job, too."""
    stream = await bench.connected()
    described = await bench.output_of(
        stream, bench.job("describe", {}, suspended_state=payload({"batch": 7}))
    )
    expect_equal(described["resume_state"], {"batch": 7}, "resume_state")


@case("R43", "R50")
async def an_unknown_stage_is_handed_back(bench: Bench) -> None:
    """An offer of a stage that the worker does not have is Returned with UNKNOWN_JOB."""
    stream = await bench.connected()
    report = await bench.do(stream, bench.job("no-such-stage", {}))
    expect_returned(report, report_pb2.RETURN_REASON_UNKNOWN_JOB)


@case("R43", "R50")
async def an_unknown_version_is_handed_back(bench: Bench) -> None:
    """An offer of another version of the workflow is Returned with UNKNOWN_JOB."""
    stream = await bench.connected()
    report = await bench.do(stream, bench.job("echo", {}, workflow_version=VERSION + 1))
    expect_returned(report, report_pb2.RETURN_REASON_UNKNOWN_JOB)


@case("R7", "R43", "R50")
async def an_unknown_kind_of_job_is_handed_back(bench: Bench) -> None:
    """An offer of a kind that the worker does not know is Returned with UNKNOWN_JOB."""
    stream = await bench.connected()
    job = bench.job("echo", {})
    job.ClearField("kind")
    job.MergeFromString(b"\x30\x63")  # kind 99
    expect_returned(await bench.do(stream, job), report_pb2.RETURN_REASON_UNKNOWN_JOB)


@case("R7", "R44")
async def an_offer_with_all_fields_is_done(bench: Bench) -> None:
    """Priority, trace context, submissions and the error of the attempt before harm nothing."""
    stream = await bench.connected()
    job = bench.job(
        "echo",
        "done",
        priority=90,
        attempt=2,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        submissions=[job_pb2.Submission(key="k", phase=job_pb2.SUBMISSION_PHASE_CONFIRMED)],
        previous_error={"message": "no good", "type": "ValueError"},
    )
    expect_equal(completed(await bench.do(stream, job)), "done", "the output")
