"""Sessions. Every write expects a living one: an ended session never lives again."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from stageline_engine.adapters.postgres.statements.changes import insert_rows
from stageline_engine.adapters.postgres.statements.columns import SESSIONS

OPEN_SESSION = insert_rows(SESSIONS)
"""Stores a new session."""

RESUME_SESSION = b"""
    UPDATE sessions
    SET server_id = $3, connected_at = $4, expires_at = $5, disconnect_reason = '', disconnected_at = NULL
    WHERE id = $1 AND namespace = $2 AND ended_at IS NULL
    RETURNING 1"""
"""Binds a living session to a new stream."""

RENEW_SESSIONS = b"""
    UPDATE sessions SET expires_at = $3
    WHERE id = ANY($1) AND server_id = $2 AND ended_at IS NULL
    RETURNING id"""
"""Extends living sessions of one server."""

EXTEND_LEASES = b"""
    WITH named AS (
        SELECT job.session_id, job.lease_token
        FROM unnest($4::uuid[], $5::integer[], $6::uuid[]) AS lease (run_id, stage_number, token)
        JOIN jobs AS job ON job.run_id = lease.run_id AND job.stage_number = lease.stage_number
        WHERE job.state = 'LEASED' AND job.lease_token = lease.token
    ), extended AS (
        UPDATE sessions SET expires_at = $3
        FROM (SELECT DISTINCT session_id FROM named) AS holder
        WHERE sessions.id = holder.session_id AND namespace = $1 AND server_id = $2 AND ended_at IS NULL
        RETURNING sessions.id
    )
    SELECT named.lease_token FROM named JOIN extended ON extended.id = named.session_id"""
"""Extends the living sessions of one server that own these live leases."""

END_SESSION = b"""
    UPDATE sessions SET ended_at = $3, end_reason = $4
    WHERE id = $1 AND server_id = $2 AND ended_at IS NULL
      AND NOT EXISTS (SELECT FROM jobs WHERE jobs.state = 'LEASED' AND jobs.session_id = sessions.id)
    RETURNING 1"""
"""Ends a living session that holds nothing."""

NOTE_DISCONNECTS = b"""
    UPDATE sessions SET disconnect_reason = stream.reason, disconnected_at = stream.at
    FROM unnest($2::uuid[], $3::text[], $4::timestamptz[]) AS stream (session_id, reason, at)
    WHERE sessions.id = stream.session_id AND server_id = $1 AND ended_at IS NULL"""
"""Notes why streams of one server ended."""

EXPIRE_SESSIONS = b"""
    WITH due AS (
        SELECT id, expires_at FROM sessions
        WHERE ended_at IS NULL AND expires_at <= $1
        ORDER BY expires_at, id
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ), expired AS (
        UPDATE sessions SET ended_at = $1, end_reason = 'TIMED_OUT' FROM due WHERE sessions.id = due.id
    )
    SELECT expires_at, id FROM due"""
"""Ends living sessions whose time is over."""

ENDED_HOLDERS = b"""
    WITH RECURSIVE holder (session_id) AS (
        (SELECT session_id FROM jobs WHERE state = 'LEASED' ORDER BY session_id LIMIT 1)
        UNION ALL
        SELECT (
            SELECT job.session_id FROM jobs AS job
            WHERE job.state = 'LEASED' AND job.session_id > holder.session_id
            ORDER BY job.session_id
            LIMIT 1
        )
        FROM holder
        WHERE holder.session_id IS NOT NULL
    ), ended AS (
        SELECT session.expires_at, session.id
        FROM holder JOIN sessions AS session ON session.id = holder.session_id
        WHERE session.ended_at IS NOT NULL
        ORDER BY session.expires_at, session.id
        LIMIT $1
        FOR UPDATE OF session SKIP LOCKED
    ), gone AS (
        SELECT to_timestamp(0), holder.session_id
        FROM holder
        WHERE holder.session_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM sessions WHERE sessions.id = holder.session_id)
        ORDER BY holder.session_id
        LIMIT $1
    )
    SELECT * FROM ended UNION ALL SELECT * FROM gone"""
"""Locks and reads ended sessions that still hold jobs, which were leased to them at the moment they ended, and names holders
that were purged by then. One index probe for each holder."""

HELD_LEASES = b"""
    SELECT job.run_id, job.stage_number, job.lease_token, stage.attempt, job.generation
    FROM jobs AS job
    JOIN stages AS stage ON stage.run_id = job.run_id AND stage.number = job.stage_number
    WHERE job.state = 'LEASED' AND job.session_id = $1
    ORDER BY job.run_id, job.stage_number"""
"""Reads the leases that a session holds, with the attempts that they are for."""

LIST_SESSIONS = f"""
    SELECT {SESSIONS.names} FROM sessions
    WHERE namespace = $1 AND ($2 OR ended_at IS NULL)
    ORDER BY id DESC
    LIMIT $3""".encode()
"""Reads sessions of a namespace, the newest first."""

WORKER_KINDS = b"""
    SELECT min(stages::text)::json, labels, count(*)::integer, sum(slots)::bigint FROM sessions
    WHERE namespace = $1 AND ended_at IS NULL
    GROUP BY stages::text, labels"""
"""Reads what the living sessions of a namespace can run, those that say the same together."""
