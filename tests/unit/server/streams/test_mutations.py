"""Whatever bytes a worker sends: an item's refusal, a typed end, or nothing special. Never a crash."""

import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from google.protobuf.message import DecodeError

from stageline.v1 import report_pb2, run_pb2, session_pb2, worker_pb2
from stageline_engine import limits
from stageline_engine.commands import CreateRun, LeaseReference, RunCreation
from stageline_engine.testing.definitions import digest_of, workflow
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.dispatch.sessions import LocalSession
from stageline_server.stores import memory_ports
from stageline_server.streams.endings import StreamEndedError, check_frame
from stageline_server.streams.frames import Outbox
from stageline_server.streams.hello import HelloRefusedError, Opened, open_session
from stageline_server.streams.inbox import Inbox
from stageline_server.streams.tokens import encode_token
from tests.unit.server.dispatch.outlets import CollectingOutlet
from tests.waiting import eventually

MUTATIONS = 10_000


@dataclass
class Scene:
    plane: ControlPlane
    holder: LocalSession
    token: bytes


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A plane with a run whose only stage a session holds."""
    ports = memory_ports()
    plane = ControlPlane(ports, server_id="mine")
    definition = workflow("one", "only")
    stored = await ports.registry.register("default", definition, digest_of(definition), ports.clock.now())
    await plane.start()
    hello = session_pb2.Hello(protocol_version=1, slots=1, stages=hello_stages())
    opened = await open_session(plane, hello)
    outlet = CollectingOutlet()
    holder = LocalSession(opened.session_id, "default", stored.route_ids, 1, outlet)
    plane.sessions.add(holder)
    holder.set_credit(1, 0)
    assert isinstance(await plane.create_run(CreateRun("default", "one", b"{}")), RunCreation)

    async def offered() -> bool:
        return bool(outlet.offers)

    await eventually(offered)
    yield Scene(plane, holder, encode_token(outlet.offers[0].lease))
    await plane.stop()


def hello_stages() -> list[session_pb2.WorkerStages]:
    return [session_pb2.WorkerStages(workflow_name="one", workflow_version=1, stage_ids=["only"])]


def every_item(token: bytes) -> list[worker_pb2.WorkerItem]:
    """One of each kind, with every field that has a rule."""
    item = worker_pb2.WorkerItem
    failed = report_pb2.Report(lease_token=token)
    failed.failed.error.type = "E"
    failed.failed.error.retry_after.seconds = 3600
    completed = report_pb2.Report(lease_token=token[:-1] + b"?", metrics={"m": 1.0})
    completed.completed.output.json = b'{"a":1}'
    progress = worker_pb2.Progress(lease_token=token)
    progress.progress.MergeFrom(run_pb2.StageProgress(fraction=0.5, message="half", details=b'{"a":[1,2]}'))
    logs = worker_pb2.LogBatch(lease_token=token, dropped_count=1)
    entry = logs.entries.add(level=run_pb2.LOG_LEVEL_INFO, message="line", fields=b'{"a":null}')
    entry.log_time.seconds = 1_900_000_000
    return [
        item(credits=session_pb2.Credits(free_slots=1)),
        item(progress=progress),
        item(logs=logs),
        item(report=completed),
        item(report=failed),
        item(directive_done=worker_pb2.DirectiveDone(lease_token=token[:-1] + b"!")),
        item(usage=worker_pb2.UsageItem(lease_token=token)),
        item(annotation=worker_pb2.AnnotationItem(lease_token=token)),
        item(submission=worker_pb2.SubmissionDeclaration(lease_token=token)),
    ]


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """The bytes with a few of them changed, left out, doubled or put in."""
    changed = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        index = chance.randrange(len(changed))
        match chance.randrange(8):
            case 0 | 1 | 2:
                changed[index] = chance.randrange(256)
            case 3 | 4 | 5:
                changed[index] ^= 1 << chance.randrange(8)
            case 6:
                del changed[index : index + chance.randint(1, 3)]
            case _:
                changed[index:index] = chance.randbytes(chance.randint(1, 3))
    return bytes(changed)


async def test_ten_thousand_mutations_of_a_frame(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    chance, outcomes = random.Random(2030), {"malformed": 0, "ended": 0, "taken": 0}
    items = every_item(scene.token)
    raws = [worker_pb2.WorkerFrame(sequence=1, items=[item]).SerializeToString() for item in items]
    raws.append(worker_pb2.WorkerFrame(sequence=1, items=items).SerializeToString())
    outbox, kinds = Outbox(), set()
    inbox = Inbox(scene.plane, scene.holder, outbox)
    for number in range(MUTATIONS):
        try:
            frame = worker_pb2.WorkerFrame.FromString(mutated(raws[number % len(raws)], chance))
            check_frame(frame, 1, 0)
        except DecodeError:
            outcomes["malformed"] += 1
            continue
        except StreamEndedError:
            outcomes["ended"] += 1
            continue
        inbox.take(frame)
        outcomes["taken"] += 1
        if number % 100 == 0:
            await inbox.answered()
    await inbox.answered()
    await scene.plane.flushed()
    await scene.plane.logs.flushed()
    outbox.finish()
    while not outbox.finished:
        built = outbox.build()
        assert built.ByteSize() <= limits.FRAME_BYTES_MAX
        kinds |= {item.WhichOneof("item") for item in built.items}
    assert kinds >= {"error", "report_acknowledgement", "directive"}
    assert min(outcomes.values()) > MUTATIONS / 50, outcomes
    assert not caplog.records


async def test_two_thousand_mutations_of_hello(scene: Scene) -> None:
    chance, counts = random.Random(2031), {"refused": 0, "opened": 0, "malformed": 0}
    hello = session_pb2.Hello(
        protocol_version=1,
        slots=9,
        stages=hello_stages(),
        identity=session_pb2.WorkerIdentity(name="worker", sdk_name="raw"),
        labels={"zone": "a"},
        resume_session_id=str(scene.holder.id),
        held_leases=[session_pb2.HeldLease(lease_token=scene.token, unacknowledged_report=True)],
    )
    raw = hello.SerializeToString()
    for _ in range(2_000):
        try:
            changed = session_pb2.Hello.FromString(mutated(raw, chance))
            opened = await open_session(scene.plane, changed)
            assert isinstance(opened, Opened)
            assert len(opened.verdicts) == len(changed.held_leases)
            counts["opened"] += 1
        except DecodeError:
            counts["malformed"] += 1
        except HelloRefusedError:
            counts["refused"] += 1
    assert min(counts.values()) > 50, counts


async def test_an_item_that_nobody_foresaw_is_answered(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(scene.holder, "set_credit", fail)
    outbox = Outbox()
    inbox = Inbox(scene.plane, scene.holder, outbox)
    frame = worker_pb2.WorkerFrame(sequence=1, items=every_item(scene.token)[:2])
    inbox.take(frame)
    (item,) = outbox.build().items
    assert (item.error.item_index, item.error.error.reason) == (0, 5)
    assert "a bug" in caplog.text


def test_the_session_of_a_lease_is_not_in_its_token() -> None:
    """Tokens outlive sessions' moves between servers."""
    one, other = (LeaseReference(UUID(int=n), UUID(int=7), UUID(int=8), 1) for n in (1, 2))
    assert encode_token(one) == encode_token(other)
