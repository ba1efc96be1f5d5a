"""What a kernel does that runs stages in its own process: it leases, executes and reports by itself."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from stageline_engine.commands import (
    Command,
    Completed,
    Disposition,
    ExecuteJob,
    JobExecuted,
    JobOffer,
    JobReportRecorded,
    Outcome,
    PollSuspended,
    Returned,
    Suspended,
)
from stageline_engine.model.job import JobKind
from stageline_engine.testing.scene import Scene
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.executor import ExecutorBrokeDownError
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import act
from stageline_engine.testing.simulation.workflows import NAMESPACES


class _Ran(NamedTuple):
    """What a command had run.

    Attributes:
        answer: The command's; None where the executor broke down.
        jobs: The jobs with what the executor said, None where it broke down, and what became of the report.
    """

    answer: Any
    jobs: Sequence[tuple[JobOffer, Outcome | None, JobReportRecorded]]


@act(weight=5)
async def execute(history: History, choose: Choices) -> None:
    """Executes any stage of any run: mostly one that has a job, else one that is done, not its turn, or over."""
    waiting = history.waiting_stages()
    if waiting and not choose.once_in(4):
        run_id, number = choose.one_of(waiting)
    else:
        run_id, number = choose.one_of(list(history.runs)), 0
    known = history.runs[run_id]
    stages = history.world.workflows[known].definition.stages
    stage_id = stages[number - 1].id if number else choose.one_of(stages).id
    answer, jobs = await _run(history, ExecuteJob(known.namespace, run_id, stage_id), known.namespace)
    if not jobs:
        assert isinstance(answer, JobExecuted)
        assert answer.disposition in (None, Disposition.ALREADY_RECORDED)
        assert isinstance(answer.outcome, Completed) == (answer.disposition is not None)
        return
    [(offer, said, recorded)] = jobs
    assert (offer.lease.run_id, offer.stage_id) == (run_id, stage_id)
    told = None if said is None else JobExecuted(said, recorded.disposition, recorded.note)
    assert answer == told


@act(weight=4)
async def poll(history: History, choose: Choices) -> None:
    """Makes the checks that are due; those of deployments side by side one by one, as only then ids are comparable."""
    await _suspend_some(history, choose)
    expiry = history.expire()
    await expiry.learn(await history.world.same(expiry.send))
    concurrency = 1 if len(history.world.deployments) > 1 else choose.one_of((1, 4))
    command = PollSuspended(limit=choose.one_of((1, 100)), concurrency=concurrency)
    polled, jobs = await _run(history, command)
    assert all(offer.kind is JobKind.CHECK for offer, _, _ in jobs)
    assert polled.checked == sum(said is not None for _, said, _ in jobs) <= command.limit
    assert polled.checked == polled.resumed + polled.failed + polled.waiting
    assert set(polled.resumed_run_ids) <= {offer.lease.run_id for offer, _, _ in jobs}


async def _suspend_some(history: History, choose: Choices) -> None:
    """A worker suspends what it can, to be checked at once."""
    session_id = await history.open_session(choose.one_of(NAMESPACES))
    offers = await history.lease_now(session_id, 6)
    outcome = Suspended(first_check_delay=timedelta(0), wait_max=timedelta(minutes=5))
    reports = [(offer, outcome) for offer in offers if offer.stage_id in ("batch", "last")]
    if reports:
        report = history.report(reports, ())
        await report.learn(await history.world.same(report.send))


async def _run(history: History, command: Command[Any], *namespace: str) -> _Ran:
    """Dispatches a command that runs stages, and tells the ledger of every lease and report."""

    async def send(scene: Scene) -> tuple[Any, list[Any], list[Any]]:
        kernel: Any = scene.kernel
        executed: Any = scene.executor
        executed.executed.clear()
        kernel.reported.clear()
        try:
            answer = await kernel.dispatch(command)
        except ExecutorBrokeDownError:
            answer = None
        return answer, list(executed.executed), list(kernel.reported)

    answer, executed, reported = await history.world.same(send, *namespace)
    recorded = {report.lease_token: result for report, result in reported}
    jobs = [(offer, said, recorded[offer.lease.lease_token]) for offer, said in executed]
    assert len(jobs) == len(recorded)  # each was reported once, and nothing else
    for offer, said, result in jobs:
        assert result.disposition is Disposition.RECORDED
        history.take_of_own_process(offer)
        history.ledger.reported(offer, Returned(started=True) if said is None else said, result)
    return _Ran(answer, jobs)
