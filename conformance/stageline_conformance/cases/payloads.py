"""Large values, any text, and numbers."""

import hashlib
import json

from stageline.v1 import failure_pb2, job_pb2, payload_pb2
from stageline_conformance.bench import Bench
from stageline_conformance.messages import LIMITS, payload
from stageline_conformance.registry import case
from stageline_conformance.violations import expect, expect_equal


@case("R100")
async def text_in_any_script_passes(bench: Bench) -> None:
    """Text beyond ASCII, beyond the first plane, with quotes and control characters, comes and goes unchanged."""
    stream = await bench.connected()
    texts = [
        "naïve",
        "Ελληνικά",
        "日本語",
        "🦉🧪",
        'say "hi"\\',
        "a\tb\nc\u0001",
        "\u2028\u2029",
        "e\u0301",
        "﷽",
    ]
    value = {text: text for text in texts}
    expect_equal(await bench.output_of(stream, bench.job("echo", value)), value, "the output")


@case("R100")
async def text_is_utf8_without_a_mark(bench: Bench) -> None:
    """An output is UTF-8 JSON text without a byte order mark."""
    stream = await bench.connected()
    job = bench.job("echo", "größe")
    await stream.offer(job)
    text = (await stream.report(job.lease_token)).completed.output.json
    await stream.acknowledge(job.lease_token)
    expect(not text.startswith(b"\xef\xbb\xbf"), "the output begins with a byte order mark")
    expect_equal(text.decode("utf-8").strip()[:1], '"', "the first character")


@case("R100", "R41")
async def numbers_pass_unchanged(bench: Bench) -> None:
    """Whole numbers to 2^53 - 1, fractions and exponents come and go unchanged."""
    stream = await bench.connected()
    value = [0, -1, 9_007_199_254_740_991, -9_007_199_254_740_991, 0.1, -2.5e-7, 1e21]
    expect_equal(await bench.output_of(stream, bench.job("echo", value)), value, "the output")


@case("R100", "R41")
async def deep_values_pass_unchanged(bench: Bench) -> None:
    """A value of a hundred levels comes and goes unchanged."""
    stream = await bench.connected()
    value: object = "bottom"
    for level in range(50):
        value = {"level": level, "inner": [value]}
    expect_equal(await bench.output_of(stream, bench.job("echo", value)), value, "the output")


@case("R102")
async def an_output_up_to_the_limit_travels_inside(bench: Bench) -> None:
    """An output just under the inline limit is sent as it is."""
    stream = await bench.connected()
    output = await bench.output_of(stream, bench.job("big", {"bytes": 131_000}))
    expect_equal(len(output), 131_000, "the output's length")


@case("R15", "R55", "R102")
async def an_output_over_the_limit_breaks_no_stream(bench: Bench) -> None:
    """An output over the inline limit, on a server that stores none, fails its attempt for good; the stream goes on."""
    stream = await bench.connected()
    report = await bench.do(stream, bench.job("big", {"bytes": 200_000}))
    error = report.failed.error
    expect_equal(report.WhichOneof("outcome"), "failed", "the outcome")
    # INTERNAL where the worker tried to store it, and could not.
    kinds = (failure_pb2.FAILURE_KIND_INVALID_OUTPUT, failure_pb2.FAILURE_KIND_INTERNAL)
    expect(error.kind in kinds, f"the kind is {failure_pb2.FailureKind.Name(error.kind)}")
    expect(error.HasField("retryable") and not error.retryable, "retryable is not false")
    expect_equal(await bench.output_of(stream, bench.job("echo", 1)), 1, "the next output")


@case("R102")
async def an_output_over_the_limit_is_stored_apart(bench: Bench) -> None:
    """On a server that stores payloads, an output over the limit is stored under the lease and named by its hash."""
    stream = await bench.connected()
    stored = bench.server.stored = {}
    job = bench.job("big", {"bytes": 2_000_000})
    report = await bench.do(stream, job)
    expect_equal(report.WhichOneof("outcome"), "completed", "the outcome")
    expect_equal(_stored(report.completed.output, stored), "x" * 2_000_000, "the stored output")
    expect_equal(bench.server.stored_under, [job.lease_token], "the lease of the upload")


@case("R102", "R56")
async def a_state_over_the_limit_is_stored_apart(bench: Bench) -> None:
    """The state of a suspension that is over the limit is stored apart likewise."""
    stream = await bench.connected()
    stored = bench.server.stored = {}
    state = {"answer": "ready", "output": "y" * 200_000}
    report = await bench.do(stream, bench.job("suspend", {"state": state}))
    expect_equal(report.WhichOneof("outcome"), "suspended", "the outcome")
    expect_equal(_stored(report.suspended.state, stored), state, "the stored state")


@case("R103")
async def an_input_that_is_stored_apart_is_fetched(bench: Bench) -> None:
    """A run's input that comes as a reference is fetched."""
    stream = await bench.connected()
    job = bench.job("typed", run_input=None)
    job.run_input.CopyFrom(_refer(bench, {"count": 41, "more": "x" * 200_000}))
    expect_equal(await bench.output_of(stream, job), {"count": 42}, "the output")


@case("R103", "R41")
async def an_output_that_is_stored_apart_is_fetched(bench: Bench) -> None:
    """The output of an earlier stage that comes as a reference, in the offer or fetched, is fetched."""
    stream = await bench.connected()
    counted = {"count": 1, "more": "x" * 200_000}
    ids = {"input_stage_ids": ["before"], "completed_stage_ids": ["before"]}
    bench.server.outputs["before"] = json.dumps(counted).encode()
    told = bench.job("typed", outputs={"before": _refer(bench, counted)}, **ids)
    expect_equal(await bench.output_of(stream, told), {"count": 2}, "the output, of a reference in the offer")
    fetched = bench.job("typed", **ids)
    expect_equal(await bench.output_of(stream, fetched), {"count": 2}, "the output, of one that was fetched")


@case("R103", "R57")
async def a_state_that_is_stored_apart_is_fetched(bench: Bench) -> None:
    """A check whose state comes as a reference fetches it."""
    stream = await bench.connected()
    state = _refer(bench, {"answer": "ready", "output": 7, "more": "x" * 200_000})
    job = bench.job("suspend", kind=job_pb2.JOB_KIND_CHECK, suspended_state=state)
    expect_equal(await bench.output_of(stream, job), 7, "the output")


@case("R103")
async def what_is_not_what_its_hash_says_is_refused(bench: Bench) -> None:
    """A payload whose bytes are others than its reference says fails its attempt; the stream goes on."""
    stream = await bench.connected()
    job = bench.job("typed", run_input=None)
    job.run_input.CopyFrom(_refer(bench, {"count": 41}))
    assert bench.server.stored is not None
    bench.server.stored[job.run_input.reference.sha256] = b'{"count": 40}'
    report = await bench.do(stream, job)
    expect_equal(report.WhichOneof("outcome"), "failed", "the outcome")
    expect(bool(report.failed.error.message), "the message is empty")
    expect_equal(await bench.output_of(stream, bench.job("echo", 1)), 1, "the next output")


def _stored(told: payload_pb2.Payload, stored: dict[bytes, bytes]) -> object:
    """Return the value that a reference names, which was stored."""
    expect(told.reference.sha256 in stored, "the value is no reference to what was stored")
    text = stored[told.reference.sha256]
    expect_equal(told.reference.size_bytes, len(text), "size_bytes")
    return json.loads(text)


def _refer(bench: Bench, value: object) -> payload_pb2.Payload:
    """Store a value at the server, and return a reference to it."""
    text = json.dumps(value).encode()
    sha256 = hashlib.sha256(text).digest()
    bench.server.stored = {**(bench.server.stored or {}), sha256: text}
    return payload_pb2.Payload(reference=payload_pb2.PayloadReference(sha256=sha256, size_bytes=len(text)))


@case("R15", "R14")
async def an_output_over_the_frame_breaks_no_stream(bench: Bench) -> None:
    """An output larger than a whole frame fails its attempt; no frame is too large."""
    limits = type(LIMITS)()
    limits.CopyFrom(LIMITS)
    limits.inline_payload_bytes_max = 0  # Not enforced, but the frame's limit is.
    stream = await bench.connected(limits=limits)
    report = await bench.do(stream, bench.job("big", {"bytes": 3_000_000}))
    expect_equal(report.WhichOneof("outcome"), "failed", "the outcome")
    expect_equal(await bench.output_of(stream, bench.job("echo", 1)), 1, "the next output")


@case("R14", "R41")
async def a_large_offer_is_done(bench: Bench) -> None:
    """An offer of 900 KB, of many outputs, is worked on."""
    stream = await bench.connected()
    ids = [f"s{index}" for index in range(9)]
    outputs = {stage_id: payload(stage_id * 40_000) for stage_id in ids}
    job = bench.job("describe", input_stage_ids=ids, outputs=outputs, completed_stage_ids=ids)
    described = await bench.output_of(stream, job)
    expect_equal(described["stage_id"], "describe", "the stage")
