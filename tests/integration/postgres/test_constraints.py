"""Each named CHECK is broken once: the table refuses what the model's ``check_*`` functions refuse."""

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy import CheckConstraint

from stageline_engine.adapters.postgres import PostgresDatabase
from stageline_engine.adapters.postgres.tables import metadata
from stageline_engine.errors import ConcurrentChangeError, InvariantError, StorageUnavailableError
from stageline_engine.model.ai_call import AiCallRow
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.model.submission import SubmissionPhase, SubmissionRow
from stageline_engine.ports import LoadedRun
from stageline_engine.records import ChangeSet
from stageline_engine.testing import Scene, workflow
from stageline_engine.testing.ai_calls import ai_call
from tests.integration.postgres.backends import backend_on

Break = Callable[[LoadedRun], ChangeSet]


def run_with(**fields: Any) -> Break:
    return lambda loaded: ChangeSet(runs_updated=[replace(loaded.run, **fields)])


def stage_with(**fields: Any) -> Break:
    return lambda loaded: ChangeSet(stages_updated=[replace(loaded.stages[0], **fields)])


def job_with(**fields: Any) -> Break:
    return lambda loaded: ChangeSet(jobs_updated=[replace(loaded.jobs[0], **fields)])


def completed_with_open_stages(loaded: LoadedRun) -> ChangeSet:
    ended = replace(loaded.run, state=RunState.COMPLETED, ended_at=loaded.run.created_at, open_stages=1)
    return ChangeSet(runs_updated=[ended])


def call_with(**fields: Any) -> Break:
    def broken(loaded: LoadedRun) -> ChangeSet:
        now = loaded.run.created_at
        row = AiCallRow("default", ai_call(loaded.run.id), now, now, loaded.run.id, 1, "a")
        call = dataclasses.replace(
            row.call, **{name: value for name, value in fields.items() if hasattr(row.call, name)}
        )
        row_fields = {name: value for name, value in fields.items() if not hasattr(row.call, name)}
        return ChangeSet(ai_calls=[dataclasses.replace(row, call=call, **row_fields)])

    return broken


def submission_with(**fields: Any) -> Break:
    def broken(loaded: LoadedRun) -> ChangeSet:
        now, declared = loaded.run.created_at, SubmissionPhase.DECLARED
        row = SubmissionRow(loaded.run.id, 1, 1, "k", declared, "", 1, UUID(int=1), now, now)
        return ChangeSet(submissions=[replace(row, **fields)])

    return broken


BREAKS: dict[str, Break] = {
    "ck_ai_calls_call_type_known": call_with(call_type="UNHEARD-OF"),
    "ck_ai_calls_cost_not_negative": call_with(cost=Decimal(-1)),
    "ck_ai_calls_cost_has_source": call_with(cost_source=None),
    "ck_ai_calls_lease_of_a_run": call_with(lease_token=UUID(int=1), run_id=None),
    "ck_runs_state_known": run_with(state="UNHEARD-OF"),
    "ck_runs_ended_at_iff_ended": run_with(state=RunState.CANCELLED),
    "ck_runs_no_open_stages_when_ended": completed_with_open_stages,
    "ck_runs_counters_not_negative": run_with(open_stages=-1),
    "ck_stages_state_known": stage_with(state="UNHEARD-OF"),
    "ck_stages_ended_at_iff_ended": stage_with(state=StageState.COMPLETED),
    "ck_stages_leased_when_running": stage_with(state=StageState.RUNNING),
    "ck_jobs_kind_known": job_with(kind="UNHEARD-OF"),
    "ck_jobs_state_known": job_with(state="UNHEARD-OF"),
    "ck_jobs_lease_iff_leased": job_with(state="LEASED"),
    "ck_submissions_phase_known": submission_with(phase="UNHEARD-OF"),
    "ck_submissions_reference_iff_confirmed": submission_with(phase=SubmissionPhase.CONFIRMED),
}
# The statements alone make these rows, and no input of theirs could break the rule.
BY_CONSTRUCTION = {
    "ck_blobs_state_known",
    "ck_outbox_something_pending",
    "ck_workflow_versions_version_positive",
}


def test_every_check_is_here() -> None:
    named = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert named == set(BREAKS) | BY_CONSTRUCTION


@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_row_is_refused_and_nothing_is_written(database: PostgresDatabase, name: str) -> None:
    scene = Scene(backend_on(database))
    await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    before = await scene.details(run_id)
    async with scene.backend.persistence.begin() as work:
        [loaded] = await work.load_runs({run_id: frozenset({1})})
        with pytest.raises(InvariantError, match=name):
            await work.commit(BREAKS[name](loaded))
    assert await scene.details(run_id) == before


async def test_a_taken_key_is_a_concurrent_change(database: PostgresDatabase) -> None:
    scene = Scene(backend_on(database))
    await scene.register(workflow("flow", "a"))
    run_id = await scene.create("flow")
    async with scene.backend.persistence.begin() as work:
        [loaded] = await work.load_runs({run_id: frozenset({1})})
        with pytest.raises(ConcurrentChangeError, match="live job already"):
            await work.commit(ChangeSet(jobs_inserted=list(loaded.jobs)))


async def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with pytest.raises(StorageUnavailableError, match=r"127\.0\.0\.1"):
        await PostgresDatabase("postgresql://nobody@127.0.0.1:1/nothing").open()
