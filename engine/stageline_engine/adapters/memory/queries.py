"""Reading runs, their stages and their events, as last committed."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.adapters.memory import outbox, usage
from stageline_engine.adapters.memory.commit import output_of
from stageline_engine.adapters.memory.state import MemoryState, OutboxStream
from stageline_engine.decide.lease import urgency
from stageline_engine.model.job import JobKind, JobRow, JobState
from stageline_engine.model.run import RunRow, RunState
from stageline_engine.model.stage import StageRow
from stageline_engine.ports import (
    AnnotationFilter,
    DeadLetter,
    DeadLetterKey,
    DueCheck,
    LogCursor,
    LogPage,
    RunDetails,
    RunFilter,
    RunPage,
    StageDetails,
    Statistics,
    Workload,
)
from stageline_engine.records import AnnotationRecord, EventRow


class MemoryRunQueries:
    """The RunQueries port. See there for what each method promises."""

    def __init__(self, state: MemoryState) -> None:
        """Takes the state to read."""
        self._state = state

    async def get_run(self, namespace: str, run_id: UUID, *, with_outputs: bool) -> RunDetails | None:
        """Returns a run with its stages, or None."""
        run = self._visible(namespace, run_id)
        if run is None:
            return None
        stages = sorted(self._state.stages.get(run_id, {}).items())
        details = [self._details(stage, with_outputs=with_outputs) for _, stage in stages]
        submissions = [
            row
            for execution, rows in sorted(self._state.submissions.items())
            if execution[0] == run_id
            for _, row in sorted(rows.items())
        ]
        return RunDetails(
            run, self._state.payloads[run_id], details, usage.total(self._state, run_id), submissions
        )

    def _details(self, stage: StageRow, *, with_outputs: bool) -> StageDetails:
        key = (stage.run_id, stage.number)
        result, job = self._state.results.get(key), self._state.jobs.get(key)
        if result is not None and result.generation != stage.generation:
            result = None
        if result is not None and not with_outputs:
            result = replace(result, output=None)
        session = self._state.sessions.get(job.session_id) if job and job.session_id else None
        told, tried = self._state.progress.get(key), (stage.generation, stage.attempt)
        waits = job is not None and job.state is not JobState.LEASED
        return StageDetails(
            stage=stage,
            result=result,
            worker_name=session.worker_name if session else "",
            available_at=job.available_at if job and waits else None,
            progress=told if told and (told.generation, told.attempt) == tried else None,
        )

    async def list_runs(self, which: RunFilter, *, before: UUID | None = None, limit: int) -> RunPage:
        """Returns runs, the newest first, older than ``before``."""
        state = self._state
        ids = sorted((run.id for run in state.runs.values() if self._matches(run, which)), reverse=True)
        older = [run_id for run_id in ids if before is None or run_id < before]
        page = [state.runs[run_id] for run_id in older[:limit]]
        labels = {run.id: state.payloads[run.id].labels for run in page}
        return RunPage(page, page[-1].id if len(older) > limit else None, labels)

    def _matches(self, run: RunRow, which: RunFilter) -> bool:
        labels = self._state.payloads[run.id].labels.items()
        return _matches(run, which) and which.labels.items() <= labels

    async def list_events(
        self, namespace: str, run_id: UUID, *, after_sequence: int, limit: int
    ) -> tuple[Sequence[EventRow], RunState] | None:
        """Returns a run's events after a sequence and its state."""
        run = self._visible(namespace, run_id)
        if run is None:
            return None
        events = self._state.events[run_id]
        return events[after_sequence : after_sequence + limit], run.state

    async def list_due_checks(self, *, limit: int) -> Sequence[DueCheck]:
        """Returns checks of running runs that are ready and not leased, the most urgent first."""
        runs = self._state.runs
        ready = [
            job
            for job in self._state.jobs.values()
            if job.kind is JobKind.CHECK
            and job.state is JobState.READY
            and runs[job.run_id].state is RunState.RUNNING
        ]
        return [
            DueCheck(
                runs[job.run_id].namespace,
                job.run_id,
                self._state.stages[job.run_id][job.stage_number].stage_id,
                job.route_id,
            )
            for job in sorted(ready, key=urgency)[:limit]
        ]

    async def workload(self) -> Workload:
        """Counts live jobs and dead letters of all namespaces."""
        return _workload(self._state.jobs.values(), self._state.streams.values())

    async def statistics(self, namespace: str) -> Statistics:
        """Counts what a namespace holds."""
        runs = {run.id: run for run in self._state.runs.values() if run.namespace == namespace}
        jobs = [job for job in self._state.jobs.values() if job.run_id in runs]
        streams = [stream for (run_id, _), stream in self._state.streams.items() if run_id in runs]
        living = [
            session
            for session in self._state.sessions.values()
            if session.namespace == namespace and session.ended_at is None
        ]
        return Statistics(
            Counter(run.state for run in runs.values()),
            _workload(jobs, streams),
            sum(stream.pending - stream.published for stream in streams),
            len(living),
            sum(session.slots for session in living),
        )

    async def lease_is_live(self, namespace: str, run_id: UUID, stage_number: int, lease_token: UUID) -> bool:
        """Returns whether this token is the one of the job's present lease."""
        job = self._state.jobs.get((run_id, stage_number))
        if self._visible(namespace, run_id) is None or job is None:
            return False
        return job.lease_token == lease_token

    async def read_outputs(self, namespace: str, run_id: UUID, numbers: Collection[int]) -> Mapping[int, str]:
        """Returns outputs of completed stages by number."""
        if self._visible(namespace, run_id) is None:
            return {}
        texts = {number: output_of(self._state, (run_id, number)) for number in numbers}
        return {number: text for number, text in texts.items() if text is not None}

    async def list_annotations(
        self, namespace: str, run_id: UUID, which: AnnotationFilter, *, after_id: str = "", limit: int
    ) -> Sequence[AnnotationRecord]:
        """Returns a run's annotations in the order of their making."""
        if self._visible(namespace, run_id) is None:
            return ()
        kept = sorted(
            self._state.annotations.get(run_id, {}).values(),
            key=lambda record: (record.created_at, record.annotation.id),
        )
        ids = [record.annotation.id for record in kept]
        start = ids.index(after_id) + 1 if after_id in ids else 0
        return [record for record in kept[start:] if which.matches(record)][:limit]

    async def list_dead_letters(
        self,
        namespace: str,
        *,
        consumer: str = "",
        run_id: UUID | None = None,
        after: DeadLetterKey | None = None,
        limit: int,
    ) -> Sequence[DeadLetter]:
        """Returns dead-lettered events, by run and consumer."""
        found = [
            self._dead_letter(key, stream)
            for key, stream in outbox.dead_letters(self._state)
            if consumer in ("", key.consumer)
            and run_id in (None, key.run_id)
            and (after is None or key[:2] > after[:2])
            and self._visible(namespace, key.run_id)
        ]
        return found[:limit]

    def _dead_letter(self, key: DeadLetterKey, stream: OutboxStream) -> DeadLetter:
        event = self._state.events[key.run_id][key.sequence - 1]
        assert stream.dead_at is not None
        source = outbox.source_of(self._state, key.run_id)
        return DeadLetter(key.consumer, source, event, stream.tries, stream.last_error, stream.dead_at)

    async def read_log(self, namespace: str, cursor: LogCursor, limit: int) -> LogPage:
        """Returns events of a namespace that come after a place in the log."""
        return outbox.read_log(self._state, namespace, cursor, limit)

    async def log_bounds(self) -> tuple[int, int]:
        """Returns the positions of the oldest and the newest entry of the log."""
        log = self._state.log
        return (log[0].position, log[-1].position) if log else (0, 0)

    def _visible(self, namespace: str, run_id: UUID) -> RunRow | None:
        """The run, unless it is another namespace's."""
        run = self._state.runs.get(run_id)
        return run if run is not None and run.namespace == namespace else None


def _matches(run: RunRow, which: RunFilter) -> bool:
    return (
        run.namespace == which.namespace
        and which.workflow_name in ("", run.workflow_name)
        and (not which.states or run.state in which.states)
        and (which.created_after is None or run.created_at >= which.created_after)
        and (which.created_before is None or run.created_at < which.created_before)
    )


def _workload(jobs: Iterable[JobRow], streams: Iterable[OutboxStream]) -> Workload:
    held = list(jobs)
    count = Counter(job.state for job in held)
    ready = [job.available_at for job in held if job.state is JobState.READY]
    dead = sum(stream.dead_at is not None for stream in streams)
    return Workload(
        count[JobState.READY], count[JobState.LEASED], count[JobState.DELAYED], min(ready, default=None), dead
    )
