"""What stages submit elsewhere."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from stageline_engine.adapters.postgres.statements.columns import Column, RowShape

SUBMISSIONS = RowShape(
    "submissions",
    (
        Column("run_id", "uuid", key=True),
        Column("stage_number", "integer", key=True),
        Column("generation", "integer", key=True),
        Column("key", "text", key=True),
        Column("phase", "text", mutable=True),
        Column("reference", "text", mutable=True),
        Column("attempt", "integer", mutable=True),
        Column("lease_token", "uuid", mutable=True),
        Column("declared_at", "timestamptz", mutable=True),
        Column("changed_at", "timestamptz", mutable=True),
    ),
)

LOAD_SUBMISSIONS = f"""
    SELECT {SUBMISSIONS.qualified("kept")}
    FROM unnest($1::uuid[], $2::integer[], $3::integer[]) AS wanted (run_id, stage_number, generation)
    JOIN submissions AS kept USING (run_id, stage_number, generation)""".encode()
"""Reads those of stage executions."""

SUBMISSIONS_OF_RUN = f"""
    SELECT {SUBMISSIONS.names} FROM submissions WHERE run_id = $1 ORDER BY stage_number, generation, key""".encode()
"""Reads those of a run."""
