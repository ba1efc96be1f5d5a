"""The queue: claiming, looking at its heads, promoting what has waited long enough."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from stageline_engine.adapters.postgres.statements.columns import JOBS, RUNS, STAGES

LOOKED_AT = "$2 + least($2, 50) + 5"
"""How many of the most urgent jobs are looked at for ``$2`` asked for: more, to make up for those whose run somebody else
has locked, but not many more, since each costs three look-ups."""

CLAIM_JOBS = f"""
    WITH candidate AS (
        SELECT ready.*
        FROM unnest($1::integer[]) AS route (id)
        CROSS JOIN LATERAL (
            SELECT job.priority, job.run_id, job.stage_number
            FROM jobs AS job
            WHERE job.state = 'READY' AND job.route_id = route.id
            ORDER BY job.priority DESC, job.run_id, job.stage_number
            LIMIT {LOOKED_AT}
        ) AS ready
        ORDER BY ready.priority DESC, ready.run_id, ready.stage_number
        LIMIT {LOOKED_AT}
    ), claimed AS (
        SELECT {", ".join(f"run.{c.name} AS run_{c.name}" for c in RUNS.columns)},
               {", ".join(f"stage.{c.name} AS stage_{c.name}" for c in STAGES.columns)},
               {", ".join(f"job.{c.name} AS job_{c.name}" for c in JOBS.columns)}
        FROM candidate
        JOIN runs AS run ON run.id = candidate.run_id
        JOIN stages AS stage ON stage.run_id = candidate.run_id AND stage.number = candidate.stage_number
        JOIN jobs AS job ON job.run_id = candidate.run_id AND job.stage_number = candidate.stage_number
        WHERE job.state = 'READY' AND run.state = 'RUNNING'
        ORDER BY candidate.priority DESC, candidate.run_id, candidate.stage_number
        LIMIT $2
        FOR UPDATE OF run, stage, job SKIP LOCKED
    )
    SELECT counted.candidates, claimed.*
    FROM (SELECT count(*) AS candidates FROM candidate) AS counted
    LEFT JOIN claimed ON true
    ORDER BY claimed.job_priority DESC, claimed.job_run_id, claimed.job_stage_number""".encode()
"""Locks the most urgent ready jobs of some routes.

Each route gives its first jobs from its own stretch of the index, and the best of those are taken. The run is locked
first, and nothing is waited for: a run that somebody reports to now is passed over. What was changed between the look and
the lock is looked at again (state READY, run RUNNING).
"""

QUEUE_HEADS = b"""
    SELECT route.id, head.priority, head.run_id, head.stage_number
    FROM unnest($1::integer[]) AS route (id)
    CROSS JOIN LATERAL (
        SELECT job.priority, job.run_id, job.stage_number
        FROM jobs AS job
        WHERE job.state = 'READY' AND job.route_id = route.id
        ORDER BY job.priority DESC, job.run_id, job.stage_number
        LIMIT 1
    ) AS head"""
"""Reads the most urgent ready job of each route."""

QUEUE_HEADS_OF_MANY = b"""
    WITH RECURSIVE head AS (
        (SELECT job.route_id, job.priority, job.run_id, job.stage_number
         FROM jobs AS job
         WHERE job.state = 'READY' AND job.route_id >= ($1::integer[])[1]
         ORDER BY job.route_id, job.priority DESC, job.run_id, job.stage_number
         LIMIT 1)
        UNION ALL
        SELECT next.*
        FROM head
        CROSS JOIN LATERAL (
            SELECT job.route_id, job.priority, job.run_id, job.stage_number
            FROM jobs AS job
            WHERE job.state = 'READY' AND job.route_id > head.route_id
            ORDER BY job.route_id, job.priority DESC, job.run_id, job.stage_number
            LIMIT 1
        ) AS next
        WHERE head.route_id < ($1::integer[])[cardinality($1)]
    )
    SELECT * FROM head WHERE route_id = ANY($1)"""
"""As ``QUEUE_HEADS``, for so many routes that it is cheaper to go from one route that has ready jobs to the next.

The routes must be sorted. A worker may serve a thousand of them, of which hardly any has a job that waits.
"""

PROMOTE_JOBS = b"""
    WITH due AS (
        SELECT job.run_id, job.stage_number
        FROM jobs AS job JOIN runs AS run ON run.id = job.run_id
        WHERE job.state = 'DELAYED' AND job.available_at <= $1
        ORDER BY job.available_at
        LIMIT $2
        FOR UPDATE OF run, job SKIP LOCKED
    )
    UPDATE jobs AS job SET state = 'READY', version = job.version + 1
    FROM due WHERE job.run_id = due.run_id AND job.stage_number = due.stage_number
    RETURNING job.route_id"""
"""Makes delayed jobs ready whose time has come, under their runs' locks."""

NEXT_DELAYED = b"SELECT min(available_at) FROM jobs WHERE state = 'DELAYED'"
"""Reads the earliest time that a job waits for."""

DUE_DEADLINES = b"""
    (SELECT run_id, stage_number, deadline_at FROM jobs WHERE deadline_at <= $1
     ORDER BY deadline_at, run_id, stage_number LIMIT $2 + 1)
    UNION ALL
    (SELECT run_id, stage_number, deadline_at FROM jobs WHERE deadline_at > $1
     ORDER BY deadline_at LIMIT 1)
    UNION ALL
    (SELECT id, NULL, deadline_at FROM runs WHERE deadline_at <= $1 AND state IN ('PENDING', 'RUNNING')
     ORDER BY deadline_at, id LIMIT $2 + 1)
    UNION ALL
    (SELECT id, NULL, deadline_at FROM runs WHERE deadline_at > $1 AND state IN ('PENDING', 'RUNNING')
     ORDER BY deadline_at LIMIT 1)"""
"""Reads jobs and open runs whose deadline has passed, one more of each than asked for, and the next deadline of each."""

JOBS_OF_SESSIONS = b"SELECT run_id, stage_number FROM jobs WHERE state = 'LEASED' AND session_id = ANY($1)"
"""Reads the jobs that sessions hold."""
