"""One random history: what the world was told so far, and what must hold of the rows after every step of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from stageline_engine import commands
from stageline_engine.commands import Completed, Disposition, JobOffer, LeaseDemand, Outcome, Returned
from stageline_engine.events import Annotation
from stageline_engine.limits import LEASE_DURATION, PAGE_SIZE_MAX, SESSION_TIMEOUT
from stageline_engine.model.ai_call import AiCall
from stageline_engine.model.job import JobState
from stageline_engine.model.run import RunState
from stageline_engine.model.session import NO_SERVER, SessionRow
from stageline_engine.ports import ALL_STAGES, HeldLease, LoadedRun, RunFilter
from stageline_engine.testing.scene import Scene
from stageline_engine.testing.simulation import invariants
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.forgetting import forget_everything
from stageline_engine.testing.simulation.keeping import Keeping
from stageline_engine.testing.simulation.ledger import Ledger
from stageline_engine.testing.simulation.moves import Move
from stageline_engine.testing.simulation.spending import Spending, bar_cost
from stageline_engine.testing.simulation.workflows import LABELS, NAMESPACES
from stageline_engine.testing.simulation.world import KnownRun, Send, World, send_flush, send_one

ROUNDS_MAX = 60
"""Rounds in which all that is open must come to an end: a few per stage would do."""


class History:
    """What the world knows, and the few calls that acts are made of.

    Attributes:
        world: The deployments.
        runs: Every run that was ever acknowledged.
        sessions: Every session, the newest last.
        offers: Every job that was ever handed out.
        ledger: What offers and acknowledgements mean for later ones.
        spending: What was told of AI calls.
        cancelled: What was to be seen of each run when it was cancelled.
        by_key: The first request and the run of each idempotency key.
        tokens: Resume tokens, with the offer under which each was made.
        used_tokens: How each used one ended its wait.
        annotations: Ids of the remarks about each run.
        skipped: Events that no sink was ever to be given.
        kept: What lies beside the database.
        key_times: When each key was first used.
        at_once: Whether what is done now is one of several things at the same time.
        checks: How many runs were checked against the invariants so far.
    """

    def __init__(self, world: World) -> None:
        """Takes a world in which nothing has happened."""
        self.world = world
        self.runs: dict[UUID, KnownRun] = {}
        self.sessions: list[UUID] = []
        self.offers: list[JobOffer] = []
        self.ledger = Ledger()
        self.spending = Spending(self.ledger.submitted)
        self.cancelled: dict[UUID, Any] = {}
        self.by_key: dict[tuple[str, str], tuple[commands.CreateRun, UUID]] = {}
        self.tokens: list[tuple[JobOffer, bytes]] = []
        self.used_tokens: dict[bytes, Any] = {}
        self.annotations: dict[UUID, set[str]] = {}
        self.skipped: set[tuple[UUID, int]] = set()
        self.kept = Keeping()
        self.key_times: dict[tuple[str, str], datetime] = {}
        self.at_once = False
        self.checks = 0
        self._namespaces: dict[UUID, str] = {}
        self._labels: dict[UUID, Mapping[str, str]] = {}
        self._serial = 0
        self._seen: dict[UUID, LoadedRun] = {}
        self._sequences: dict[UUID, int] = {}
        self._epochs: dict[tuple[UUID, int], int] = {}
        self._published = [invariants.Published() for _ in world.deployments]

    # What acts are made of.

    def new_key(self, purpose: str) -> str:
        """An idempotency key that nobody has used."""
        self._serial += 1
        return f"{purpose}-{self._serial}"

    def know(self, run_id: UUID, namespace: str, workflow_name: str) -> None:
        """Takes in a run that was acknowledged."""
        self.runs[run_id] = KnownRun(namespace, workflow_name)

    def forget(self, run_ids: frozenset[UUID], *, keys_before: datetime) -> None:
        """Runs were purged, and keys that were first used before a time."""
        for by_run in (self.runs, self._seen, self.cancelled, self.annotations):
            for run_id in run_ids & by_run.keys():
                del by_run[run_id]
        self.offers = [offer for offer in self.offers if offer.lease.run_id not in run_ids]
        self.tokens = [known for known in self.tokens if known[0].lease.run_id not in run_ids]
        self.kept.forget(run_ids)
        for key in [key for key, at in self.key_times.items() if at < keys_before]:
            del self.key_times[key], self.by_key[key]

    async def begin_anew(self) -> None:
        """Creates a run where none is left: every act needs one."""
        self.know(await self.world.same(lambda scene: scene.create("line")), NAMESPACES[0], "line")

    def ended_runs(self) -> Sequence[UUID]:
        """Runs that had ended when they were last looked at, bar cancelled ones."""
        ended = (RunState.COMPLETED, RunState.FAILED)
        return [run_id for run_id, loaded in self._seen.items() if loaded.run.state in ended]

    def waiting_stages(self) -> Sequence[tuple[UUID, int]]:
        """Stages by run and number whose job was not leased when their run was last looked at."""
        return [
            (run_id, job.stage_number)
            for run_id, loaded in self._seen.items()
            for job in loaded.jobs
            if job.state is not JobState.LEASED
        ]

    def annotation(self, annotation_id: str) -> Annotation:
        """A remark that nobody is told of."""
        return Annotation(annotation_id, f"key.{annotation_id}", "1")

    async def open_session(self, namespace: str, labels: Mapping[str, str] = LABELS) -> UUID:
        """A worker connects."""
        session_id = await self.world.same(lambda scene: scene.open_session(labels=labels), namespace)
        self.sessions.append(session_id)
        self._namespaces[session_id], self._labels[session_id] = namespace, labels
        return session_id

    async def open_streamless_session(self, namespace: str) -> UUID:
        """A worker that has no stream opens a session for one call."""

        async def send(scene: Scene) -> UUID:
            now, session_id = scene.clock.now(), scene.ids.new_id()
            life = (now, now + LEASE_DURATION)
            row = SessionRow(session_id, namespace, "cron", NO_SERVER, 10, "test/1", *life)
            await scene.backend.sessions.open(row)
            return session_id

        session_id = await self.world.same(send, namespace)
        self._namespaces[session_id] = namespace
        return session_id

    def plain(self, send: Send[Any], namespace: str = NAMESPACES[0], commits: int = 1) -> Move:
        """A call from whose answer nothing follows, and which may be repeated at will."""

        async def learn(answer: Any) -> None:
            return

        async def recover() -> None:
            await self.world.same(send, namespace)

        return Move(
            send=send, learn=learn, namespace=namespace, recover=recover, repeatable=True, commits=commits
        )

    def lease(self, session_id: UUID, slots: int) -> Move:
        """Leases to a session. Offers whose answer was lost are found among its leases and given back."""
        namespace = self._namespaces[session_id]

        async def send(scene: Scene) -> Sequence[JobOffer]:
            command = commands.LeaseJobs((self._demand(scene, session_id, slots),))
            return (await scene.kernel.dispatch_many([command])).effects.offers

        async def learn(offers: Sequence[JobOffer]) -> None:
            assert len(offers) <= slots
            self.take(offers)

        async def recover() -> None:
            await self.give_back_lost_offers([session_id])

        return Move(send=send, learn=learn, namespace=namespace, recover=recover)

    async def lease_now(self, session_id: UUID, slots: int) -> Sequence[JobOffer]:
        """Leases to a session, for acts that do something with what was leased."""
        move = self.lease(session_id, slots)
        offers: Sequence[JobOffer] = await self.world.same(move.send, move.namespace)
        await move.learn(offers)
        return offers

    def some_demands(self, choose: Choices) -> Sequence[tuple[UUID, int]]:
        """Sessions among the newest with slots for what a report makes ready; often none."""
        slots = choose.number(0, 3)
        return [(session_id, slots) for session_id in self.sessions[-2:] if slots]

    def _demand(self, scene: Scene, session_id: UUID, slots: int) -> LeaseDemand:
        workflows, labels = self.world.workflows_of(self._namespaces[session_id]), self._labels[session_id]
        return scene.demand(session_id, *workflows, slots=slots, labels=labels)

    def report(
        self,
        reports: Sequence[tuple[JobOffer, Outcome]],
        demands: Sequence[tuple[UUID, int]],
        calls: Sequence[AiCall] = (),
    ) -> Move:
        """Reports in one batch, the first with new AI calls; what it makes ready is handed to sessions that have slots."""

        async def send(scene: Scene) -> Any:
            wanted = [self._demand(scene, session_id, slots) for session_id, slots in demands]
            dispatched = await scene.report_many(*reports, demands=wanted, ai_calls=calls)
            return list(dispatched.results), dispatched.effects

        def book(recorded: Any) -> None:
            assert recorded.booked == tuple(call.id for call in calls)
            for call in calls:
                lease = reports[0][0].lease
                self.spending.booked(reports[0][0].namespace, lease.run_id, call, first=False, at_once=False)

        async def learn(answer: Any) -> None:
            results, effects = answer
            book(results[0])
            for (offer, outcome), result in zip(reports, results, strict=True):
                self.ledger.reported(offer, outcome, replace(result, booked=()))
            self.take(effects.offers)

        async def recover() -> None:
            results, effects = await self.world.same(send)
            book(results[0])
            answers = [(*said, result) for said, result in zip(reports, results, strict=True)]
            # What the lost call recorded comes first: it has taken the place of what was recorded before it.
            answers.sort(key=lambda answer: answer[2].disposition is not Disposition.ALREADY_RECORDED)
            for offer, outcome, result in answers:
                self.ledger.reported_again(offer, outcome, result)
            self.take(effects.offers)
            await self.give_back_lost_offers([session_id for session_id, _ in demands])

        return Move(send=send, learn=learn, recover=recover, repeatable=True)

    def expire(self) -> Move:
        """Acts on stages and runs that ran out of time."""

        async def send(scene: Scene) -> Any:
            return await send_one(scene, commands.ExpireDeadlines())

        async def learn(expired: Any) -> None:
            assert expired.next_deadline_at is None or expired.next_deadline_at > self.world.now
            if expired.stages or expired.runs:
                self.ledger.acted()

        async def recover() -> None:
            self.ledger.acted()
            await learn(await self.world.same(send))

        return Move(send=send, learn=learn, recover=recover, repeatable=True)

    def refuse(self, event_type: str) -> None:
        """Has the sinks refuse events of one type from now on; none where it is empty."""
        for deployment in self.world.deployments:
            deployment.sink.refuse = lambda event: event.type == event_type

    def take(self, offers: Sequence[JobOffer]) -> None:
        """Takes in jobs that were handed out, and checks that they may be."""
        for offer in offers:
            assert self._namespaces[offer.lease.session_id] == offer.namespace  # I10
            assert self.runs[offer.lease.run_id].namespace == offer.namespace
            labels = self._labels.get(offer.lease.session_id)
            invariants.check_labels(offer, self.world.workflows[self.runs[offer.lease.run_id]], labels)
            self.ledger.offered(offer)
        self.offers += offers

    def take_of_own_process(self, offer: JobOffer) -> None:
        """Takes in a job that a kernel leased to a session of its own."""
        self._namespaces[offer.lease.session_id] = offer.namespace
        self.take([offer])

    async def give_back_lost_offers(self, session_ids: Sequence[UUID]) -> None:
        """As servers do: leases that nobody was told of go back at no cost."""
        told = {offer.lease.lease_token for offer in self.offers}

        async def held(scene: Scene) -> list[HeldLease]:
            return sorted(
                [
                    lease
                    for session_id in session_ids
                    for lease in await scene.backend.sessions.held_leases(session_id)
                ]
            )

        for run_id, number, lease_token, *_ in await self.world.same(held):
            if lease_token not in told:
                command = commands.ReportJob(
                    self.runs[run_id].namespace, run_id, number, lease_token, Returned(started=False)
                )
                answer = await self.world.same(lambda scene: send_one(scene, command))  # noqa: B023
                assert answer.disposition is Disposition.RECORDED

    # What can be seen.

    async def snapshot(self, run_id: UUID) -> Any:
        """Everything that people see of a run."""

        async def read(scene: Scene) -> Any:
            return await scene.details(run_id), list(await scene.events(run_id))

        return await self.world.same(read, self.runs[run_id].namespace)

    async def rows(self) -> Mapping[UUID, LoadedRun]:
        """The rows of every known run."""

        async def read(scene: Scene) -> list[LoadedRun]:
            async with scene.backend.persistence.begin() as work:
                loaded = await work.load_runs(dict.fromkeys(self.runs, ALL_STAGES))
            return [one._replace(stages=list(one.stages), jobs=list(one.jobs)) for one in loaded]

        return {loaded.run.id: loaded for loaded in await self.world.same(read)}

    # What must hold.

    async def check(self, *, everything: bool = False) -> None:
        """Checks the invariants of every run that has changed since the last check, or of all."""
        rows = await self.rows()
        assert rows.keys() == self.runs.keys()  # I1: what was acknowledged is there
        for run_id, loaded in rows.items():
            if everything or self._seen.get(run_id) != loaded:
                await self._check_run(run_id, loaded)
                self._seen[run_id] = loaded
                self._sequences[run_id] = loaded.run.event_sequence
        for deployment, published in zip(self.world.deployments, self._published, strict=True):
            published.check(deployment.sink.taken, self.skipped)
        await self._check_namespaces()

    async def _check_run(self, run_id: UUID, loaded: LoadedRun) -> None:
        self.checks += 1
        details, events = snapshot = await self.snapshot(run_id)
        workflow = self.world.workflows[self.runs[run_id]]
        invariants.check_run(loaded, details, events, workflow)
        for stage in loaded.stages:  # a lease of an older generation is never taken for one of a newer
            epoch = self._epochs.get((run_id, stage.number), 0)
            assert stage.lease_epoch >= epoch
            self._epochs[run_id, stage.number] = stage.lease_epoch
        assert bar_cost(self.cancelled.get(run_id, snapshot)) == bar_cost(snapshot)  # I6
        self.spending.check(run_id, details)  # I7
        for entry in details.stages:  # I1: an acknowledged report is committed
            recorded = self.ledger.outputs.get((run_id, entry.stage.number))
            assert recorded is None or entry.result.output == recorded.decode()

    async def _check_namespaces(self) -> None:
        """I10: a tenant's list has its own runs, all of them, and no other's."""

        async def read(scene: Scene) -> list[list[UUID]]:
            pages = [
                await scene.backend.queries.list_runs(RunFilter(namespace), limit=PAGE_SIZE_MAX)
                for namespace in NAMESPACES
            ]
            return [sorted(run.id for run in page.runs) for page in pages]

        own = [
            sorted(run_id for run_id, known in self.runs.items() if known.namespace == namespace)
            for namespace in NAMESPACES
        ]
        assert await self.world.same(read) == own

    async def finish(self) -> None:
        """I8: with a worker alive, every run comes to its end, and every event to the sink."""
        for _ in range(ROUNDS_MAX):
            if all(loaded.run.state.terminal for loaded in (await self.rows()).values()):
                break
            self.world.advance(max(SESSION_TIMEOUT, timedelta(minutes=1)))
            await self._work_off()
            await self.check()
        states = {loaded.run.state for loaded in (await self.rows()).values()}
        assert states <= {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}
        await self.check(everything=True)
        await self._publish_all()
        await forget_everything(self)

    async def _work_off(self) -> None:
        sessions = [await self.open_session(namespace) for namespace in NAMESPACES]
        for command in (commands.ClaimPendingRuns(), commands.PromoteJobs(), commands.ReapStaleLeases()):
            await self.world.same(lambda scene: send_one(scene, command))  # noqa: B023
        expiry = self.expire()
        await expiry.learn(await self.world.same(expiry.send))
        for session_id in sessions:
            offers = await self.lease_now(session_id, 100)
            done = [(offer, Completed(orjson.dumps(1))) for offer in offers]
            if done:
                report = self.report(done, ())
                await report.learn(await self.world.same(report.send))

    async def _publish_all(self) -> None:
        self.refuse("")
        self.world.advance(timedelta(hours=1))
        await self.world.same(lambda scene: send_one(scene, commands.ReplayDeadLetters(limit=PAGE_SIZE_MAX)))
        while (await self.world.same(send_flush)).published:
            pass
        for run_id in self.runs:
            self.check_published(run_id)

    def check_published(self, run_id: UUID) -> None:
        """Every event of a run was given to the sinks, or passed over on purpose."""
        for deployment, published in zip(self.world.deployments, self._published, strict=True):
            published.check(deployment.sink.taken, self.skipped)
            last = published.last.get(run_id, 0)
            while (run_id, last + 1) in self.skipped:
                last += 1
            assert last == self._sequences[run_id]
