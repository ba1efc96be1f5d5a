"""Log lines."""

LOCK_APPEND = b"SELECT pg_advisory_xact_lock($1)"
"""Makes appends wait for each other, so that ids become visible in their order: a reader's cursor then misses nothing."""

APPEND_LINES = b"""
    INSERT INTO logs (run_id, stage_number, attempt, level, message, metadata, logged_at, generation)
    SELECT line.run_id, line.stage_number, line.attempt, line.level, line.message, line.metadata, line.logged_at,
           line.generation
    FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::text[], $6::json[], $7::timestamptz[],
                $8::integer[])
         WITH ORDINALITY
         AS line (run_id, stage_number, attempt, level, message, metadata, logged_at, generation, position)
    ORDER BY line.position"""
"""Stores lines in their order."""

LIST_LINES = b"""
    SELECT line.run_id, line.stage_number, line.attempt, line.level, line.message, line.metadata, line.logged_at, line.id,
           line.generation
    FROM runs AS run
    JOIN logs AS line ON line.run_id = run.id
    WHERE run.id = $1 AND run.namespace = $2 AND line.id > $3 AND ($4 = 0 OR line.stage_number = $4)
    ORDER BY line.id
    LIMIT $5"""
"""Reads a run's lines after an id."""
