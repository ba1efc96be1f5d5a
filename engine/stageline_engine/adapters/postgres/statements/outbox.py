"""Events on their way to consumers: a stream for each run and consumer."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from stageline_engine.adapters.postgres.statements.columns import EVENTS

CLAIM_OUTBOX = f"""
    WITH due AS (
        SELECT run_id, published_sequence, pending_sequence, due_at, tries
        FROM outbox
        WHERE consumer = $4 AND NOT dead AND due_at <= $1
        ORDER BY due_at, run_id
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ), placed AS (
        SELECT due.*, coalesce(
            sum(pending_sequence - published_sequence)
                OVER (ORDER BY due_at, run_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
        ) AS events_before
        FROM due
    ), chosen AS (
        SELECT * FROM placed WHERE events_before < $2
    ), claimed AS (
        UPDATE outbox SET locked_until = $3, due_at = $3
        FROM chosen WHERE outbox.run_id = chosen.run_id AND outbox.consumer = $4
    )
    SELECT chosen.tries, run.namespace, run.workflow_name, {EVENTS.qualified("event")}
    FROM chosen
    JOIN runs AS run ON run.id = chosen.run_id
    CROSS JOIN LATERAL (
        SELECT {EVENTS.names} FROM events
        WHERE events.run_id = chosen.run_id
          AND events.sequence > chosen.published_sequence AND events.sequence <= chosen.pending_sequence
        ORDER BY events.sequence
        LIMIT ($2 - chosen.events_before)::bigint
    ) AS event
    ORDER BY chosen.due_at, chosen.run_id, event.sequence""".encode()
"""Claims a consumer's streams for a time, those that have waited longest first, and reads their next events."""

NEXT_DUE = b"""
    SELECT due_at FROM outbox
    WHERE consumer = $1 AND NOT dead AND locked_until IS DISTINCT FROM $2
    ORDER BY due_at
    LIMIT 1"""
"""Reads when a stream of a consumer is due next, apart from those of one claim."""

REVIVE_OUTBOX = b"""
    WITH stream AS (
        SELECT run_id, consumer, published_sequence AS before, pending_sequence,
               published_sequence + $2::boolean::integer AS published_sequence
        FROM outbox
        WHERE dead AND ($3::text = '' OR consumer = $3)
          AND (cardinality($4::uuid[]) = 0
               OR (run_id, consumer, published_sequence + 1)
                  IN (SELECT * FROM unnest($4, $5::text[], $6::bigint[])))
        ORDER BY run_id, consumer
        LIMIT $1
        FOR UPDATE SKIP LOCKED
    ), finished AS (
        DELETE FROM outbox USING stream
        WHERE outbox.run_id = stream.run_id AND outbox.consumer = stream.consumer
          AND stream.published_sequence = stream.pending_sequence
    ), revived AS (
        UPDATE outbox
        SET published_sequence = stream.published_sequence,
            pending_sequence = stream.pending_sequence,
            due_at = event.occurred_at,
            tries = 0,
            dead = false,
            dead_at = NULL,
            last_error = ''
        FROM stream
        JOIN events AS event
            ON event.run_id = stream.run_id AND event.sequence = stream.published_sequence + 1
        WHERE outbox.run_id = stream.run_id AND outbox.consumer = stream.consumer
          AND stream.published_sequence < stream.pending_sequence
    )
    SELECT run_id, consumer, before + 1 FROM stream ORDER BY run_id, consumer"""
"""Lets dead-lettered streams go on, with the refused event or after it."""

LIST_DEAD_LETTERS = f"""
    SELECT stream.consumer, run.namespace, run.workflow_name, stream.tries, stream.last_error, stream.dead_at,
           {EVENTS.qualified("event")}
    FROM outbox AS stream
    JOIN runs AS run ON run.id = stream.run_id AND run.namespace = $1
    JOIN events AS event ON event.run_id = stream.run_id AND event.sequence = stream.published_sequence + 1
    WHERE stream.dead AND (stream.run_id, stream.consumer) > ($2, $3::text)
      AND ($4::text = '' OR stream.consumer = $4) AND ($5::uuid IS NULL OR stream.run_id = $5)
    ORDER BY stream.run_id, stream.consumer
    LIMIT $6""".encode()
"""Reads the events at which streams of a namespace stand."""

SETTLE_OUTBOX = b"""
    WITH settlement AS (
        SELECT given.*, stream.pending_sequence
        FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::integer[], $5::timestamptz[], $6::timestamptz[],
                    $7::text[])
             AS given (run_id, locked_until, published_up_to, tries, next_try_at, dead_at, last_error)
        JOIN outbox AS stream
            ON stream.run_id = given.run_id AND stream.consumer = $8 AND stream.locked_until = given.locked_until
        ORDER BY given.run_id
        FOR UPDATE OF stream
    ), finished AS (
        DELETE FROM outbox AS stream USING settlement
        WHERE stream.run_id = settlement.run_id AND stream.consumer = $8
          AND settlement.pending_sequence <= settlement.published_up_to
    )
    UPDATE outbox AS stream
    SET published_sequence = settlement.published_up_to,
        pending_sequence = settlement.pending_sequence,
        due_at = coalesce(
            settlement.next_try_at,
            (SELECT event.occurred_at FROM events AS event
             WHERE event.run_id = settlement.run_id AND event.sequence = settlement.published_up_to + 1),
            stream.due_at
        ),
        locked_until = NULL,
        tries = settlement.tries,
        dead = settlement.dead_at IS NOT NULL,
        dead_at = settlement.dead_at,
        last_error = settlement.last_error
    FROM settlement
    WHERE stream.run_id = settlement.run_id AND stream.consumer = $8
      AND settlement.pending_sequence > settlement.published_up_to"""
"""Notes how far claimed streams were published. A claim is known by its time; one that was taken anew is left alone.

The pending sequence is written as it was locked: it may have grown since the statement's snapshot, and the row is
checked with the old one otherwise."""
