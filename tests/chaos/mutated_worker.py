"""The worker's session under mutated frames of its server: it may break the stream off, and nothing else."""

import random
from collections import Counter

from google.protobuf.message import DecodeError

from stageline.v1 import error_pb2, job_pb2, report_pb2, session_pb2, worker_pb2
from stageline_sdk._reports import returned
from stageline_sdk._session_actions import StartJob
from stageline_sdk._session_core import SessionCore, SessionProfile
from stageline_sdk._session_stream import FramingError
from tests.chaos.mutate import mutated

FRAMES_PER_SESSION = 200
"""After so many frames a session makes room for a new one, so that what it holds stays small."""

REPAIRED = 0.99
"""Share of frames whose sequence is put right again: else nothing behind the check of framing would be reached."""


def server_frames() -> list[bytes]:
    """One frame of each kind that a server sends."""
    token = b"\x01" + bytes(range(36))
    welcome = session_pb2.Welcome(session_id="01a20540-5997-7525-855e-97a9b7652651", protocol_version=1)
    welcome.heartbeat_interval.seconds, welcome.session_timeout.seconds = 5, 15
    offer = job_pb2.JobOffer(
        lease_token=token,
        run_id="01a20540-5997-7525-855e-97a9b7652652",
        workflow_name="prey",
        workflow_version=1,
        stage_id="only",
        kind=job_pb2.JOB_KIND_EXECUTE,
        attempt=1,
        delivery=1,
    )
    offer.run_input.json = b'{"number": 1}'
    detail = error_pb2.ErrorDetail(reason=error_pb2.ERROR_REASON_LEASE_SUPERSEDED, message="gone")
    items = [
        worker_pb2.ServerItem(welcome=welcome),
        worker_pb2.ServerItem(offer=offer),
        worker_pb2.ServerItem(
            report_acknowledgement=report_pb2.ReportAcknowledgement(
                lease_token=token, disposition=report_pb2.REPORT_DISPOSITION_RECORDED
            )
        ),
        worker_pb2.ServerItem(
            directive=worker_pb2.Directive(lease_token=token, action=worker_pb2.DIRECTIVE_ACTION_STOP)
        ),
        worker_pb2.ServerItem(
            held_lease_verdict=session_pb2.HeldLeaseVerdict(
                lease_token=token, verdict=session_pb2.LEASE_VERDICT_KEEP
            )
        ),
        worker_pb2.ServerItem(record_acknowledgement=worker_pb2.RecordAcknowledgement(usage_ids=["one"])),
        worker_pb2.ServerItem(error=worker_pb2.ItemError(frame_sequence=1, lease_token=token, error=detail)),
        worker_pb2.ServerItem(drain=session_pb2.Drain(reason="a test")),
        worker_pb2.ServerItem(session_end=session_pb2.SessionEnd(error=detail, reconnect=True)),
    ]
    items[3].directive.deadline.seconds = 3
    items[7].drain.deadline.seconds = 30
    frames = [worker_pb2.ServerFrame(sequence=2, acknowledged_sequence=1, items=[item]) for item in items]
    frames.append(worker_pb2.ServerFrame(sequence=2, acknowledged_sequence=1, items=items[1:6]))
    return [frame.SerializeToString() for frame in frames]


def maul_workers(count: int, chance: random.Random) -> Counter[str]:
    """Gives sessions mutated frames, and counts what they made of them.

    Raises:
        Exception: Whatever a session raised that is not a framing error: the crash that must not be.
    """
    corpus = server_frames()
    counts: Counter[str] = Counter()
    while counts.total() < count:
        core = _new_session(corpus[0])
        for number in range(FRAMES_PER_SESSION):
            verdict = _give(core, mutated(chance.choice(corpus), chance), chance, float(number))
            counts[verdict] += 1
            if verdict == "stream broken off" or counts.total() >= count:
                break
    return counts


def _new_session(welcome: bytes) -> SessionCore:
    identity = session_pb2.WorkerIdentity(name="mauled")
    core = SessionCore(
        SessionProfile(namespace="default", identity=identity, slots=4, labels={}), lambda offer: True
    )
    core.open_stream([session_pb2.WorkerStages(workflow_name="prey", workflow_version=1)], 0.0)
    frame = worker_pb2.ServerFrame.FromString(welcome)
    frame.sequence = 1
    core.receive(frame, 0.0)
    return core


def _give(core: SessionCore, data: bytes, chance: random.Random, now: float) -> str:
    """Gives a session one frame, as the pump does, and lets it do what follows."""
    try:
        frame = worker_pb2.ServerFrame.FromString(data)
    except DecodeError:
        return "no message"
    if chance.random() < REPAIRED:
        assert core._stream is not None
        frame.sequence = core._stream.received + 1
    try:
        actions = core.receive(frame, now)
    except FramingError:
        return "stream broken off"
    for action in [*actions, *core.tick(now)]:
        if isinstance(action, StartJob) and chance.random() < 0.5:
            core.finish(action.offer.lease_token, returned(action.offer.lease_token, "DRAINING", "done"))
    while (answer := core.next_frame(now)) is not None:
        answer.SerializeToString()
    return "taken"
