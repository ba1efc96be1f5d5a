"""Stored bytes: blobs, payloads and artifacts. None of these is on the hot path; a report pays only for what it refers to."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

BEGIN_BLOB = b"INSERT INTO blobs (id, namespace, state, changed_at) VALUES ($1, $2, 'WRITING', $3)"
"""Announces a blob."""

NAME_BLOB = (
    b"UPDATE blobs SET state = 'STORED', changed_at = $2 WHERE id = $1 AND state = 'WRITING' RETURNING 1"
)
"""Says that a row names a blob; finds none that was given up."""

STORED_BLOB = b"SELECT 1 FROM blobs WHERE id = $1 AND state = 'STORED'"
"""Finds a blob that a row names."""

DROP_BLOB = b"UPDATE blobs SET state = 'DROPPED', changed_at = $2 WHERE id = $1 AND state = $3"
"""Says that no row names a blob."""

KEEP_PAYLOAD = b"""
    INSERT INTO payloads (namespace, sha256, blob_id, size_bytes, keep_until) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (namespace, sha256)
    DO UPDATE SET keep_until = greatest(payloads.keep_until, excluded.keep_until)
    RETURNING blob_id"""
"""Stores a payload, or prolongs the life of the one that is there, and says which blob has it."""

ALLOW_PAYLOAD = b"""
    INSERT INTO payload_uses (run_id, sha256, namespace, referenced) VALUES ($1, $2, $3, false)
    ON CONFLICT (run_id, sha256) DO NOTHING"""
"""Lets a run refer to a payload."""

FIND_PAYLOAD = b"""
    SELECT namespace, sha256, size_bytes, blob_id, keep_until FROM payloads
    WHERE namespace = $1 AND sha256 = $2
      AND ($3::uuid IS NULL OR EXISTS (SELECT FROM payload_uses WHERE run_id = $3 AND sha256 = $2))"""
"""Reads a payload, of any run or of one."""

PROLONG_PAYLOAD = b"""
    UPDATE payloads SET keep_until = $3 WHERE namespace = $1 AND sha256 = $2 AND keep_until < $3"""
"""Prolongs a payload's life."""

LOCK_EXPIRED_PAYLOADS = b"""
    SELECT namespace, sha256 FROM payloads WHERE keep_until <= $1
    ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED"""
"""Locks payloads whose time is over; one that a commit is about to refer to is locked by it, and passed over."""

EXPIRE_PAYLOADS = b"""
    WITH looked_at AS (
        SELECT payload.namespace, payload.sha256,
               EXISTS (SELECT FROM payload_uses AS use
                       WHERE use.namespace = payload.namespace AND use.sha256 = payload.sha256 AND use.referenced)
               AS used
        FROM unnest($1::text[], $2::bytea[]) AS payload (namespace, sha256)
    ), looked_at_again AS (
        UPDATE payloads SET keep_until = $4 FROM looked_at
        WHERE used AND payloads.namespace = looked_at.namespace AND payloads.sha256 = looked_at.sha256
    ), gone AS (
        DELETE FROM payloads USING looked_at
        WHERE NOT used AND payloads.namespace = looked_at.namespace AND payloads.sha256 = looked_at.sha256
        RETURNING payloads.namespace, payloads.sha256, payloads.blob_id
    ), disallowed AS (
        DELETE FROM payload_uses AS use USING gone
        WHERE use.namespace = gone.namespace AND use.sha256 = gone.sha256
    )
    UPDATE blobs SET state = 'DROPPED', changed_at = $3 WHERE id IN (SELECT blob_id FROM gone)"""
"""Takes locked payloads away that no run refers to. After the locks, so that what their last holder wrote is seen."""

SUPERSEDE_ARTIFACTS = b"""
    WITH gone AS (
        DELETE FROM artifacts AS artifact
        USING unnest($1::uuid[], $2::integer[], $3::integer[], $4::timestamptz[])
              AS new (run_id, first_stage_number, generation, at)
        WHERE artifact.run_id = new.run_id AND artifact.stage_number >= new.first_stage_number
          AND artifact.generation < new.generation
        RETURNING artifact.blob_id, new.at
    )
    UPDATE blobs SET state = 'DROPPED', changed_at = gone.at FROM gone WHERE id = gone.blob_id"""
"""Takes away the artifacts of stages that run again."""

LOCK_RUN = b"SELECT 1 FROM runs WHERE id = $1 AND namespace = $2 FOR SHARE"
"""Holds a run as it is: reports, cancellations and reruns wait, other artifacts do not."""

LEASED_STAGE = b"""
    SELECT stage.number, stage.stage_id, stage.generation
    FROM jobs AS job JOIN stages AS stage ON stage.run_id = job.run_id AND stage.number = job.stage_number
    WHERE job.run_id = $1 AND job.stage_number = $2 AND job.lease_token = $3"""
"""Finds the stage of a live lease. After the lock, so that what its last holder wrote is seen."""

_ARTIFACT = "namespace, run_id, key, blob_id, content_type, size_bytes, sha256, created_at, stage_number, stage_id, generation"

LOCK_ARTIFACT = b"SELECT pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 0))"
"""Makes changes of one artifact wait for each other, also of one that is not there yet."""

GET_ARTIFACT = f"SELECT {_ARTIFACT} FROM artifacts WHERE namespace = $1 AND run_id = $2 AND key = $3".encode()
"""Reads an artifact."""

PUT_ARTIFACT = f"""
    INSERT INTO artifacts ({_ARTIFACT}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (run_id, key) DO UPDATE
    SET blob_id = excluded.blob_id, content_type = excluded.content_type, size_bytes = excluded.size_bytes,
        sha256 = excluded.sha256, created_at = excluded.created_at, stage_number = excluded.stage_number,
        stage_id = excluded.stage_id, generation = excluded.generation""".encode()
"""Stores an artifact in the place of the one of its key."""

DELETE_ARTIFACT = b"DELETE FROM artifacts WHERE run_id = $1 AND key = $2 RETURNING blob_id"
"""Takes an artifact away."""

LIST_ARTIFACTS = f"""
    SELECT {_ARTIFACT} FROM artifacts
    WHERE namespace = $1 AND run_id = $2 AND key > $3 AND starts_with(key, $4) ORDER BY key LIMIT $5""".encode()
"""Reads a run's artifacts after a key."""

PINNED_RUN = b"SELECT namespace, workflow_name, workflow_version FROM runs WHERE id = $1"
"""Reads which version a run is pinned to."""

GIVE_UP_WRITING = b"""
    UPDATE blobs SET state = 'DROPPED' WHERE id IN (
        SELECT id FROM blobs WHERE state = 'WRITING' AND changed_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"""
"""Drops blobs whose upload never ended."""

WASTE = b"SELECT id, namespace FROM blobs WHERE state = 'DROPPED' ORDER BY id LIMIT $1"
"""Finds blobs whose bytes may go."""

FORGET_BLOBS = b"DELETE FROM blobs WHERE id = ANY($1) AND state = 'DROPPED'"
"""Takes away the rows of blobs whose bytes are gone."""
