"""Forgetting what is past keeping, a little at a time and never what somebody has locked."""

# ruff: noqa: S608 -- what is put together here are our own table names, never a value

TABLES_OF_RUNS = (
    "run_payloads",
    "stages",
    "stage_results",
    "suspended_states",
    "stage_progress",
    "resume_tokens",
    "annotations",
    "jobs",
    "events",
    "logs",
    "lost_leases",
    "payload_uses",
    "submissions",
)
"""Tables whose rows of a run go with it, beside its artifacts, whose bytes go too; a test compares them with the schema."""

_GOES = ", ".join(
    f"gone_{table} AS (DELETE FROM {table} WHERE run_id = ANY ($1::uuid[]))" for table in TABLES_OF_RUNS
)

DOOMED_RUNS = b"""
    SELECT id FROM runs
    WHERE ended_at < $1 AND NOT EXISTS (SELECT FROM outbox WHERE outbox.run_id = runs.id)
      AND id NOT IN (SELECT unnest(run_ids) FROM (SELECT run_ids FROM event_commits ORDER BY id) AS waiting)
    ORDER BY ended_at, id
    LIMIT $2
    FOR UPDATE SKIP LOCKED"""
"""Locks ended runs whose every event has its place. A statement of its own, so that the next ones see all that was committed
before the lock was had. Commits that wait for their places are few, and are read once."""

PURGE_RUNS = f"""
    WITH {_GOES}, gone_artifacts AS (
        DELETE FROM artifacts WHERE run_id = ANY ($1::uuid[]) RETURNING blob_id
    ), dropped AS (
        UPDATE blobs SET state = 'DROPPED' WHERE id IN (SELECT blob_id FROM gone_artifacts)
    )
    DELETE FROM runs WHERE id = ANY ($1::uuid[])""".encode()
"""Deletes runs that are locked, with all that is theirs."""

PURGE_KEYS = b"""
    WITH doomed AS (
        SELECT namespace, command, key FROM idempotency_keys
        WHERE created_at < $1
        ORDER BY created_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM idempotency_keys AS stored USING doomed
    WHERE (stored.namespace, stored.command, stored.key) = (doomed.namespace, doomed.command, doomed.key)
    RETURNING 1"""
"""Deletes old idempotency keys."""

PURGE_SESSIONS = b"""
    WITH doomed AS (
        SELECT id FROM sessions
        WHERE ended_at < $1
          AND NOT EXISTS (SELECT FROM jobs WHERE jobs.state = 'LEASED' AND jobs.session_id = sessions.id)
        ORDER BY ended_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM sessions USING doomed WHERE sessions.id = doomed.id
    RETURNING 1"""
"""Deletes sessions that have ended and hold nothing."""

# The newest entry stays, so that a reader's cursor can be told from one of entries that are gone.
TRIM_LOG = b"""
    DELETE FROM event_log
    WHERE position < (SELECT max(position) FROM event_log)
      AND position IN (
        SELECT position FROM (SELECT position, logged_at FROM event_log ORDER BY position LIMIT $2) AS oldest
        WHERE logged_at < $1
    )
    RETURNING 1"""
"""Deletes the oldest entries of the event log."""
