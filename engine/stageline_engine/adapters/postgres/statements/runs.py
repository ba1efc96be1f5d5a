"""Locking and reading runs with their stages and jobs."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from stageline_engine.adapters.postgres.statements.changes import insert_rows
from stageline_engine.adapters.postgres.statements.columns import (
    EVENTS,
    IDEMPOTENCY_KEYS,
    JOBS,
    RESUME_TOKENS,
    RUN_PAYLOADS,
    RUNS,
    STAGES,
    SUSPENDED_STATES,
)
from stageline_engine.model.stage import StageState

_STAGE_OPEN = f"stage.state IN ({', '.join(repr(s.value) for s in StageState if not s.terminal)})"

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

LOAD_CONFIGS = b"SELECT run_id, config FROM run_payloads WHERE run_id = ANY($1)"
"""Reads whole configs, for reruns that change a part of theirs."""

INSERT_PAYLOADS = insert_rows(RUN_PAYLOADS)
"""Stores what never changes of new runs. Sent before the write of the batch, which may read it for the first jobs."""

UPDATE_CONFIGS = b"""
    UPDATE run_payloads AS payload SET config = new.config
    FROM unnest($1::uuid[], $2::json[]) AS new (run_id, config)
    WHERE payload.run_id = new.run_id"""
"""Replaces configs of runs that run again. Sent before the write of the batch, which may read them for the first jobs."""

CLAIM_PENDING = f"""
    SELECT {RUNS.names} FROM runs
    WHERE state = 'PENDING' AND (start_at IS NULL OR start_at <= $1)
    ORDER BY priority DESC, id
    LIMIT $2
    FOR UPDATE SKIP LOCKED""".encode()
"""Locks runs whose time to start has come, the most urgent first."""

NEXT_PENDING = b"""
    SELECT coalesce(start_at, $1) FROM runs
    WHERE state = 'PENDING' AND id <> ALL($2::uuid[])
    ORDER BY start_at NULLS FIRST
    LIMIT 1"""
"""Reads the earliest time at which another run is to start."""

STUCK_RUNS = f"""
    WITH suspect AS MATERIALIZED (
        SELECT run.id FROM runs AS run
        WHERE run.state = 'RUNNING'
          AND (run.open_stages = 0
               OR run.open_stages <> (SELECT count(*) FROM jobs AS job WHERE job.run_id = run.id))
    )
    SELECT suspect.id
    FROM suspect
    CROSS JOIN LATERAL (
        SELECT count(*) AS open_stages, count(job.run_id) AS jobs
        FROM stages AS stage
        LEFT JOIN jobs AS job ON job.run_id = stage.run_id AND job.stage_number = stage.number
        WHERE stage.run_id = suspect.id AND {_STAGE_OPEN}
    ) AS counted
    WHERE counted.open_stages = 0 OR counted.jobs < counted.open_stages
    ORDER BY suspect.id
    LIMIT $1""".encode()
"""Finds runs that nothing moves on.

Only open runs are looked at, by their own index, and of a healthy one nothing but its jobs: there is one for each open
stage that the run counts, so that the stages of a run are read only where the counts differ.
"""

LOAD_RESUME_TOKEN = f"SELECT {RESUME_TOKENS.names} FROM resume_tokens WHERE token_sha256 = $1".encode()
"""Reads a resume token."""

LOAD_WAITS = f"""
    SELECT {SUSPENDED_STATES.qualified("kept")}
    FROM unnest($1::uuid[], $2::integer[]) AS wanted (run_id, number)
    JOIN stages AS stage ON stage.run_id = wanted.run_id AND stage.number = wanted.number
    JOIN suspended_states AS kept
        ON kept.run_id = stage.run_id AND kept.stage_number = stage.number AND kept.generation = stage.generation""".encode()
"""Reads what suspended stages wait with, for repairs."""

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
           worker.worker_name, CASE WHEN job.state <> 'LEASED' THEN job.available_at END, progress.said, progress.told_at
    FROM stages AS stage
    LEFT JOIN stage_results AS result
        ON result.run_id = stage.run_id AND result.stage_number = stage.number AND result.generation = stage.generation
    LEFT JOIN jobs AS job ON job.run_id = stage.run_id AND job.stage_number = stage.number
    LEFT JOIN sessions AS worker ON worker.id = job.session_id
    LEFT JOIN stage_progress AS progress
        ON progress.run_id = stage.run_id AND progress.stage_number = stage.number
        AND progress.generation = stage.generation AND progress.attempt = stage.attempt
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

COUNT_WORK = b"""
    SELECT count(*) FILTER (WHERE state = 'READY'),
           count(*) FILTER (WHERE state = 'LEASED'),
           count(*) FILTER (WHERE state = 'DELAYED'),
           min(available_at) FILTER (WHERE state = 'READY'),
           (SELECT count(*) FROM outbox WHERE dead)
    FROM jobs"""
"""Counts live jobs and streams that stand at a dead letter."""

COUNT_NAMESPACE = b"""
    SELECT count(*) FILTER (WHERE job.state = 'READY'),
           count(*) FILTER (WHERE job.state = 'LEASED'),
           count(*) FILTER (WHERE job.state = 'DELAYED'),
           min(job.available_at) FILTER (WHERE job.state = 'READY'),
           (SELECT count(*) FROM outbox JOIN runs ON runs.id = outbox.run_id WHERE dead AND namespace = $1),
           (SELECT coalesce(sum(pending_sequence - published_sequence), 0)::bigint
            FROM outbox JOIN runs ON runs.id = outbox.run_id WHERE namespace = $1),
           (SELECT count(*) FROM sessions WHERE namespace = $1 AND ended_at IS NULL),
           (SELECT coalesce(sum(slots), 0)::bigint FROM sessions WHERE namespace = $1 AND ended_at IS NULL)
    FROM jobs AS job JOIN runs AS run ON run.id = job.run_id
    WHERE run.namespace = $1"""
"""Counts what lives in a namespace: jobs, streams at a dead letter, undelivered events, sessions and their slots."""

COUNT_RUNS = b"""
    SELECT state, count(*) FROM runs WHERE namespace = $1 GROUP BY state"""
"""Counts the runs of a namespace by state."""

LEASE_IS_LIVE = b"""
    SELECT 1 FROM jobs AS job JOIN runs AS run ON run.id = job.run_id
    WHERE job.run_id = $1 AND job.stage_number = $2 AND job.lease_token = $3 AND run.namespace = $4"""
"""Finds a job by its present lease."""

LIST_DUE_CHECKS = b"""
    SELECT run.namespace, job.run_id, stage.stage_id, job.route_id
    FROM jobs AS job
    JOIN runs AS run ON run.id = job.run_id
    JOIN stages AS stage ON stage.run_id = job.run_id AND stage.number = job.stage_number
    WHERE job.state = 'READY' AND job.kind = 'CHECK' AND run.state = 'RUNNING'
    ORDER BY job.priority DESC, job.run_id, job.stage_number
    LIMIT $1"""
"""Reads ready checks of running runs, of all namespaces."""

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
    "labels": "id IN (SELECT run_id FROM run_payloads WHERE labels <> '{{}}' AND labels @> {}::jsonb)",
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
