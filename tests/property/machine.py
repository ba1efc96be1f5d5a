"""Random histories: any command at any time, workers that die, reports that come late or twice, a database that goes.

After every step the invariants are checked, and at the end every run must still be able to come to its end (I8).
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stageline_engine import commands
from stageline_engine.commands import (
    Completed,
    FlushOutbox,
    JobOffer,
    Outcome,
    RunCancellation,
    RunCreation,
    SuspendCondition,
    Suspended,
)
from stageline_engine.events import Annotation
from stageline_engine.limits import SESSION_TIMEOUT
from stageline_engine.model.run import RunState
from stageline_engine.ports import AnnotationFilter
from stageline_engine.rejections import Rejection
from stageline_engine.testing import Scene
from stageline_engine.testing.scene import SERVER, completed
from tests.property import invariants
from tests.property.acts import lose_job, read_output
from tests.property.ledger import Ledger
from tests.property.strategies import KEYS, OUTCOMES, PICK, SLOTS, STEPS, WAITS
from tests.property.world import WORKFLOWS, OpenBackend, World

ROUNDS_MAX = 60
"""Rounds in which all that is open must come to an end: a few per stage would do."""


class History(RuleBasedStateMachine):
    """One random history on one or several adapters."""

    backends: ClassVar[Sequence[OpenBackend]] = ()

    @initialize()
    def begin(self) -> None:
        self.world = World(self.backends)
        self.runs: dict[UUID, str] = {}
        self.sessions: list[UUID] = []
        self.offers: list[JobOffer] = []
        self.cancelled: dict[UUID, Any] = {}
        self.ledger = Ledger()
        self.by_key: dict[str, Any] = {}
        self.tokens: list[tuple[UUID, str, bytes]] = []
        self.used: dict[bytes, Any] = {}
        self.open_session()
        for definition in WORKFLOWS:
            self.create(definition.name, 5, "")

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.finish()
            finally:
                self.world.close()

    # What clients do.

    @rule(
        name=st.sampled_from([definition.name for definition in WORKFLOWS]),
        priority=st.sampled_from([0, 5, 9]),
        key=KEYS,
    )
    def create(self, name: str, priority: int, key: str) -> None:
        answer = self.world.same(lambda scene: scene.try_create(name, priority=priority, idempotency_key=key))
        request = (name, priority)
        if key and self.by_key.setdefault(key, (request, answer))[0] != request:
            assert isinstance(answer, Rejection)
            return
        assert isinstance(answer, RunCreation)
        if key:
            assert answer.run_id == self.by_key[key][1].run_id
        self.runs[answer.run_id] = name

    @rule(
        name=st.sampled_from(["single", "timed"]), after=st.sampled_from([1, 10]), priority=st.integers(0, 9)
    )
    def create_for_later(self, name: str, after: int, priority: int) -> None:
        start_at = self.world.clock_now + timedelta(seconds=after)
        answer = self.world.same(lambda scene: scene.try_create(name, priority=priority, start_at=start_at))
        assert isinstance(answer, RunCreation)
        self.runs[answer.run_id] = name

    @rule(pick=PICK, position=PICK)
    def rerun(self, pick: int, position: int) -> None:
        run_id = self._one_of(list(self.runs), pick)
        workflow = self.world.workflows[self.runs[run_id]]
        stage_id = workflow.definition.stages[position % len(workflow.definition.stages)].id
        command = commands.RerunRun("default", run_id, stage_id, "again")
        [answer] = self.world.same(lambda scene: _dispatch(scene, command))
        assert isinstance(answer, commands.RunRerunResult | Rejection)
        if isinstance(answer, commands.RunRerunResult):
            discarded = {workflow.definition.number_by_id[one] for one in answer.discarded_stage_ids}
            self.ledger.rerun(run_id, discarded)
        assert not (isinstance(answer, commands.RunRerunResult) and run_id in self.cancelled)

    @rule(
        pick=PICK,
        ids=st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True),
        tell=st.booleans(),
    )
    def annotate(self, pick: int, ids: list[str], tell: bool) -> None:
        """Remarks of few ids, so that many are repeats; whoever cancelled a run is not told of any."""
        run_id = self._one_of(list(self.runs), pick)
        tell = tell and run_id not in self.cancelled
        said = tuple(Annotation(id_, f"key.{id_}", "1", emit_event=tell) for id_ in ids)
        before = self._annotations(run_id)
        [answer] = self.world.same(
            lambda scene: _dispatch(scene, commands.AnnotateRun("default", run_id, said))
        )
        assert answer.added == tuple(id_ for id_ in ids if id_ not in before)
        assert set(self._annotations(run_id)) == {*before, *ids}

    def _annotations(self, run_id: UUID) -> list[str]:
        async def read(scene: Scene) -> Any:
            records = await scene.backend.queries.list_annotations(
                "default", run_id, AnnotationFilter(key_prefix="key."), limit=100
            )
            return list(records)

        return [record.annotation.id for record in self.world.same(read)]

    @precondition(lambda self: self.tokens)
    @rule(pick=PICK, outcome=WAITS)
    def resume(self, pick: int, outcome: Any) -> None:
        """Uses any token that there ever was: at most one outcome is taken, and that one any number of times."""
        run_id, stage_id, token = self._one_of(self.tokens, pick)
        command = commands.ResumeStage("default", run_id, stage_id, token, outcome)
        [answer] = self.world.same(lambda scene: _dispatch(scene, command))
        if isinstance(answer, Rejection):
            return
        if answer.replayed:
            assert self.used[token] == outcome
            return
        assert token not in self.used
        self.ledger.acted()
        if not isinstance(outcome, commands.CheckNow):
            self.used[token] = outcome
        if isinstance(outcome, Completed):
            number = self.world.workflows[self.runs[run_id]].definition.number_by_id[stage_id]
            self.ledger.resumed(run_id, number, outcome.output)

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        run_id = self._one_of(list(self.runs), pick)
        answer = self.world.same(lambda scene: scene.cancel(run_id, "because"))
        assert isinstance(answer, RunCancellation)
        if answer.cancelled:
            self.cancelled[run_id] = self.world.snapshot([run_id])

    # What workers do.

    @rule()
    def open_session(self) -> None:
        self.sessions.append(self.world.same(lambda scene: scene.open_session()))

    @rule()
    def renew_all(self) -> None:
        self.world.same(lambda scene: scene.renew(*self.sessions))

    @rule(pick=PICK)
    def end_session(self, pick: int) -> None:
        session_id, now = self._one_of(self.sessions, pick), self.world.clock_now
        self.world.same(lambda scene: scene.backend.sessions.end(session_id, SERVER, now, "DRAINED"))

    @rule(pick=PICK, slots=SLOTS)
    def lease(self, pick: int, slots: int) -> None:
        """Leases to any session that there ever was, some of them ended."""
        self._lease(self._one_of(self.sessions, pick), slots)

    @rule(outcomes=st.lists(OUTCOMES, min_size=1, max_size=4), slots=st.integers(0, 3))
    def work(self, outcomes: list[Outcome], slots: int) -> None:
        """Leases as many jobs as there are outcomes to the newest session, and reports them at once."""
        offers = self._lease(self.sessions[-1], len(outcomes))
        self._report(list(zip(offers, outcomes, strict=False)), slots)

    @precondition(lambda self: self.offers)
    @rule(picks=st.lists(st.tuples(PICK, OUTCOMES), min_size=1, max_size=4), slots=st.integers(0, 3))
    def report(self, picks: list[tuple[int, Outcome]], slots: int) -> None:
        """Reports on any offers that there ever were, some of them stale, some twice."""
        reports = [(self._one_of(self.offers, pick), outcome) for pick, outcome in picks]
        self._report(reports, slots)

    @rule(with_token=st.booleans(), never_poll=st.booleans())
    def suspend_what_can_be(self, with_token: bool, never_poll: bool) -> None:
        """Leases to the newest session, and suspends every stage that was given and may be."""
        for offer in self._lease(self.sessions[-1], 4):
            if offer.stage_id in ("batch", "last"):
                token = str(offer.lease.lease_token).encode()
                condition = SuspendCondition(hashlib.sha256(token).digest(), "a word")
                outcome = Suspended(
                    wait_max=timedelta(minutes=5),
                    never_poll=never_poll,
                    conditions=(condition,) if with_token else (),
                )
                if with_token:
                    self.tokens.append((offer.lease.run_id, offer.stage_id, token))
                self._report([(offer, outcome)], 0)

    @precondition(lambda self: self.offers)
    @rule(outcome=OUTCOMES, slots=st.integers(0, 3))
    def report_newest(self, outcome: Outcome, slots: int) -> None:
        self._report([(self.offers[-1], outcome)], slots)

    @precondition(lambda self: self.offers)
    @rule(pick=PICK, fraction=st.sampled_from([0.0, 0.5, 1.0]))
    def progress(self, pick: int, fraction: float) -> None:
        lease = self._one_of(self.offers, pick).lease
        command = commands.ReportProgress(
            "default", lease.run_id, lease.stage_number, lease.lease_token, fraction, "on", {"n": 1}
        )
        self.world.same(lambda scene: _dispatch(scene, command))

    # What servers do.

    @rule()
    def reap(self) -> None:
        self.world.same(lambda scene: scene.reap())

    @rule()
    def promote(self) -> None:
        self.world.same(lambda scene: scene.promote())

    @rule()
    def expire(self) -> None:
        self._expire()

    @rule(limit=st.integers(1, 3))
    def claim_pending(self, limit: int) -> None:
        [claimed] = self.world.same(lambda scene: _dispatch(scene, commands.ClaimPendingRuns(limit)))
        assert len(claimed.run_ids) <= limit

    @rule(pick=PICK)
    def lose_a_job(self, pick: int) -> None:
        """A job that waits is lost behind the kernel's back: the repair finds that very one and restores it."""
        run_id = self._one_of(list(self.runs), pick)
        lost = self.world.same(lambda scene: lose_job(scene, run_id, pick))
        [reaped] = self.world.same(lambda scene: _dispatch(scene, commands.ReapStuckRuns()))
        assert reaped == commands.StuckRunsReaped(lost, 0)

    @rule(step=STEPS)
    def pass_time(self, step: timedelta) -> None:
        self.world.advance(step)

    @rule(pick=PICK)
    def repair(self, pick: int) -> None:
        command = commands.TransitionRun(self._one_of(list(self.runs), pick))
        answer = self.world.same(lambda scene: _dispatch(scene, command))
        assert answer == [commands.RunTransition("noop")]

    @rule(limit=st.integers(1, 9), refused=st.sampled_from(["", "", "workflow:started", "stage:completed"]))
    def flush(self, limit: int, refused: str) -> None:
        for deployment in self.world.deployments:
            deployment.sink.refuse = lambda event: event.type == refused
        self.world.same(lambda scene: scene.kernel.dispatch(FlushOutbox(limit)))

    # What goes wrong.

    @rule(pick=PICK, commits_left=st.integers(0, 1))
    def lose_the_database(self, pick: int, commits_left: int) -> None:
        """Any command that changes something, cut off before its commit; a flush also between its two."""
        before = self.world.snapshot(list(self.runs))
        run_id, session_id = self._one_of(list(self.runs), pick), self._one_of(self.sessions, pick)
        acts: list[Callable[[Scene], Awaitable[Any]]] = [
            lambda scene: scene.try_create("line", idempotency_key=f"lost-{pick}"),
            lambda scene: scene.reap(),
            lambda scene: scene.promote(),
            lambda scene: scene.cancel(run_id),
            lambda scene: scene.lease(session_id, *self.world.workflows.values()),
        ]
        if self.offers:
            offer = self._one_of(self.offers, pick)
            acts.append(lambda scene: scene.report(offer, completed(1)))
        self.world.interrupted(self._one_of(acts, pick))
        self.world.interrupted(lambda scene: scene.kernel.dispatch(FlushOutbox()), commits_left)
        assert self.world.snapshot(list(self.runs)) == before

    # What must hold.

    @invariant()
    def nothing_contradicts_itself(self) -> None:
        if not hasattr(self, "world"):
            return
        for run_id, name in self.runs.items():
            self.world.same(lambda scene: invariants.check_run(scene, run_id, self.world.workflows[name]))  # noqa: B023
            for deployment in self.world.deployments:
                invariants.check_published(deployment.sink.of_run(run_id))

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """I1: what was acknowledged stays. I6: a cancelled run never changes again."""
        if not hasattr(self, "world"):
            return
        for run_id, snapshot in self.cancelled.items():
            assert self.world.snapshot([run_id]) == snapshot
        for (run_id, number), output in self.ledger.outputs.items():
            assert self.world.same(read_output(run_id, number)) == {number: output.decode()}

    def finish(self) -> None:
        """I8: with a worker alive, every run comes to its end, and every event to the sink."""
        for _ in range(ROUNDS_MAX):
            if all(details.run.state.terminal for details, _ in self.world.snapshot(list(self.runs))):
                break
            self.world.advance(max(SESSION_TIMEOUT, timedelta(minutes=1)))
            session_id = self.world.same(lambda scene: scene.open_session())
            self.world.same(lambda scene: _dispatch(scene, commands.ClaimPendingRuns()))
            self.world.same(lambda scene: scene.promote())
            self.world.same(lambda scene: scene.reap())
            self._expire()
            for offer in self._lease(session_id, 100):
                self._report([(offer, completed(1))], 0)
                self.nothing_contradicts_itself()
        states = {details.run.state for details, _ in self.world.snapshot(list(self.runs))}
        assert states <= {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}
        self._publish_all()

    def _publish_all(self) -> None:
        for deployment in self.world.deployments:
            deployment.sink.refuse = lambda event: False
        self.world.advance(timedelta(hours=1))
        while self.world.same(lambda scene: scene.kernel.dispatch(FlushOutbox(50))).published:
            pass
        for deployment in self.world.deployments:
            for run_id, (details, _) in zip(self.runs, self.world.snapshot(list(self.runs)), strict=True):
                taken = deployment.sink.of_run(run_id)
                invariants.check_published(taken)
                assert max(event.sequence for event in taken) == details.run.event_sequence

    # How it is done.

    @staticmethod
    def _one_of(things: Sequence[Any], pick: int) -> Any:
        return things[pick % len(things)]

    def _expire(self) -> None:
        [expired] = self.world.same(lambda scene: _dispatch(scene, commands.ExpireDeadlines()))
        assert expired.next_deadline_at is None or expired.next_deadline_at > self.world.clock_now
        if expired.stages or expired.runs:
            self.ledger.acted()

    def _lease(self, session_id: UUID, slots: int) -> Sequence[JobOffer]:
        offers = self.world.same(
            lambda scene: scene.lease(session_id, *self.world.workflows.values(), slots=slots)
        )
        assert len(offers) <= slots
        self._take(offers)
        return offers

    def _report(self, reports: list[tuple[JobOffer, Outcome]], slots: int) -> None:
        if not reports:
            return

        async def send(scene: Scene) -> Any:
            demands = [
                scene.demand(session_id, *self.world.workflows.values(), slots=slots)
                for session_id in self.sessions[-2:]
                if slots
            ]
            dispatched = await scene.report_many(*reports, demands=demands)
            return list(dispatched.results), dispatched.effects

        results, effects = self.world.same(send)
        for (offer, outcome), answer in zip(reports, results, strict=True):
            self.ledger.reported(offer, outcome, answer)
        self._take(effects.offers)

    def _take(self, offers: Sequence[JobOffer]) -> None:
        for offer in offers:
            self.ledger.offered(offer)
        self.offers += offers


async def _dispatch(scene: Scene, command: Any) -> Any:
    return list((await scene.kernel.dispatch_many([command])).results)
