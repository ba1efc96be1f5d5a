"""Writing one transaction's difference: first every guard is checked, then everything is written.

The guards are those of the tables: a row to update or delete has the version that was read, a row to insert is not
there yet.
"""

from collections.abc import Mapping

import orjson
from msgspec.structs import replace

from stageline_engine.adapters.memory.state import MemoryState
from stageline_engine.errors import ConcurrentChangeError
from stageline_engine.model.blob import BlobState
from stageline_engine.model.job import JobRow
from stageline_engine.model.stage import StageState
from stageline_engine.model.submission import KnownSubmission
from stageline_engine.ports import InputRequest, JobInputs
from stageline_engine.records import ArtifactsSuperseded, ChangeSet, JobKey


def check(state: MemoryState, changes: ChangeSet, overlay: Mapping[JobKey, JobRow]) -> None:
    """Checks that nothing has changed since it was read.

    Args:
        state: What is committed.
        changes: What is to be written.
        overlay: Jobs as the same transaction has changed them before.

    Raises:
        ConcurrentChangeError: Something has.
    """
    for run in changes.runs_inserted:
        _expect(run.id not in state.runs, f"run {run.id} exists")
    for run in changes.runs_updated:
        current = state.runs.get(run.id)
        _expect(current is not None and current.version == run.version, f"run {run.id} was changed")
    _check_stages(state, changes)
    _check_jobs(state, changes, overlay)
    for event in changes.events:
        taken = event.sequence <= len(state.events.get(event.run_id, ()))
        _expect(not taken, f"event {event.sequence} of run {event.run_id} exists")
    for token in changes.resume_tokens_used:
        stored = state.resume_tokens.get(token.token_sha256)
        _expect(stored is not None and stored.used_fingerprint is None, "a resume token was used")
    for use in changes.payload_uses:
        _expect((use.namespace, use.sha256) in state.stored_payloads, "a payload has been taken away")
    for row in changes.ai_calls:
        _expect((row.namespace, row.call.id) not in state.ai_calls, f"AI call {row.call.id} is booked")
    for row in changes.ai_calls_closed:
        stored_call = state.ai_calls.get((row.namespace, row.call.id))
        is_open = stored_call is not None and stored_call.call.is_open
        _expect(is_open, f"AI call {row.call.id} is open")
    for key in changes.keys:
        _expect((key.namespace, key.command, key.key) not in state.keys, f"key {key.key} exists")


def _check_stages(state: MemoryState, changes: ChangeSet) -> None:
    for stage in changes.stages_inserted:
        _expect(stage.number not in state.stages.get(stage.run_id, ()), f"stage {stage.stage_id} exists")
    for stage in (*changes.stages_updated, *changes.stages_deleted):
        current = state.stages.get(stage.run_id, {}).get(stage.number)
        unchanged = current is not None and current.version == stage.version
        _expect(unchanged, f"stage {stage.stage_id} of run {stage.run_id} was changed")


def _check_jobs(state: MemoryState, changes: ChangeSet, overlay: Mapping[JobKey, JobRow]) -> None:
    for job in changes.jobs_inserted:
        _expect(
            (job.run_id, job.stage_number) not in state.jobs, f"job {job.run_id}/{job.stage_number} exists"
        )
    for job in (*changes.jobs_updated, *changes.jobs_deleted):
        key = (job.run_id, job.stage_number)
        current = overlay.get(key) or state.jobs.get(key)
        unchanged = current is not None and current.version == job.version
        _expect(unchanged, f"job {job.run_id}/{job.stage_number} was changed")


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ConcurrentChangeError(otherwise)


def write(state: MemoryState, changes: ChangeSet) -> None:
    """Writes what was checked; the version of each written row grows by one."""
    for run in (*changes.runs_inserted, *changes.runs_updated):
        state.runs[run.id] = replace(run, version=run.version + 1)
    for payload in changes.payloads:
        state.payloads[payload.run_id] = replace(payload, labels=dict(payload.labels))
    for stage in (*changes.stages_inserted, *changes.stages_updated):
        state.stages.setdefault(stage.run_id, {})[stage.number] = replace(stage, version=stage.version + 1)
    for stage in changes.stages_deleted:
        del state.stages[stage.run_id][stage.number]
    for job in (*changes.jobs_inserted, *changes.jobs_updated):
        state.put_job(replace(job, version=job.version + 1))
    for job in changes.jobs_deleted:
        state.delete_job((job.run_id, job.stage_number))
    for result in changes.results:
        state.results[result.run_id, result.stage_number] = replace(result, metrics=dict(result.metrics))
    for told in changes.progress:
        state.progress[told.run_id, told.stage_number] = told
    _write_waits(state, changes)
    for said in changes.annotations:
        state.annotations.setdefault(said.run_id, {})[said.annotation.id] = said
    for run_id, config in changes.configs:
        state.payloads[run_id] = replace(state.payloads[run_id], config=config)
    _write_holds(state, changes)
    _write_ledger(state, changes)
    state.add_events(changes.events)
    for key in changes.keys:
        state.keys[key.namespace, key.command, key.key] = key


def _write_holds(state: MemoryState, changes: ChangeSet) -> None:
    """Writes which stored bytes the runs hold from now on."""
    for use in changes.payload_uses:
        state.payload_uses[use.run_id, use.sha256] = True
    for gone in changes.artifacts_superseded:
        _supersede(state, gone)


def _supersede(state: MemoryState, gone: ArtifactsSuperseded) -> None:
    """Takes away artifacts of stages that run again."""
    artifacts = state.artifacts.get(gone.run_id, {})
    for key, artifact in list(artifacts.items()):
        if artifact.stage_number >= gone.first_stage_number and artifact.generation < gone.generation:
            state.blobs[artifact.blob] = (BlobState.DROPPED, gone.at)
            del artifacts[key]


def _write_ledger(state: MemoryState, changes: ChangeSet) -> None:
    """Writes AI calls, the leases whose calls were for nothing, and what was submitted elsewhere."""
    for row in (*changes.ai_calls, *changes.ai_calls_closed):
        state.ai_calls[row.namespace, row.call.id] = row
    for lost in changes.lost_leases:
        state.lost_leases.add((lost.run_id, lost.stage_number, lost.lease_token))
    for submitted in changes.submissions:
        execution = (submitted.run_id, submitted.stage_number, submitted.generation)
        state.submissions.setdefault(execution, {})[submitted.key] = submitted


def _write_waits(state: MemoryState, changes: ChangeSet) -> None:
    """Writes what suspended stages wait with."""
    for kept in changes.suspended_states:
        state.suspended_states[kept.run_id, kept.stage_number] = kept
    for token in changes.resume_tokens:
        before = state.resume_tokens.setdefault(token.token_sha256, token)
        if (before.run_id, before.stage_number) == (token.run_id, token.stage_number):
            state.resume_tokens[token.token_sha256] = (
                token  # given again; another stage's is not this one's to give
            )
    for token in changes.resume_tokens_used:
        state.resume_tokens[token.token_sha256] = token


def output_of(state: MemoryState, key: JobKey) -> str | None:
    """Returns the output of a completed stage of the present generation, as JSON text; None where there is none."""
    run_id, number = key
    stage, result = state.stages.get(run_id, {}).get(number), state.results.get(key)
    if stage is None or result is None or stage.state is not StageState.COMPLETED:
        return None
    return result.output if result.generation == stage.generation else None


def read_inputs(state: MemoryState, request: InputRequest) -> JobInputs:
    """Returns what a leased job's worker needs."""
    payload = state.payloads[request.run_id]
    config = orjson.dumps(orjson.loads(payload.config).get(request.stage_id, {})).decode()
    outputs: dict[int, str] = {}
    left = request.outputs_bytes_max
    for number in request.output_numbers:
        text = output_of(state, (request.run_id, number))
        if text is None:
            continue
        left -= len(text.encode())
        if left < 0:
            break
        outputs[number] = text
    kept = state.suspended_states.get((request.run_id, request.stage_number))
    suspended = kept.state if kept and kept.generation == request.suspended_generation else None
    submitted = (request.run_id, request.stage_number, request.submitted_generation or 0)
    rows = sorted(state.submissions.get(submitted, {}).items())
    submissions = [KnownSubmission(row.key, row.phase, row.reference) for _, row in rows]
    return JobInputs(
        config, payload.input if request.with_run_input else None, outputs, suspended, submissions
    )
