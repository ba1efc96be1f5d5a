"""What a worker says first, and what it makes of the answer."""

import grpc

from stageline.v1 import error_pb2, session_pb2, worker_pb2
from stageline_conformance.bench import SLOTS, Bench
from stageline_conformance.messages import DIGEST, VERSION, WORKFLOW, ending, milliseconds
from stageline_conformance.registry import case
from stageline_conformance.server import refusal
from stageline_conformance.violations import expect, expect_equal

REQUIRED_STAGES = frozenset(
    {"echo", "describe", "fail", "wait", "stubborn", "require", "big", "typed", "suspend", "speak"}
)
"""What a worker under test has at least; see `docs/conformance-worker.md`."""


@case("R1")
async def the_workflow_is_registered(bench: Bench) -> None:
    """The worker registers its workflow before it opens a stream."""
    await bench.connected()
    expect(bool(bench.server.registered), "no workflow was registered")
    definition = bench.server.registered[-1].definition
    expect_equal(definition.name, WORKFLOW, "the workflow's name")
    stages = {stage.id for group in definition.groups for stage in group.stages}
    expect(stages >= REQUIRED_STAGES, f"stages that the suite needs are missing: {REQUIRED_STAGES - stages}")


@case("R2", "R10")
async def hello_comes_first(bench: Bench) -> None:
    """The first frame is number 1, begins with Hello, and acknowledges nothing."""
    stream = await bench.connected()
    first = stream.frames[0]
    expect_equal(first.sequence, 1, "the number of the first frame")
    expect_equal(first.acknowledged_sequence, 0, "what it acknowledges")
    expect_equal(first.items[0].WhichOneof("item"), "hello", "its first item")


@case("R2", "R30")
async def the_first_frame_has_credits(bench: Bench) -> None:
    """The first frame says how many slots are free."""
    stream = await bench.connected()
    kinds = [item.WhichOneof("item") for item in stream.frames[0].items]
    expect_equal(kinds.count("credits"), 1, "Credits in the first frame")
    expect_equal(stream.credits, SLOTS, "free slots of a worker without jobs")


@case("R3")
async def hello_says_who_the_worker_is(bench: Bench) -> None:
    """Hello has the protocol's version, the slots, and a name."""
    hello = (await bench.connected()).hello
    expect_equal(hello.protocol_version, 1, "protocol_version")
    expect_equal(hello.slots, SLOTS, "slots")
    expect(bool(hello.identity.name), "identity.name is empty")
    expect(bool(hello.identity.sdk_name), "identity.sdk_name is empty")
    expect(hello.namespace in ("", "default"), f"namespace is {hello.namespace!r}")


@case("R1", "R3")
async def hello_names_the_registered_version(bench: Bench) -> None:
    """Hello names the version and the digest that the registration answered."""
    hello = (await bench.connected()).hello
    expect_equal(len(hello.stages), 1, "entries in Hello.stages")
    entry = hello.stages[0]
    expect_equal(entry.workflow_name, WORKFLOW, "workflow_name")
    expect_equal(entry.workflow_version, VERSION, "workflow_version")
    expect(entry.workflow_digest in (b"", DIGEST), f"workflow_digest is {entry.workflow_digest.hex()}")


@case("R3", "R63", fresh=True)
async def a_new_worker_resumes_nothing(bench: Bench) -> None:
    """The first Hello of a process names no session and no leases."""
    hello = (await bench.connected()).hello
    expect_equal(hello.resume_session_id, "", "resume_session_id")
    expect_equal(len(hello.held_leases), 0, "held leases")


@case("R4")
async def nothing_follows_before_welcome(bench: Bench) -> None:
    """The worker waits for Welcome before it sends a second frame."""
    stream = await bench.opened()
    await bench.pause(milliseconds(150))
    expect_equal(len(stream.frames), 1, "frames before Welcome")
    await stream.welcome(heartbeat_interval=milliseconds(100))
    await stream.until(lambda: len(stream.frames) > 1, "a frame after Welcome")


@case("R5", "R11")
async def another_item_before_welcome_is_broken_framing(bench: Bench) -> None:
    """A worker that is offered a job before Welcome leaves the stream, and does not do the job."""
    stream = await bench.opened()
    offer = bench.job("echo", 1)
    await stream.offer(offer)
    await stream.over()
    again = await bench.connected()
    expect_equal(list(again.hello.held_leases), [], "held leases")


@case("R5", "R85")
async def hello_can_be_refused_for_now(bench: Bench) -> None:
    """A SessionEnd instead of Welcome that allows to reconnect is followed by another Hello."""
    stream = await bench.opened()
    await stream.send(
        session_end=ending(session_pb2.DISCONNECT_REASON_INTERNAL, reconnect_after=milliseconds(1))
    )
    await stream.end(grpc.StatusCode.INTERNAL)
    await bench.connected()


@case("R6", "R20")
async def intervals_are_those_of_welcome(bench: Bench) -> None:
    """The heartbeat interval is the one that Welcome told."""
    stream = await bench.connected(heartbeat_interval=milliseconds(100))
    await stream.until(
        lambda: len(stream.frames) >= 5, "five frames at an interval of 100 ms", milliseconds(3000)
    )


@case("R6")
async def unset_intervals_and_limits_have_defaults(bench: Bench) -> None:
    """A Welcome that tells neither intervals nor limits is enough to work with."""
    stream = await bench.opened()
    stream.allow_frames()
    await stream.send(welcome=session_pb2.Welcome(session_id="session-1", protocol_version=1))
    expect_equal(await bench.output_of(stream, bench.job("echo", "still here")), "still here", "the output")


@case("R7")
async def a_newer_servers_welcome_is_understood(bench: Bench) -> None:
    """Unknown fields, capabilities and limits in Welcome are passed over."""
    stream = await bench.opened()
    welcome = session_pb2.Welcome(session_id="session-1", protocol_version=1, server_id="newer")
    welcome.MergeFromString(b"\x58\xe7\x07" + b"\xba\x3e\x03new")  # capability 999, field 999
    stream.allow_frames()
    await stream.send(welcome=welcome)
    expect_equal(await bench.output_of(stream, bench.job("echo", 1)), 1, "the output")


@case("R87", fresh=True)
async def an_unsupported_version_ends_the_worker(bench: Bench) -> None:
    """A worker whose version of the protocol is refused ends, with an exit code that is not 0."""
    stream = await bench.opened()
    end = session_pb2.SessionEnd(reason=session_pb2.DISCONNECT_REASON_PROTOCOL_VERSION, reconnect=False)
    end.error.reason = error_pb2.ERROR_REASON_PROTOCOL_VERSION_UNSUPPORTED
    end.error.message = "this server speaks version 2 only"
    await stream.send(session_end=end)
    await stream.end(grpc.StatusCode.FAILED_PRECONDITION)
    expect(await bench.worker.ended() != 0, "the worker ended with code 0")


@case("R87", fresh=True)
async def a_refused_token_ends_the_worker(bench: Bench) -> None:
    """A worker whose stream is refused as UNAUTHENTICATED ends, with an exit code that is not 0."""
    tries = bench.refuse_streams(grpc.StatusCode.UNAUTHENTICATED, error_pb2.ERROR_REASON_UNAUTHENTICATED)
    expect(await bench.ended_worker() != 0, "the worker ended with code 0")
    # Where the first write fails because the stream is over, some gRPC libraries hide how it ended.
    expect(1 <= len(tries) <= 3, f"{len(tries)} streams were opened")


@case("R89", fresh=True)
async def a_refused_definition_ends_the_worker(bench: Bench) -> None:
    """A worker whose definition is refused for good ends, with an exit code that is not 0."""
    reason = error_pb2.ERROR_REASON_INVALID_DEFINITION
    bench.server.refuse_registration = refusal(grpc.StatusCode.INVALID_ARGUMENT, reason)
    expect(await bench.ended_worker() != 0, "the worker ended with code 0")
    expect_equal(bench.server.refused_count, 1, "registrations")


@case("R88", fresh=True)
async def a_registration_that_fails_is_tried_again(bench: Bench) -> None:
    """A registration that the server cannot deal with now is tried again."""
    reason = error_pb2.ERROR_REASON_UNAVAILABLE
    bench.server.refuse_registration = refusal(grpc.StatusCode.UNAVAILABLE, reason)
    await bench.started()
    await bench.until(lambda: bench.server.refused_count >= 2, "a second try to register")
    bench.server.refuse_registration = None
    await bench.connected()


@case("R93")
async def a_refused_entry_of_hello_harms_nothing(bench: Bench) -> None:
    """An ItemError about an entry of Hello is passed over; the stream goes on."""
    stream = await bench.connected()
    error = worker_pb2.ItemError(frame_sequence=1, item_index=0)
    error.error.reason = error_pb2.ERROR_REASON_WORKFLOW_NOT_FOUND
    error.error.message = "told by the suite"
    await stream.send(error=error)
    expect_equal(await bench.output_of(stream, bench.job("echo", 1)), 1, "the output")
