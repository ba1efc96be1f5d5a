"""The columns that the statements name are those of the tables, and the rows' fields come in their order."""

import pytest
from msgspec.structs import fields
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql

from stageline_engine.adapters.postgres.errors import TAKEN_KEYS
from stageline_engine.adapters.postgres.statements import columns, tokens
from stageline_engine.adapters.postgres.statements.columns import RowShape
from stageline_engine.adapters.postgres.tables import metadata
from stageline_engine.model.access import AccessToken
from stageline_engine.model.job import JobRow
from stageline_engine.model.run import RunRow
from stageline_engine.model.session import SessionRow
from stageline_engine.model.stage import StageRow
from stageline_engine.records import EventRow, KeyRecord, ResumeToken, RunPayload, SuspendedState

SHAPES = [
    shape for where in (columns, tokens) for shape in vars(where).values() if isinstance(shape, RowShape)
]
DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
TYPES = {"timestamp with time zone": "timestamptz"}
ROWS = [
    (columns.RUNS, RunRow),
    (columns.STAGES, StageRow),
    (columns.JOBS, JobRow),
    (columns.EVENTS, EventRow),
    (columns.IDEMPOTENCY_KEYS, KeyRecord),
    (columns.RUN_PAYLOADS, RunPayload),
    (columns.SESSIONS, SessionRow),
    (columns.SUSPENDED_STATES, SuspendedState),
    (columns.RESUME_TOKENS, ResumeToken),
    (tokens.ACCESS_TOKENS, AccessToken),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.table)
def test_statements_name_every_column_with_its_type(shape: RowShape) -> None:
    stored = {}
    for column in metadata.tables[shape.table].columns:
        name = column.type.compile(DIALECT).lower().removesuffix(' collate "c"')
        stored[column.name] = TYPES.get(name, name)
    assert {column.name: column.type for column in shape.columns} == stored


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.table)
def test_keys_are_the_primary_keys(shape: RowShape) -> None:
    keys = {column.name for column in metadata.tables[shape.table].primary_key}
    assert {column.name for column in shape.columns if column.key} == keys


@pytest.mark.parametrize(("shape", "row"), ROWS, ids=lambda value: getattr(value, "table", ""))
def test_rows_have_their_fields_in_the_order_of_the_columns(shape: RowShape, row: type) -> None:
    assert [column.name for column in shape.columns] == [field.name for field in fields(row)]


def test_every_unique_constraint_has_its_meaning() -> None:
    named = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if type(constraint).__name__ in {"PrimaryKeyConstraint", "UniqueConstraint"}
    }
    assert named == set(TAKEN_KEYS)
