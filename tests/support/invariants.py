"""The invariants of DESIGN section 10 as questions to a real database: each query finds what must not exist.

They read tables and event log only, so they hold whatever wrote them, and however often it was killed.
"""

from typing import Any

import psycopg

VIOLATIONS: dict[str, str] = {
    "I2 a stage is completed exactly once per generation": """
        SELECT stage.run_id, stage.stage_id, stage.state, stage.generation, count(event.sequence) AS completions
        FROM stages AS stage LEFT JOIN events AS event
            ON event.run_id = stage.run_id AND event.type = 'stage:completed'
            AND event.payload ->> 'stage_id' = stage.stage_id
        GROUP BY stage.run_id, stage.stage_id, stage.state, stage.generation
        HAVING count(event.sequence)
            <> CASE stage.state WHEN 'COMPLETED' THEN stage.generation ELSE stage.generation - 1 END""",
    "I2 a completed stage has its output, and no other stage has one": """
        SELECT stage.run_id, stage.stage_id, stage.state, result.output_bytes
        FROM stages AS stage LEFT JOIN stage_results AS result
            ON result.run_id = stage.run_id AND result.stage_number = stage.number
            AND result.generation = stage.generation
        WHERE (stage.state = 'COMPLETED') <> (result.output IS NOT NULL)""",
    "I3 a stage starts only when the whole group before it is complete": """
        SELECT started.run_id, later.stage_id, earlier.stage_id AS open_stage_id
        FROM events AS started
        JOIN stages AS later
            ON later.run_id = started.run_id AND later.stage_id = started.payload ->> 'stage_id'
        JOIN stages AS earlier
            ON earlier.run_id = started.run_id AND earlier.group_number = later.group_number - 1
        WHERE started.type = 'stage:started' AND NOT EXISTS (
            SELECT FROM events AS completed
            WHERE completed.run_id = started.run_id AND completed.type = 'stage:completed'
            AND completed.payload ->> 'stage_id' = earlier.stage_id AND completed.sequence < started.sequence)""",
    "I4 an ended run has no live job": """
        SELECT run.id, run.state, job.stage_number, job.state
        FROM runs AS run JOIN jobs AS job ON job.run_id = run.id
        WHERE run.state IN ('COMPLETED', 'FAILED', 'CANCELLED')""",
    "I4 an ended run has no open stage": """
        SELECT run.id, run.state, stage.stage_id, stage.state
        FROM runs AS run JOIN stages AS stage ON stage.run_id = run.id
        WHERE run.state IN ('COMPLETED', 'FAILED', 'CANCELLED')
        AND stage.state IN ('PENDING', 'RUNNING', 'SUSPENDED')""",
    "I4 a stage that has not ended has its job, and no other stage has one": """
        SELECT stage.run_id, stage.stage_id, stage.state, job.state
        FROM stages AS stage LEFT JOIN jobs AS job
            ON job.run_id = stage.run_id AND job.stage_number = stage.number
        WHERE (stage.state IN ('PENDING', 'RUNNING', 'SUSPENDED')) <> (job.run_id IS NOT NULL)""",
    "I5 sequences have no gap, no duplicate, and end where the run says": """
        SELECT run.id, run.event_sequence, count(event.sequence), min(event.sequence), max(event.sequence)
        FROM runs AS run LEFT JOIN events AS event ON event.run_id = run.id
        GROUP BY run.id, run.event_sequence
        HAVING count(event.sequence) <> run.event_sequence
        OR count(DISTINCT event.sequence) <> run.event_sequence
        OR min(event.sequence) IS DISTINCT FROM 1 OR max(event.sequence) <> run.event_sequence""",
    "I5 the last event of a run tells its state": """
        SELECT run.id, run.state, event.type
        FROM runs AS run JOIN events AS event ON event.run_id = run.id AND event.sequence = run.event_sequence
        WHERE run.state IN ('COMPLETED', 'FAILED', 'CANCELLED')
        AND event.type <> 'workflow:' || lower(run.state) AND event.type <> 'stage:cancelled'""",
    "I5 a run is told to have ended exactly once, if it has": """
        SELECT run.id, run.state, count(event.sequence)
        FROM runs AS run LEFT JOIN events AS event ON event.run_id = run.id
            AND event.type IN ('workflow:completed', 'workflow:failed', 'workflow:cancelled')
        GROUP BY run.id, run.state
        HAVING count(event.sequence)
            <> CASE WHEN run.state IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN 1 ELSE 0 END""",
    "the counters of a run are those of its stages": """
        SELECT run.id, run.state, run.current_group, run.open_stages, run.failed_stages,
            count(stage.number) FILTER (WHERE stage.state IN ('PENDING', 'RUNNING', 'SUSPENDED')) AS open,
            count(stage.number) FILTER (WHERE stage.state = 'FAILED') AS failed
        FROM runs AS run LEFT JOIN stages AS stage
            ON stage.run_id = run.id AND stage.group_number = run.current_group
        WHERE run.state <> 'CANCELLED'
        GROUP BY run.id
        HAVING run.open_stages
            <> count(stage.number) FILTER (WHERE stage.state IN ('PENDING', 'RUNNING', 'SUSPENDED'))
        OR run.failed_stages <> count(stage.number) FILTER (WHERE stage.state = 'FAILED')""",
}
"""What must hold -> the query for the rows that break it."""


def violations(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """Returns the broken invariants, each with its rows; nothing when all is well. One snapshot of the database."""
    with psycopg.connect(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return violations_seen_by(connection)


def violations_seen_by(connection: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Does the same within a transaction of the caller's."""
    found = {name: connection.execute(query.encode()).fetchall() for name, query in VIOLATIONS.items()}
    return {name: rows for name, rows in found.items() if rows}
