"""The rows of one batch in memory: read once, changed by events, written as one difference.

A workspace is the only place where events meet ``apply`` and where public events get their sequence. It holds what a
transaction has locked; nothing in it outlives the transaction.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from stageline_engine import events
from stageline_engine.apply import Focus, apply
from stageline_engine.commands import LeaseReference, StopReason
from stageline_engine.decide.view import RunView
from stageline_engine.model.ai_call import AiCallRow, LostLease
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.model.job import JobKind, JobRow, JobState
from stageline_engine.model.run import RunRow
from stageline_engine.model.stage import StageRow
from stageline_engine.model.stored_payload import is_reference, reference_in
from stageline_engine.publish import publish
from stageline_engine.records import (
    AnnotationRecord,
    ArtifactsSuperseded,
    ChangeSet,
    EventRow,
    KeyRecord,
    PayloadUse,
    ResumeToken,
    RunPayload,
    StageProgress,
    StageResult,
    SuspendedState,
)


class RunRecords:
    """One run's rows: as they were read, and as they are now."""

    def __init__(
        self,
        run: RunRow | None,
        workflow: RegisteredWorkflow,
        stages: Iterable[StageRow] = (),
        jobs: Iterable[JobRow] = (),
    ) -> None:
        """Takes what was read.

        Args:
            run: The run; None for one that is about to be created.
            workflow: The version that it is pinned to.
            stages: Those of its stages that were asked for.
            jobs: Their live jobs.
        """
        self.run = run
        self.workflow = workflow
        self.stages = {stage.number: stage for stage in stages}
        self.jobs = {job.stage_number: job for job in jobs}
        self.read_run = run
        self.read_stages = dict(self.stages)
        self.read_jobs = dict(self.jobs)
        self.group_outputs: dict[int, str] = {}

    def include(self, stage: StageRow, job: JobRow) -> None:
        """Takes in one more stage of this run that was read under the same lock."""
        self.stages[stage.number] = self.read_stages[stage.number] = stage
        self.jobs[stage.number] = self.read_jobs[stage.number] = job

    def view(self) -> RunView:
        """What a decider may see. It follows later changes of this run."""
        run = Focus(self.run).existing_run()
        return RunView(run, self.stages, self.jobs, self.workflow, self.group_outputs)


class Workspace:
    """All runs of one batch."""

    def __init__(self, now: datetime, causation_id: UUID) -> None:
        """Starts empty.

        Args:
            now: The time that every event of the batch bears.
            causation_id: Names the batch in its events.
        """
        self.now = now
        self.causation_id = causation_id
        self.runs: dict[UUID, RunRecords] = {}
        self.promoted_routes: set[int] = set()
        self.offered_again: list[JobRow] = []
        self._changes = ChangeSet()
        self._reported: set[UUID] = set()

    def add(self, run_id: UUID, records: RunRecords) -> None:
        """Takes in a run that was read or is about to be created."""
        self.runs[run_id] = records

    def forget(self, run_id: UUID) -> None:
        """Undoes what the batch has made of a run so far, where nothing but its rows and events can be concerned."""
        self.runs.pop(run_id, None)
        self._changes.events = [event for event in self._changes.events if event.run_id != run_id]

    def view(self, run_id: UUID) -> RunView | None:
        """What a decider may see of a run; None where it does not exist."""
        records = self.runs.get(run_id)
        return records.view() if records else None

    def apply_all(self, run_id: UUID, happened: Iterable[events.Event]) -> None:
        """Applies events of one run in their order and records what is to be told of them."""
        records = self.runs[run_id]
        for event in list(happened):
            self._apply(run_id, records, event)

    def _apply(self, run_id: UUID, records: RunRecords, event: events.Event) -> None:
        number = getattr(event, "number", 0)
        before = Focus(records.run, records.stages.get(number), records.jobs.get(number))
        after = apply(before, event, self.now)
        self._record(event, before, after)
        records.run = self._tell(event, before, after)
        if after.stage is not None:
            records.stages[number] = after.stage
        elif before.stage is not None:
            del records.stages[number]
        if after.job is not None:
            records.jobs[number] = after.job
        elif before.job is not None:
            del records.jobs[number]

    def _tell(self, event: events.Event, before: Focus, after: Focus) -> RunRow:
        """Gives the event's public forms the run's next sequences."""
        run = after.existing_run()
        sequence = run.event_sequence
        for name, payload in publish(event, before, self.now):
            sequence += 1
            row = EventRow(run.id, sequence, name, payload, self.now, self.causation_id)
            self._changes.events.append(row)
        return run if sequence == run.event_sequence else replace(run, event_sequence=sequence)

    def _record(self, event: events.Event, before: Focus, after: Focus) -> None:
        """Keeps what an event carries beyond the rows: payloads, results, leases that ended unasked."""
        match event:
            case events.RunCreated(run=run, input=text, config=config, labels=labels):
                self._changes.payloads.append(RunPayload(run.id, text, config, labels))
                self._refer(run, text)
            case events.StageCompleted(output=output, metrics=metrics):
                self._result(after, output, metrics, None)
            case events.StageFailed(error=error) | events.StageRetryScheduled(error=error):
                self._result(after, None, {}, error)
            case events.StageSuspended(state=state, conditions=conditions):
                self._suspend(after, state, conditions)
            case events.StageStillWaiting(state=str() as state):
                self._suspend(after, state)
            case events.StageProgressed():
                self._progress(after.existing_stage(), event)
            case events.RunRerun():
                self._rerun(after.existing_run(), event)
            case events.AnnotationAdded(annotation=annotation):
                record = AnnotationRecord(after.existing_run().id, annotation, self.now)
                self._changes.annotations.append(record)
            case events.AiCallBooked(call=call, closes=closes):
                self.book(call, closes=closes)
            case events.SubmissionChanged(submission=submission):
                self._changes.submissions.append(submission)
            case events.StageRequeued():
                self._lose(before.existing_job())

    def _result(
        self, after: Focus, output: str | None, metrics: Mapping[str, float], error: events.StageError | None
    ) -> None:
        stage = after.existing_stage()
        result = StageResult(stage.run_id, stage.number, stage.generation, output, metrics, error)
        self._changes.results.append(result)
        if output is not None:
            self.runs[stage.run_id].group_outputs[stage.number] = output
            self._refer(after.existing_run(), output)

    def _suspend(self, after: Focus, state: str, conditions: tuple[events.ResumeCondition, ...] = ()) -> None:
        stage, job = after.existing_stage(), after.existing_job()
        interval = job.poll_interval if job.available_at != job.deadline_at else None
        kept = SuspendedState(stage.run_id, stage.number, stage.generation, state, job.deadline_at, interval)
        self._changes.suspended_states.append(kept)
        self._refer(after.existing_run(), state)
        for condition in conditions:
            token = ResumeToken(
                condition.token_sha256,
                stage.run_id,
                stage.number,
                stage.generation,
                condition.label,
                condition.expires_at,
            )
            self._changes.resume_tokens.append(token)

    def _progress(self, stage: StageRow, event: events.StageProgressed) -> None:
        told = StageProgress(
            stage.run_id,
            stage.number,
            stage.generation,
            stage.attempt,
            event.fraction,
            event.message,
            event.details,
            self.now,
        )
        self._changes.progress.append(told)

    def _refer(self, run: RunRow, text: str) -> None:
        """Has a payload kept that is stored apart, for as long as its run is."""
        reference = reference_in(text) if is_reference(text) else None
        if reference is not None:
            use = PayloadUse(run.id, reference.sha256, run.namespace)
            if use not in self._changes.payload_uses:
                self._changes.payload_uses.append(use)

    def _rerun(self, run: RunRow, event: events.RunRerun) -> None:
        """Keeps the new config, and has the artifacts of the stages that run again taken away."""
        if event.config is not None:
            self._changes.configs.append((run.id, event.config))
        first = self.runs[run.id].workflow.definition.numbers_of_group(event.group)[0]
        gone = ArtifactsSuperseded(run.id, first, event.generation, self.now)
        self._changes.artifacts_superseded.append(gone)

    def _lose(self, job: JobRow) -> None:
        if job.lease_token is not None:
            lost = LostLease(job.run_id, job.stage_number, job.lease_token)
            self._changes.lost_leases.append(lost)

    def book(self, call: AiCallRow, *, closes: bool = False) -> None:
        """Has an AI call booked, in the place of its open record if there is one, which may be of this very batch."""
        if not closes:
            self._changes.ai_calls.append(call)
            return
        ids = [(each.namespace, each.call.id) for each in self._changes.ai_calls]
        if (call.namespace, call.call.id) in ids:
            self._changes.ai_calls[ids.index((call.namespace, call.call.id))] = call
        else:
            self._changes.ai_calls_closed.append(call)

    def use_token(self, token: ResumeToken) -> None:
        """Has a resume token marked as used with the work that it allowed."""
        self._changes.resume_tokens_used.append(token)

    def used_token(self, token_sha256: bytes) -> ResumeToken | None:
        """A token that was used earlier in this batch, which the store does not know of yet."""
        used = (token for token in self._changes.resume_tokens_used if token.token_sha256 == token_sha256)
        return next(used, None)

    def keep_key(self, record: KeyRecord) -> None:
        """Has an idempotency key written with the work."""
        self._changes.keys.append(record)

    def ready_jobs(self) -> Iterator[JobRow]:
        """Jobs that became ready in this batch and are not leased; promoted ones are in ``promoted_routes``."""
        for records in self.runs.values():
            for number, job in records.jobs.items():
                if job.state is JobState.READY and job is not records.read_jobs.get(number):
                    yield job

    def reported(self, lease_token: UUID) -> None:
        """Notes that a lease ends because its worker said so: it need not be told."""
        self._reported.add(lease_token)

    def stopped(self) -> Iterator[LeaseReference]:
        """Leases that ended in this batch although their workers do not know it."""
        for records in self.runs.values():
            for number, read in records.read_jobs.items():
                job = records.jobs.get(number)
                ended = read.lease_token is not None and (job is None or job.lease_token != read.lease_token)
                if ended and read.session_id and read.lease_token and read.lease_token not in self._reported:
                    reason = self._stop_reason(records, read)
                    yield LeaseReference(read.session_id, read.lease_token, read.run_id, number, reason)

    def _stop_reason(self, records: RunRecords, read: JobRow) -> StopReason:
        defined = read.stage_number <= len(records.workflow.definition.stages)
        if defined and read.deadline_at is not None and read.deadline_at <= self.now:
            stage = records.read_stages[read.stage_number]
            limit = records.workflow.definition.stages[read.stage_number - 1].timeouts.start_to_close
            silent = read.kind is JobKind.EXECUTE and not (
                limit and stage.started_at and stage.started_at + limit <= self.now
            )
            return StopReason.HEARTBEAT_TIMED_OUT if silent else StopReason.TIMED_OUT
        ended = records.run is not None and records.run.state.terminal
        return StopReason.RUN_ENDED if ended else StopReason.SUPERSEDED

    def wake_at(self) -> datetime | None:
        """The earliest time at which something is due that this batch has set: a job, a deadline, a run's start."""
        return min(self._due_times(), default=None)

    def _due_times(self) -> Iterator[datetime]:
        for records in self.runs.values():
            run = records.run
            if run is not None and run is not records.read_run and not run.state.terminal:
                yield from filter(None, (run.deadline_at, run.start_at if run.started_at is None else None))
            for number, job in records.jobs.items():
                if job is not records.read_jobs.get(number):
                    if job.state is JobState.DELAYED:
                        yield job.available_at
                    if job.deadline_at is not None:
                        yield job.deadline_at

    def touched_runs(self) -> frozenset[UUID]:
        """Runs with new public events."""
        return frozenset(event.run_id for event in self._changes.events)

    def changes(self) -> ChangeSet:
        """The difference to write."""
        changes = self._changes
        for records in self.runs.values():
            run = Focus(records.run).existing_run()
            if records.read_run is None:
                changes.runs_inserted.append(run)
            elif run is not records.read_run:
                changes.runs_updated.append(run)
            self._stage_changes(records, changes)
            self._job_changes(records, changes)
        return changes

    @staticmethod
    def _stage_changes(records: RunRecords, changes: ChangeSet) -> None:
        for number, stage in records.stages.items():
            read = records.read_stages.get(number)
            if read is None:
                changes.stages_inserted.append(stage)
            elif stage is not read:
                changes.stages_updated.append(stage)
        for number, read in records.read_stages.items():
            if number not in records.stages:
                changes.stages_deleted.append(read)

    @staticmethod
    def _job_changes(records: RunRecords, changes: ChangeSet) -> None:
        for number, job in records.jobs.items():
            read = records.read_jobs.get(number)
            if read is None:
                changes.jobs_inserted.append(job)
            elif job is not read:
                changes.jobs_updated.append(job)
        for number, read in records.read_jobs.items():
            if number not in records.jobs:
                changes.jobs_deleted.append(read)
