"""Whatever happens in whatever order: nothing is lost, nothing is done twice, the server's picture of credits is right."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stageline.v1 import report_pb2, run_pb2, session_pb2, worker_pb2
from stageline_sdk._session_actions import Action
from tests.unit.worker_sdk.session_harness import (
    LIMITS,
    Harness,
    acknowledgement,
    completed,
    started,
    stopped,
    verdict,
)

SLOTS = 3


class SessionMachine(RuleBasedStateMachine):
    """A server that keeps to the protocol, a network that breaks, and jobs that end when they like."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = Harness(slots=SLOTS)
        self.number = 0
        self.offered: set[str] = set()  # Leases that the server believes to be live.
        self.working: set[str] = set()  # Local work that goes on.
        self.recorded: set[str] = set()
        self.reported: dict[str, int] = {}  # Reports that arrived, not acknowledged yet, by frame.
        self.credits = 0
        self.credits_as_of = 0
        self.offers_by_frame: dict[int, int] = {}
        self.frame = 0
        self.connected = False
        self.seen = 0

    # The network

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self) -> None:
        self.frame = 1
        self.seen, self.offers_by_frame, self.connected = 0, {}, True
        harness = self.harness
        held_before = {job.lease_token.decode() for job in harness.core.jobs if job.is_held}
        self._do(lambda: harness.connect(*self._verdicts(held_before)))
        hello = harness.sent[0].items[0].hello
        assert {held.lease_token.decode() for held in hello.held_leases} == held_before
        self.offered &= held_before
        self.reported.clear()
        self._receive()

    def _verdicts(self, held: set[str]) -> list[worker_pb2.ServerItem]:
        return [
            verdict(
                token,
                session_pb2.LEASE_VERDICT_ALREADY_RECORDED
                if token in self.recorded
                else session_pb2.LEASE_VERDICT_KEEP
                if token in self.offered
                else session_pb2.LEASE_VERDICT_DROP,
            )
            for token in sorted(held)
        ]

    @precondition(lambda self: self.connected)
    @rule()
    def disconnect(self) -> None:
        self.harness.core.close_stream()
        self.connected = False

    @rule(seconds=st.floats(0, 4))
    def time_passes(self, seconds: float) -> None:
        self._do(lambda: self.harness.wait(seconds))
        self._receive()

    # The server

    @precondition(lambda self: self.connected and self._free_credits() > 0)
    @rule(data=st.data())
    def offer(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, self._free_credits()))
        tokens = [f"t{self.number + index}" for index in range(count)]
        self.number += count
        self.offered.update(tokens)
        self.frame += 1
        self.offers_by_frame[self.frame] = count
        self._do(lambda: self.harness.offer(*tokens))

    @precondition(lambda self: self.connected and self.reported)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.reported)))
        del self.reported[token]
        live = token in self.offered
        self.offered.discard(token)
        self.recorded.update({token} if live else set())
        value = report_pb2.REPORT_DISPOSITION_RECORDED if live else report_pb2.REPORT_DISPOSITION_SUPERSEDED
        self.frame += 1
        self._do(lambda: self.harness.serve(acknowledgement(token, value)))

    @precondition(lambda self: self.connected)
    @rule()
    def ping(self) -> None:
        self.frame += 1
        self._do(self.harness.serve)

    @precondition(lambda self: self.connected and self.offered)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.offered)))
        self.offered.discard(token)
        self.frame += 1
        directive = worker_pb2.Directive(lease_token=token.encode(), action=worker_pb2.DIRECTIVE_ACTION_STOP)
        self._do(lambda: self.harness.serve(worker_pb2.ServerItem(directive=directive)))

    # The worker

    @precondition(lambda self: self.working)
    @rule(data=st.data(), ends=st.booleans())
    def finish(self, data: st.DataObject, ends: bool) -> None:
        token = data.draw(st.sampled_from(sorted(self.working)))
        self.working.discard(token)
        self.harness.core.finish(token.encode(), completed(token) if ends else None)
        self._receive()

    @precondition(lambda self: self.working)
    @rule(data=st.data(), size=st.integers(0, 3000))
    def say(self, data: st.DataObject, size: int) -> None:
        token = data.draw(st.sampled_from(sorted(self.working))).encode()
        self.harness.core.log(token, run_pb2.LogEntry(message="x" * size), self.harness.now)
        self.harness.core.progress(token, run_pb2.StageProgress(fraction=0.5))

    # What holds

    @invariant()
    def it_never_works_on_more_than_its_slots(self) -> None:
        assert self.harness.core.jobs.busy_slots == len(self.working) <= SLOTS

    @invariant()
    def nothing_is_forgotten_before_the_server_knows(self) -> None:
        held = {job.lease_token.decode() for job in self.harness.core.jobs}
        assert self.offered <= held

    @invariant()
    def the_server_never_believes_in_more_slots_than_there_are(self) -> None:
        if self.connected:
            assert self._free_credits() <= SLOTS - len(self.working)

    def teardown(self) -> None:
        """In the end everything is reported, acknowledged and forgotten, and the session drains."""
        if not self.connected:
            self.connect()
        for token in sorted(self.working):
            self.working.discard(token)
            self.harness.core.finish(token.encode(), completed(token))
        self.harness.core.drain(timedelta(seconds=60), self.harness.now)
        self._receive()
        while self.reported:
            token = next(iter(self.reported))
            del self.reported[token]
            self.offered.discard(token)
            self._do(partial(self.harness.serve, acknowledgement(token)))
            self._receive()
        assert self.offered == set()
        assert self.harness.core.is_drained(self.harness.now)

    def _do(self, step: Callable[[], list[Action]]) -> None:
        actions = step()
        begun = started(actions)
        assert not self.working & set(begun), "no job is done twice at a time"
        self.working.update(begun)
        assert set(stopped(actions)) <= self.working

    def _free_credits(self) -> int:
        later = sum(count for frame, count in self.offers_by_frame.items() if frame > self.credits_as_of)
        return self.credits - later

    def _receive(self) -> None:
        """The server reads what the worker has to say."""
        if not self.connected:
            return
        self.harness.pump()
        for frame in self.harness.sent[self.seen :]:
            assert frame.ByteSize() <= LIMITS.frame_bytes_max
            assert len(frame.items) <= LIMITS.frame_items_max
            for item in frame.items:
                if item.WhichOneof("item") == "credits":
                    self.credits, self.credits_as_of = item.credits.free_slots, frame.acknowledged_sequence
                elif item.WhichOneof("item") == "report":
                    token = item.report.lease_token.decode()
                    assert token not in self.reported, "a report is sent once on a stream"
                    self.reported[token] = frame.sequence
        assert [frame.sequence for frame in self.harness.sent] == list(range(1, len(self.harness.sent) + 1))
        self.seen = len(self.harness.sent)


SessionMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestSession = SessionMachine.TestCase
