"""The server's session under mutated frames of a worker, beside another worker whom nothing of it may reach."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from google.protobuf.message import DecodeError

from stageline.v1 import error_pb2, job_pb2, report_pb2, run_pb2, session_pb2, worker_pb2
from stageline_engine.commands import CreateRun, RunCreation
from stageline_engine.model.run import RunState
from stageline_engine.testing.definitions import workflow
from stageline_server.dispatch.settings import PlaneSettings
from stageline_server.streams.endings import malformed
from stageline_server.streams.session import WorkSession
from tests.chaos.mutate import mutated
from tests.chaos.mutated_worker import REPAIRED
from tests.support.plane import PlaneServer, memory_deployment
from tests.support.raw_worker import RawWorker, credits_item, report_item

SECRET = "only-for-the-other-worker"
VICTIM_JOBS = 8
TOKENS_KEPT = 16
FRAMES_PER_STREAM = 500
# A reason for a refused item that says that the server failed, and not the worker.
FAULTS = (error_pb2.ERROR_REASON_INTERNAL, error_pb2.ERROR_REASON_UNSPECIFIED)
PATIENT = PlaneSettings(session_timeout=timedelta(hours=1), heartbeat_interval=timedelta(minutes=10))


@dataclass
class Mauling:
    """One stream of a worker whose frames are mutated: the ``Transport`` of a session.

    Attributes:
        chance: Where it comes from.
        left: Mutations that are still to be made.
        counts: What became of frames, over all streams.
        tokens: Leases that were offered to this worker.
        faults: What the server should not have said.
    """

    chance: random.Random
    left: int
    counts: Counter[str]
    tokens: list[bytes] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _sent: int = 0
    _read: int = 0

    async def read(self) -> worker_pb2.WorkerFrame | None:
        """Returns Hello, and then mutated frames.

        Raises:
            StreamEndedError: What came is no frame.
        """
        await asyncio.sleep(0)  # the committers and the writer are to have their turns
        self._read += 1
        if self._read == 1:
            return worker_pb2.WorkerFrame.FromString(hello(self._read))
        while self.left > 0 and self._read <= FRAMES_PER_STREAM:
            self.left -= 1
            data = mutated(self.chance.choice(worker_frames(self.chance, self.tokens)), self.chance)
            repaired = self.chance.random() < REPAIRED
            try:
                frame = worker_pb2.WorkerFrame.FromString(data)
            except DecodeError as error:
                self.counts["no message"] += 1
                if repaired:
                    continue  # such a frame ends the stream, and nothing behind it would be seen
                raise malformed(error) from None
            if repaired:
                frame.sequence, frame.acknowledged_sequence = self._read, self._sent
            self.counts["read"] += 1
            return frame
        return None

    async def write(self, frame: worker_pb2.ServerFrame) -> None:
        """Takes a frame of the server, and looks whether it may be there."""
        self._sent = frame.sequence
        if SECRET.encode() in frame.SerializeToString():
            self.faults.append(f"one worker was told of another's work: {frame}")
        for item in frame.items:
            kind = item.WhichOneof("item")
            if kind == "offer":
                self.tokens = [*self.tokens[-TOKENS_KEPT:], item.offer.lease_token]
            if kind == "error":
                self.counts["items refused"] += 1
                if item.error.error.reason in FAULTS:
                    self.faults.append(f"the server failed at an item: {item}")


def hello(sequence: int) -> bytes:
    """A frame that opens a session."""
    said = session_pb2.Hello(protocol_version=1, slots=8, identity=session_pb2.WorkerIdentity(name="mauling"))
    said.stages.add(workflow_name="prey", workflow_version=1)
    items = [worker_pb2.WorkerItem(hello=said), credits_item(8)]
    return worker_pb2.WorkerFrame(sequence=sequence, items=items).SerializeToString()


def worker_frames(chance: random.Random, tokens: list[bytes]) -> list[bytes]:
    """One frame of each kind that a worker sends, about leases that it was given."""
    token = chance.choice(tokens) if tokens else b"\x01" + bytes(36)
    progress = worker_pb2.Progress(lease_token=token, progress=run_pb2.StageProgress(fraction=0.5))
    logs = worker_pb2.LogBatch(lease_token=token, entries=[run_pb2.LogEntry(message="said")])
    usage = worker_pb2.UsageItem(lease_token=token)
    usage.record.usage_id, usage.record.topic = "6a3e6c0e-6f0c-4a3c-9c43-0d6b7c1f7a11", "chaos"
    annotation = worker_pb2.AnnotationItem(lease_token=token)
    annotation.annotation.annotation_id, annotation.annotation.key = (
        "6a3e6c0e-6f0c-4a3c-9c43-0d6b7c1f7a12",
        "chaos.key",
    )
    annotation.annotation.value = b"1"
    failed = report_pb2.Failed()
    failed.error.type, failed.error.message = "ValueError", "no"
    frames = [
        [worker_pb2.WorkerItem(progress=progress), worker_pb2.WorkerItem(logs=logs)],
        [worker_pb2.WorkerItem(usage=usage)],
        [worker_pb2.WorkerItem(annotation=annotation)],
        [report_item(token, b'{"number": 1}'), credits_item(8)],
        [report_item(token, failed=failed)],
        [worker_pb2.WorkerItem(directive_done=worker_pb2.DirectiveDone(lease_token=token, stopped=True))],
        [credits_item(4)],
        [worker_pb2.WorkerItem(submission=worker_pb2.SubmissionDeclaration(lease_token=token))],
    ]
    return [worker_pb2.WorkerFrame(sequence=2, items=items).SerializeToString() for items in frames] + [
        hello(2)
    ]


async def maul_server(count: int, chance: random.Random) -> Counter[str]:
    """Gives sessions mutated frames while another worker holds jobs; then that one reports, and nothing is lost.

    Raises:
        AssertionError: A session failed, told one worker of another's work, or the other worker lost something.
    """
    counts: Counter[str] = Counter()
    async with memory_deployment() as deployment:
        server = await deployment.serve(PATIENT)
        await server.register(workflow("prey", ["a", "b", "c", "d"]))
        await server.register(workflow("kept", "only"), "other")
        victim = await server.connect("kept", slots=VICTIM_JOBS, namespace="other")
        runs = [await _create(server, "other", "kept", f'"{SECRET}"') for _ in range(VICTIM_JOBS)]
        offers = await victim.offers(VICTIM_JOBS)
        left = count
        while left > 0:
            await _create(server, "default", "prey", "{}")
            mauling = Mauling(chance, left, counts)
            end = await WorkSession(server.plane, mauling).run()
            assert mauling.faults == []
            left = mauling.left
            counts["streams"] += 1
            if end is not None:
                assert end.detail.reason not in FAULTS, end.detail
                counts["streams refused"] += 1
        await _nothing_was_lost(server, victim, offers, runs)
    return counts


async def _create(server: PlaneServer, namespace: str, name: str, run_input: str) -> UUID:
    created = await server.plane.create_run(CreateRun(namespace, name, run_input.encode()))
    assert isinstance(created, RunCreation), created
    return created.run_id


async def _nothing_was_lost(
    server: PlaneServer, victim: RawWorker, offers: Sequence[job_pb2.JobOffer], runs: Sequence[UUID]
) -> None:
    """The other worker's leases are all still its own, and its outputs are what it says."""
    for number, offer in enumerate(offers):
        await victim.send(report_item(offer.lease_token, str(number).encode()))
        answer = await victim.acknowledgement()
        assert answer.disposition == report_pb2.REPORT_DISPOSITION_RECORDED, answer
    outputs = {offer.run_id: str(number) for number, offer in enumerate(offers)}
    for run_id in runs:
        details = await server.ports.queries.get_run("other", run_id, with_outputs=True)
        assert details is not None
        assert details.run.state is RunState.COMPLETED
        assert [stage.result.output for stage in details.stages if stage.result] == [outputs[str(run_id)]]
