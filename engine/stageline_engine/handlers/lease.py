"""``job.lease`` for a batch, and the eager hand-over of jobs that any batch made ready."""

from collections.abc import Mapping, Sequence

from stageline_engine.commands import JobOffer, LeaseDemand, LeasedJobs, LeaseJobs, LeaseReference
from stageline_engine.decide.lease import Urgency, assign, attempt_to_lease, decide_start
from stageline_engine.handlers.context import Batch
from stageline_engine.limits import COMMANDS_PER_BATCH_MAX, OFFER_OUTPUTS_BYTES_MAX
from stageline_engine.model.definition import StageMode
from stageline_engine.model.job import JobKind, JobRow, JobState
from stageline_engine.model.lease_token import lease_token
from stageline_engine.ports import ClaimedJob, InputRequest, JobInputs, LoadedRun


async def lease_jobs(batch: Batch, commands: Sequence[LeaseJobs]) -> list[LeasedJobs]:
    """Leases ready jobs to the sessions that can take them."""
    return [await lease_demands(batch, command) for command in commands]


async def lease_demands(batch: Batch, command: LeaseJobs) -> LeasedJobs:
    """Leases ready jobs of any run to the sessions of one command."""
    demands = command.demands
    leased, contended = 0, False
    for routes in sorted({demand.route_ids for demand in demands}):
        takers = [demand for demand in demands if demand.route_ids == routes]
        slots = min(sum(demand.slots for demand in takers), COMMANDS_PER_BATCH_MAX)
        if slots <= 0:
            continue
        claim = await batch.work.claim_jobs(routes, slots + _taken(batch, routes))
        contended |= claim.contended
        fresh = [claimed for claimed in claim.jobs if not _known(batch, claimed.job)]
        jobs = [claimed.job for claimed in fresh if await _take(batch, claimed)]
        contended |= len(jobs) < len(
            fresh
        )  # what was given up took the place of jobs that may wait behind it
        leased += start_jobs(batch, jobs, takers)
    return LeasedJobs(leased, contended)


def _taken(batch: Batch, routes: Sequence[int]) -> int:
    """How many jobs of these routes an earlier claim of this batch has: the store gives them again, as they are ours."""
    return sum(
        job.route_id in routes for records in batch.space.runs.values() for job in records.read_jobs.values()
    )


def _known(batch: Batch, job: JobRow) -> bool:
    """Whether an earlier claim of this batch has the job: sets of routes may overlap, and nothing is written yet."""
    records = batch.space.runs.get(job.run_id)
    return records is not None and job.stage_number in records.read_jobs


async def _take(batch: Batch, claimed: ClaimedJob) -> bool:
    """Takes a claimed job into the workspace; False where its run had to be given up."""
    run_id, number = claimed.job.run_id, claimed.job.stage_number
    if run_id not in batch.space.runs:
        await batch.take(LoadedRun(claimed.run, (claimed.stage,), (claimed.job,)))
    elif not _known(batch, claimed.job):
        batch.space.runs[run_id].include(claimed.stage, claimed.job)
    return number in batch.space.runs[run_id].jobs


async def hand_over(batch: Batch, demands: Sequence[LeaseDemand]) -> None:
    """Leases jobs that this batch made ready to sessions with free slots, unless more urgent ones wait."""
    ready = list(batch.space.ready_jobs())
    if not ready or not demands:
        return
    routes = frozenset().union(*{demand.route_ids for demand in demands})
    if any(job.route_id in routes for job in ready):
        start_jobs(batch, ready, demands, await batch.work.queue_heads(routes))


def start_jobs(
    batch: Batch,
    jobs: Sequence[JobRow],
    demands: Sequence[LeaseDemand],
    heads: Mapping[int, Urgency] | None = None,
) -> int:
    """Leases ready jobs of loaded runs to sessions; returns how many found one."""
    assigned = assign(jobs, demands, heads)
    for job, session_id in assigned:
        view = batch.space.runs[job.run_id].view()
        attempt = attempt_to_lease(view, job.stage_number)
        token = lease_token(batch.ids.new_token(), job.generation, attempt)
        started = decide_start(view, job.stage_number, session_id, token, batch.space.now)
        batch.space.apply_all(job.run_id, [started])
    return len(assigned)


def leased_now(batch: Batch) -> list[JobRow]:
    """Jobs that were leased in this batch."""
    return [
        job
        for records in batch.space.runs.values()
        for number, job in records.jobs.items()
        if job.state is JobState.LEASED and job is not records.read_jobs.get(number)
    ]


def input_request(batch: Batch, job: JobRow) -> InputRequest:
    """What the worker of a leased job needs: the outputs of the group before, then those that it declares."""
    records = batch.space.runs[job.run_id]
    definition = records.workflow.definition
    stage = definition.stages[job.stage_number - 1]
    group = records.stages[job.stage_number].group_number
    check = job.kind is JobKind.CHECK
    numbers = list(definition.numbers_of_group(group - 1)) if group > 1 and not check else []
    if not check:
        named = [definition.number_by_id[stage_id] for stage_id in stage.dependencies]
        numbers += [number for number in named if number not in numbers]
    return InputRequest(
        job.run_id,
        job.stage_number,
        stage.id,
        with_run_input=group == 1 and not check,
        output_numbers=tuple(numbers),
        outputs_bytes_max=OFFER_OUTPUTS_BYTES_MAX,
        suspended_generation=job.generation if stage.mode is StageMode.ASYNC_BATCH else None,
        submitted_generation=job.generation if job.lease_epoch > 1 else None,
    )


def offer(batch: Batch, job: JobRow, inputs: JobInputs) -> JobOffer:
    """The message to the worker that a leased job was given to."""
    view = batch.space.runs[job.run_id].view()
    stage, definition = view.stages[job.stage_number], view.definition_of(job.stage_number)
    workflow = view.workflow.definition
    ids = workflow.stage_ids
    first = workflow.first_numbers[stage.group_number - 1]
    before = workflow.numbers_of_group(stage.group_number - 1) if stage.group_number > 1 else range(0)
    return JobOffer(
        lease=lease_reference(job),
        namespace=view.run.namespace,
        workflow_name=view.run.workflow_name,
        workflow_version=view.run.workflow_version,
        stage_id=stage.stage_id,
        kind=job.kind,
        generation=stage.generation,
        attempt=stage.attempt,
        delivery=stage.delivery,
        priority=job.priority,
        start_to_close=definition.timeouts.start_to_close,
        config=inputs.config,
        run_input=inputs.run_input,
        input_stage_ids=tuple(ids[number - 1] for number in before),
        outputs={ids[number - 1]: text for number, text in inputs.outputs.items()},
        completed_stage_ids=ids[: first - 1],
        heartbeat=definition.timeouts.heartbeat,
        suspended_state=inputs.suspended_state,
        submissions=tuple(inputs.submissions),
    )


def lease_reference(job: JobRow) -> LeaseReference:
    """Names the lease of a leased job."""
    if job.session_id is None or job.lease_token is None:
        raise ValueError(f"job {job.run_id}/{job.stage_number} is not leased")
    return LeaseReference(job.session_id, job.lease_token, job.run_id, job.stage_number)
