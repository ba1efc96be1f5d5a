"""Forgetting what is past keeping."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from stageline_engine.adapters.memory.state import KeyName, LogEntry, MemoryState
from stageline_engine.adapters.memory.usage import wasted
from stageline_engine.model.blob import BlobState
from stageline_engine.ports import PurgeBefore


class Doomed(NamedTuple):
    """What one pass deletes: idempotency keys, entries of the log, sessions."""

    keys: Sequence[KeyName]
    log: Sequence[LogEntry]
    sessions: Sequence[UUID]


def old_runs(state: MemoryState, ended_before: datetime) -> list[UUID]:
    """Returns ended runs whose every event has its place in the log and that no consumer waits for, the longest ended first."""
    awaited = {run_id for run_id, _ in state.streams}
    awaited |= {run_id for commit in state.commits for run_id, _ in commit}
    ended = [
        (run.ended_at, run.id)
        for run in state.runs.values()
        if run.ended_at is not None and run.ended_at < ended_before and run.id not in awaited
    ]
    return [run_id for _, run_id in sorted(ended)]


def purge_runs(state: MemoryState, run_ids: Collection[UUID]) -> None:
    """Deletes runs with all that is theirs; of their AI calls, which stay, it writes down first whether they were wasted."""
    for booked_as, call in state.ai_calls.items():
        if call.run_id in run_ids and call.lease_token is not None:
            state.ai_calls[booked_as] = replace(call, verdict=wasted(state, call))
    for run_id in run_ids:
        for by_run in (state.runs, state.payloads, state.stages, state.annotations, state.events):
            by_run.pop(run_id, None)
        for artifact in state.artifacts.pop(run_id, {}).values():
            state.blobs[artifact.blob] = (BlobState.DROPPED, state.blobs[artifact.blob][1])
    gone = frozenset(run_ids)
    state.lost_leases = {lost for lost in state.lost_leases if lost[0] not in gone}
    for use in [use for use in state.payload_uses if use[0] in gone]:
        del state.payload_uses[use]
    for by_stage in (state.results, state.progress, state.suspended_states):
        for key in [key for key in by_stage if key[0] in gone]:
            del by_stage[key]
    for execution in [one for one in state.submissions if one[0] in gone]:
        del state.submissions[execution]
    for digest in [digest for digest, token in state.resume_tokens.items() if token.run_id in gone]:
        del state.resume_tokens[digest]
    state.logs = [line for line in state.logs if line.run_id not in gone]


def old_records(state: MemoryState, before: PurgeBefore, limit: int) -> Doomed:
    """Finds what is past keeping, the oldest first. The newest entry of the log stays."""
    keys = sorted((key.created_at, name) for name, key in state.keys.items())
    holders = {job.session_id for job in state.jobs.values()}
    sessions = sorted(
        (session.ended_at, session.id)
        for session in state.sessions.values()
        if session.ended_at is not None and session.id not in holders
    )
    return Doomed(
        [name for at, name in keys if before.keys and at < before.keys][:limit],
        [entry for entry in state.log[:-1] if before.log and entry.logged_at < before.log][:limit],
        [id_ for at, id_ in sessions if before.sessions and at < before.sessions][:limit],
    )


def purge_records(state: MemoryState, doomed: Doomed) -> None:
    """Deletes them."""
    for name in doomed.keys:
        del state.keys[name]
    for session_id in doomed.sessions:
        del state.sessions[session_id]
    state.log = state.log[len(doomed.log) :]
