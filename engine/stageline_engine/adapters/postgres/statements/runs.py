"""Locking and reading runs with their stages and jobs."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from stageline_engine.adapters.postgres.statements.changes import insert_rows
from stageline_engine.adapters.postgres.statements.columns import (
    EVENTS,
    IDEMPOTENCY_KEYS,
    JOBS,
    RUN_PAYLOADS,
    RUNS,
    STAGES,
)

LOCK_RUNS = f"SELECT {RUNS.names} FROM runs WHERE id = ANY($1) ORDER BY id FOR UPDATE".encode()
"""Locks runs in id order, the order in which everyone does."""

_STAGES_WITH_JOBS = f"""
    SELECT {STAGES.qualified("stage")}, {JOBS.qualified("job")}
    FROM {{wanted}}
    LEFT JOIN jobs AS job ON job.run_id = stage.run_id AND job.stage_number = stage.number"""

LOAD_STAGES = _STAGES_WITH_JOBS.format(
    wanted="""unnest($1::uuid[], $2::integer[]) AS wanted (run_id, number)
    JOIN stages AS stage ON stage.run_id = wanted.run_id AND stage.number = wanted.number"""
).encode()
"""Reads single stages with their jobs. A statement of its own: its snapshot is taken when the runs are locked."""

LOAD_ALL_STAGES = _STAGES_WITH_JOBS.format(
    wanted="""unnest($1::uuid[]) AS wanted (run_id)
    JOIN stages AS stage ON stage.run_id = wanted.run_id"""
).encode()
"""Reads every stage of runs, with their jobs."""

LOAD_OUTPUTS = b"""
    SELECT wanted.run_id, wanted.number, result.output
    FROM unnest($1::uuid[], $2::integer[]) AS wanted (run_id, number)
    JOIN stages AS stage
        ON stage.run_id = wanted.run_id AND stage.number = wanted.number AND stage.state = 'COMPLETED'
    JOIN stage_results AS result
        ON result.run_id = stage.run_id AND result.stage_number = stage.number AND result.generation = stage.generation
    WHERE result.output IS NOT NULL AND result.output_bytes <= $3"""
"""Reads outputs of completed stages, each at most so long."""

INSERT_PAYLOADS = insert_rows(RUN_PAYLOADS)
"""Stores what never changes of new runs. Sent before the write of the batch, which may read it for the first jobs."""

LOCK_KEYS = b"""
    SELECT wanted.position FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (hash, position)
    WHERE pg_try_advisory_xact_lock(wanted.hash)"""
"""Reserves idempotency keys by their hashes, those that nobody else holds."""

READ_KEYS = f"""
    SELECT {", ".join(f"stored.{column.name}" for column in IDEMPOTENCY_KEYS.columns)}
    FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (namespace, command, key)
    JOIN idempotency_keys AS stored USING (namespace, command, key)""".encode()
"""Reads stored keys. After the locks, so that what their last holder wrote is seen."""

INSERT_KEYS = insert_rows(IDEMPOTENCY_KEYS)
"""Stores keys with the work that they are for."""

GET_RUN = f"""
    SELECT {RUNS.qualified("run")}, payload.input, payload.config, payload.labels
    FROM runs AS run JOIN run_payloads AS payload ON payload.run_id = run.id
    WHERE run.id = $1 AND run.namespace = $2""".encode()
"""Reads a run with its payload."""

GET_STAGES = f"""
    SELECT {STAGES.qualified("stage")},
           result.run_id IS NOT NULL, CASE WHEN $2 THEN result.output END, result.metrics, result.error,
           worker.worker_name, CASE WHEN job.state <> 'LEASED' THEN job.available_at END
    FROM stages AS stage
    LEFT JOIN stage_results AS result
        ON result.run_id = stage.run_id AND result.stage_number = stage.number AND result.generation = stage.generation
    LEFT JOIN jobs AS job ON job.run_id = stage.run_id AND job.stage_number = stage.number
    LEFT JOIN sessions AS worker ON worker.id = job.session_id
    WHERE stage.run_id = $1
    ORDER BY stage.number""".encode()
"""Reads a run's stages with their last results and who works on them."""

LIST_EVENTS = f"""
    SELECT run.state, {EVENTS.qualified("event")}
    FROM runs AS run
    LEFT JOIN LATERAL (
        SELECT {EVENTS.names} FROM events
        WHERE events.run_id = run.id AND events.sequence > $3 ORDER BY events.sequence LIMIT $4
    ) AS event ON true
    WHERE run.id = $1 AND run.namespace = $2
    ORDER BY event.sequence""".encode()
"""Reads a run's events after a sequence with the run's state, both as of one moment."""

LEASE_IS_LIVE = b"""
    SELECT 1 FROM jobs AS job JOIN runs AS run ON run.id = job.run_id
    WHERE job.run_id = $1 AND job.stage_number = $2 AND job.lease_token = $3 AND run.namespace = $4"""
"""Finds a job by its present lease."""

READ_OUTPUTS = b"""
    SELECT result.stage_number, result.output
    FROM runs AS run
    JOIN stages AS stage ON stage.run_id = run.id AND stage.number = ANY($3) AND stage.state = 'COMPLETED'
    JOIN stage_results AS result
        ON result.run_id = stage.run_id AND result.stage_number = stage.number AND result.generation = stage.generation
    WHERE run.id = $1 AND run.namespace = $2 AND result.output IS NOT NULL"""
"""Reads outputs of completed stages of a namespace's run."""

_LIST_CONDITIONS = {
    "workflow_name": "workflow_name = {}",
    "states": "state = ANY({})",
    "created_after": "created_at >= {}",
    "created_before": "created_at < {}",
    "labels": "EXISTS (SELECT FROM run_payloads WHERE run_id = runs.id AND labels @> {}::jsonb)",
    "before": "id < {}",
}


def list_runs(given: tuple[str, ...]) -> bytes:
    """Builds the listing of runs, the newest first; ``$1`` is the namespace and ``$2`` the limit.

    Args:
        given: Which filters there are, of ``workflow_name``, ``states``, ``created_after``, ``created_before``,
            ``labels`` and ``before``; their values are ``$3`` and so on.
    """
    conditions = ["namespace = $1"]
    conditions += [_LIST_CONDITIONS[name].format(f"${number}") for number, name in enumerate(given, 3)]
    labels = "(SELECT labels FROM run_payloads WHERE run_id = runs.id)"
    where = " AND ".join(conditions)
    return f"SELECT {RUNS.names}, {labels} FROM runs WHERE {where} ORDER BY id DESC LIMIT $2".encode()
