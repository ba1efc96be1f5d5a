"""The one statement that writes a batch: every part a data-modifying CTE over arrays, all guarded by the versions read.

A batch of reports touches four or five tables. As one statement that is one parse, one plan and one trip through the
executor; the parts that a batch does not need are left out, so that a single report does not pay for a creation. The
shapes that really occur are few, and each is built and prepared once.

All parts see the rows as they were before the statement, and no part writes a row that another one writes. A guarded part
that finds fewer rows than it was given makes the statement fail (a division by zero, which the adapter knows), so that a
COMMIT can be sent along without waiting for the answer.
"""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from stageline_engine.adapters.postgres.arrays import Parameter, array
from stageline_engine.adapters.postgres.statements.columns import (
    AI_CALLS,
    ANNOTATIONS,
    EVENTS,
    JOBS,
    LOST_LEASES,
    PAYLOAD_USES,
    RESUME_TOKENS,
    RUNS,
    STAGE_PROGRESS,
    STAGE_RESULTS,
    STAGES,
    SUSPENDED_STATES,
    Column,
    RowShape,
)
from stageline_engine.adapters.postgres.statements.submissions import SUBMISSIONS
from stageline_engine.model.submission import SubmissionRow
from stageline_engine.records import ChangeSet, StageProgress, StageResult, SuspendedState

# What the rows of the statement's answer are; the first column says it.
CHECK, PAYLOAD, OUTPUT, STATE, SUBMITTED = 1, 2, 3, 4, 5


@dataclass(frozen=True, eq=False)
class Part:
    """One CTE.

    Attributes:
        name: The change set's field with its rows.
        columns: The arrays that it is given.
        body: Makes its SQL from that of the unnested arrays, named ``new``.
        guarded: Whether it must find as many rows as it was given.
    """

    name: str
    columns: Sequence[Column]
    body: Callable[[str], str]
    guarded: bool = False

    @property
    def cte(self) -> str:
        """The name of the CTE: never that of a table, which it would hide from the other parts."""
        return f"written_{self.name}"


def _source(column: Column) -> str:
    """A written row's version is one more than the version it was read with; a new row begins at 1."""
    return "new.version + 1" if column.name == "version" else column.of("new")


def _insert(name: str, shape: RowShape, conflict: str = "") -> Part:
    values = ", ".join(_source(column) for column in shape.columns)
    head = f"INSERT INTO {shape.table} ({shape.names}) SELECT {values} FROM "
    return Part(name, shape.columns, lambda new: f"{head}{new}{conflict}")


def _keys_match(shape: RowShape) -> str:
    names = [column.name for column in shape.columns if column.key] + ["version"]
    return " AND ".join(f"old.{name} = new.{name}" for name in names)


def _guards(shape: RowShape) -> list[Column]:
    return [column for column in shape.columns if column.key or column.name == "version"]


def _update(name: str, shape: RowShape) -> Part:
    mutable = [column for column in shape.columns if column.mutable]
    values = ", ".join(f"{column.name} = {column.of('new')}" for column in mutable)
    head = f"UPDATE {shape.table} AS old SET {values}, version = old.version + 1 FROM "
    tail = f" WHERE {_keys_match(shape)} RETURNING 1"
    return Part(name, [*_guards(shape), *mutable], lambda new: f"{head}{new}{tail}", guarded=True)


def _delete(name: str, shape: RowShape) -> Part:
    head, tail = f"DELETE FROM {shape.table} AS old USING ", f" WHERE {_keys_match(shape)} RETURNING 1"
    return Part(name, _guards(shape), lambda new: f"{head}{new}{tail}", guarded=True)


def _upsert(name: str, shape: RowShape) -> Part:
    keys = ", ".join(column.name for column in shape.columns if column.key)
    values = ", ".join(
        f"{column.name} = excluded.{column.name}" for column in shape.columns if column.mutable
    )
    return _insert(name, shape, f" ON CONFLICT ({keys}) DO UPDATE SET {values}")


def _use_tokens(name: str) -> Part:
    """A token is used once: whoever finds it used has lost."""
    columns = [column for column in RESUME_TOKENS.columns if column.key or column.mutable]
    head = "UPDATE resume_tokens AS old SET used_fingerprint = new.used_fingerprint FROM "
    tail = " WHERE old.token_sha256 = new.token_sha256 AND old.used_fingerprint IS NULL RETURNING 1"
    return Part(name, columns, lambda new: f"{head}{new}{tail}", guarded=True)


def _close(name: str, shape: RowShape) -> Part:
    """The record of a call's end takes the place of that of its beginning: whoever finds it closed has lost."""
    values = ", ".join(f"{each.name} = {each.of('new')}" for each in shape.columns if not each.key)
    head = f"UPDATE {shape.table} AS old SET {values} FROM "
    tail = " WHERE old.namespace = new.namespace AND old.id = new.id AND old.is_open RETURNING 1"
    return Part(name, shape.columns, lambda new: f"{head}{new}{tail}", guarded=True)


def _refer_to_payloads(name: str) -> Part:
    """A payload that is referred to is held until the commit, so that it cannot be taken away meanwhile."""
    head = "INSERT INTO payload_uses (run_id, sha256, namespace, referenced) "
    head += "SELECT new.run_id, new.sha256, new.namespace, true FROM "
    tail = """ JOIN payloads AS stored ON stored.namespace = new.namespace AND stored.sha256 = new.sha256
        ORDER BY new.namespace, new.sha256 FOR KEY SHARE OF stored
        ON CONFLICT (run_id, sha256) DO UPDATE SET referenced = true RETURNING 1"""
    return Part(name, PAYLOAD_USES, lambda new: f"{head}{new}{tail}", guarded=True)


# A stage that suspends again may give the same token again; a token of another stage is not its to give.
_TOKEN_GIVEN_AGAIN = """ ON CONFLICT (token_sha256) DO UPDATE
    SET generation = excluded.generation, label = excluded.label, expires_at = excluded.expires_at, used_fingerprint = NULL
    WHERE resume_tokens.run_id = excluded.run_id AND resume_tokens.stage_number = excluded.stage_number"""

PARTS = (
    _insert("runs_inserted", RUNS),
    _update("runs_updated", RUNS),
    _insert("stages_inserted", STAGES),
    _update("stages_updated", STAGES),
    _delete("stages_deleted", STAGES),
    _insert("jobs_inserted", JOBS),
    _update("jobs_updated", JOBS),
    _delete("jobs_deleted", JOBS),
    _upsert("results", STAGE_RESULTS),
    _insert("events", EVENTS),
    _upsert("suspended_states", SUSPENDED_STATES),
    _upsert("progress", STAGE_PROGRESS),
    _insert("resume_tokens", RESUME_TOKENS, _TOKEN_GIVEN_AGAIN),
    _use_tokens("resume_tokens_used"),
    _insert("annotations", ANNOTATIONS, " ON CONFLICT (run_id, id) DO NOTHING"),
    _refer_to_payloads("payload_uses"),
    _insert("ai_calls", AI_CALLS),
    _close("ai_calls_closed", AI_CALLS),
    _insert("lost_leases", LOST_LEASES, " ON CONFLICT DO NOTHING"),
    _upsert("submissions", SUBMISSIONS),
)
_LAST_COUNTS = frozenset({"results", "suspended_states", "progress", "submissions"})

# What a commit told: its place in the log, and who is told, is worked out apart from it (``docs/decisions/0013``).
_TOLD = "INSERT INTO event_commits (run_ids, sequences) VALUES ({}::uuid[], {}::bigint[])"

_PAYLOADS = f"""
    SELECT {PAYLOAD}, request.position, NULL::integer, payload.config -> request.stage_id,
           CASE WHEN request.with_run_input THEN payload.input END
    FROM unnest({{}}::uuid[], {{}}::text[], {{}}::boolean[]) WITH ORDINALITY
         AS request (run_id, stage_id, with_run_input, position)
    JOIN run_payloads AS payload USING (run_id)"""

_STATES = f"""
    SELECT {STATE}, request.position, NULL::integer, kept.state, NULL
    FROM unnest({{}}::bigint[], {{}}::uuid[], {{}}::integer[], {{}}::integer[])
         AS request (position, run_id, stage_number, generation)
    JOIN suspended_states AS kept USING (run_id, stage_number, generation)"""

_SUBMITTED = f"""
    SELECT {SUBMITTED}, request.position, NULL::integer,
           json_agg(json_build_array(kept.key, kept.phase, kept.reference) ORDER BY kept.key), NULL
    FROM unnest({{}}::bigint[], {{}}::uuid[], {{}}::integer[], {{}}::integer[])
         AS request (position, run_id, stage_number, generation)
    JOIN submissions AS kept USING (run_id, stage_number, generation)
    GROUP BY request.position"""

# Sizes are summed before any output is read, so that what does not fit is never fetched. Outputs that this very
# statement writes are not visible to it: the caller has them, and says their size. OFFSET 0 keeps the look-up a look-up:
# as a plain join, planned while the tables were new, it read all stages that there were for each batch.
_OUTPUTS = f"""
    SELECT {OUTPUT}, fitting.position, fitting.number, fitting.output, NULL
    FROM (
        SELECT wanted.position, wanted.number, wanted.known_bytes, wanted.bytes_max, result.output,
               sum(coalesce(wanted.known_bytes, result.output_bytes))
                   OVER (PARTITION BY wanted.position ORDER BY wanted.rank) AS total_bytes
        FROM unnest({{}}::bigint[], {{}}::uuid[], {{}}::integer[], {{}}::integer[], {{}}::bigint[]) WITH ORDINALITY
             AS wanted (position, run_id, number, known_bytes, bytes_max, rank)
        LEFT JOIN LATERAL (
            SELECT stored.output, stored.output_bytes
            FROM stages AS stage
            JOIN stage_results AS stored
                ON stored.run_id = stage.run_id AND stored.stage_number = stage.number
                AND stored.generation = stage.generation
            WHERE wanted.known_bytes IS NULL AND stage.run_id = wanted.run_id AND stage.number = wanted.number
                AND stage.state = 'COMPLETED'
            OFFSET 0
        ) AS result ON true
    ) AS fitting
    WHERE fitting.total_bytes <= fitting.bytes_max
      AND (fitting.known_bytes IS NOT NULL OR fitting.output IS NOT NULL)"""


class _Placeholders:
    """Hands out ``$1``, ``$2`` and so on."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, count: int) -> list[str]:
        first = self.count + 1
        self.count += count
        return [f"${number}" for number in range(first, self.count + 1)]


def _unnest(columns: Sequence[Column], places: Sequence[str]) -> str:
    arrays = ", ".join(
        f"{place}::{column.array_type}[]" for column, place in zip(columns, places, strict=True)
    )
    return f"unnest({arrays}) AS new ({', '.join(column.name for column in columns)})"


def _length(column: Column, place: str) -> str:
    return f"cardinality({place}::{column.array_type}[])"


@cache
def write_changes(
    parts: tuple[Part, ...], *, payloads: bool, outputs: bool, states: bool, submissions: bool = False
) -> bytes:
    """Builds the statement for the parts that a batch has.

    Args:
        parts: In the order of ``PARTS``.
        payloads: Whether jobs are leased, whose config and run input are read.
        outputs: Whether they also need earlier outputs.
        states: Whether they also need what their stages suspended with.
        submissions: Whether they also need what was submitted elsewhere.
    """
    places = _Placeholders()
    ctes, guards = [], ["true"]
    for part in parts:
        taken = places.take(len(part.columns))
        new = _unnest(part.columns, taken)
        ctes.append(f"{part.cte} AS ({part.body(new)})")
        if part.guarded:
            guards.append(f"(SELECT count(*) FROM {part.cte}) = {_length(part.columns[0], taken[0])}")
        if part.name == "events":
            ctes.append(f"told AS ({_TOLD.format(*taken)})")
    check = f"SELECT {CHECK} / ({' AND '.join(guards)})::integer, NULL::bigint, NULL::integer, NULL::json, NULL::json"
    answers = [check]
    if payloads:
        answers.append(_PAYLOADS.format(*places.take(3)))
    if outputs:
        answers.append(_OUTPUTS.format(*places.take(5)))
    if states:
        answers.append(_STATES.format(*places.take(4)))
    if submissions:
        answers.append(_SUBMITTED.format(*places.take(4)))
    heading = f"WITH {', '.join(ctes)} " if ctes else ""
    return (heading + " UNION ALL ".join(answers)).encode()


def parts_of(changes: ChangeSet) -> tuple[list[Parameter], tuple[Part, ...]]:
    """Returns the arrays of a change set's hot rows, and the parts that write them."""
    parameters: list[Parameter] = []
    parts = []
    for part in PARTS:
        rows: Sequence[Any] = getattr(changes, part.name)
        if part.name in _LAST_COUNTS:
            rows = _last_of_each(rows)
        if rows:
            parts.append(part)
            parameters += [column.collect(rows) for column in part.columns]
    return parameters, tuple(parts)


_OfStage = StageResult | SuspendedState | StageProgress | SubmissionRow


def _last_of_each(rows: Sequence[_OfStage]) -> list[_OfStage]:
    """A statement may write a row once only; of several results, states or words of one stage the last counts."""
    return list(
        {
            (one.run_id, one.stage_number, one.generation, getattr(one, "key", "")): one for one in rows
        }.values()
    )


def arrays_of(types: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Parameter]:
    """Turns rows into one array for each column.

    Args:
        types: The columns' element types.
        rows: Each with a value for each type.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    return [array(name, values) for name, values in zip(types, columns, strict=True)]


def insert_rows(shape: RowShape) -> bytes:
    """Builds the plain insertion of many rows of a table, one array for each column."""
    columns = shape.columns
    places = [f"${number}" for number in range(1, len(columns) + 1)]
    values = ", ".join(column.of("new") for column in columns)
    return (
        f"INSERT INTO {shape.table} ({shape.names}) SELECT {values} FROM {_unnest(columns, places)}".encode()
    )
