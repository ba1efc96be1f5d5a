"""The log of all events, and who is told of them. See ``docs/decisions/0013`` for why it is written in two steps."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from stageline_engine.adapters.postgres.statements.columns import EVENTS

LOCK_LOG = b"SELECT pg_advisory_xact_lock($1)"
"""Makes those who sequence wait for each other, so that positions become visible in their order."""

KEEP_CONSUMERS = b"""
    INSERT INTO event_consumers (name, created_at, seen_at)
    SELECT name, $2, $2 FROM unnest($1::text[]) AS given (name) ORDER BY name
    ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at
    WHERE event_consumers.seen_at < excluded.seen_at - interval '1 hour'"""
"""Notes that consumers live, at most once an hour."""

FORGET_CONSUMERS = b"""
    WITH forgotten AS (
        DELETE FROM event_consumers WHERE seen_at < $1 RETURNING name
    ), dropped AS (
        DELETE FROM outbox USING forgotten WHERE outbox.consumer = forgotten.name
    )
    SELECT name FROM forgotten ORDER BY name"""
"""Removes consumers that no server has had for long, with their streams."""

SEQUENCE_EVENTS = b"""
    WITH taken AS (
        DELETE FROM event_commits
        WHERE id IN (SELECT id FROM event_commits ORDER BY id LIMIT $2)
        RETURNING id, run_ids, sequences
    ), part AS (
        SELECT taken.id, told.run_id, min(told.sequence) AS first_sequence, max(told.sequence) AS last_sequence
        FROM taken CROSS JOIN LATERAL unnest(taken.run_ids, taken.sequences) AS told (run_id, sequence)
        GROUP BY taken.id, told.run_id
    ), logged AS (
        INSERT INTO event_log (run_id, first_sequence, last_sequence, logged_at)
        SELECT run_id, first_sequence, last_sequence, $1 FROM part ORDER BY id, run_id
    ), news AS (
        SELECT part.run_id, min(first_sequence) AS first_sequence, max(last_sequence) AS last_sequence
        FROM part
        WHERE EXISTS (SELECT FROM event_consumers)
        GROUP BY part.run_id
    ), spread AS (
        INSERT INTO outbox
               (run_id, consumer, published_sequence, pending_sequence, due_at, tries, dead, last_error)
        SELECT news.run_id, consumer.name, news.first_sequence - 1, news.last_sequence, event.occurred_at, 0, false, ''
        FROM news
        JOIN events AS event ON event.run_id = news.run_id AND event.sequence = news.first_sequence
        CROSS JOIN event_consumers AS consumer
        ORDER BY news.run_id, consumer.name
        ON CONFLICT (run_id, consumer) DO UPDATE SET pending_sequence = excluded.pending_sequence
    )
    SELECT count(*) FROM taken"""
"""Gives commits their places in the log, in the order in which they were made, and each consumer its streams."""

READ_LOG = f"""
    SELECT entry.position, run.namespace, run.workflow_name, {EVENTS.qualified("event")}
    FROM (
        SELECT * FROM event_log
        WHERE position >= $2 AND (position > $2 OR last_sequence > $3)
        ORDER BY position
        LIMIT $4
    ) AS entry
    LEFT JOIN runs AS run ON run.id = entry.run_id AND run.namespace = $1
    LEFT JOIN LATERAL (
        SELECT {EVENTS.names} FROM events
        WHERE events.run_id = run.id AND events.sequence <= entry.last_sequence
          AND events.sequence >= entry.first_sequence AND (entry.position > $2 OR events.sequence > $3)
        ORDER BY events.sequence
        LIMIT $4
    ) AS event ON true
    ORDER BY entry.position, event.sequence
    LIMIT $4""".encode()
"""Reads events of a namespace from a place in the log on; an entry of another one gives a row without an event."""

LOG_BOUNDS = b"""
    SELECT coalesce((SELECT position FROM event_log ORDER BY position LIMIT 1), 0),
           coalesce((SELECT position FROM event_log ORDER BY position DESC LIMIT 1), 0)"""
"""Reads the positions of the oldest and the newest entry."""
